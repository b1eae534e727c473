"""Every family gives the same logits and gradients with every backend of attention."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_checkpoints as tiny
from flax import nnx
from speeds import cases

from vsfa_jax import models
from vsfa_jax.data.batch import Batch, Budget, collate
from vsfa_jax.kernels.attention import Backend
from vsfa_jax.models.parameters import by_name

CONVERSATIONS = [
    tiny.conversation(
        ("user", "<image> what is this"), ("assistant", "a knife"), sizes=((40, 70),)
    ),
    tiny.conversation(("user", "<image> is red"), ("assistant", "two"), sizes=((16, 9),), seed=3),
    tiny.conversation(("user", "what is red"), ("assistant", "blue")),
]
FAMILIES = sorted(models.FAMILIES)
BACKENDS = {"xla": Backend("xla"), "pallas_tpu": Backend("pallas_tpu", interpret=True)}


def packed(vlm: models.Vlm) -> Batch:
    """One row of three conversations and one of one, with padding."""
    examples = [vlm.processor.encode(c, training=True) for c in CONVERSATIONS]
    rows = [examples, examples[:1]]
    tokens, patches = (sum(sizes) + 8 for sizes in zip(*(e.lengths for e in examples), strict=True))
    patches += -patches % vlm.processor.patch_multiple
    return collate(rows, Budget(tokens, patches), examples[0])


def values_and_gradients(vlm: models.Vlm, batch: Batch, backend: Backend) -> tuple[Any, Any]:
    """Logits [B, T, V] where there are tokens, and the gradient of every parameter."""
    vlm.model.set_attention(backend)
    graph, state = nnx.split(vlm.model)
    seen = jnp.asarray(batch.segment_ids > 0)[..., None]

    @jax.jit
    def run(state: nnx.State, batch: Batch) -> tuple[Any, Any]:
        def loss(state: nnx.State) -> tuple[jax.Array, jax.Array]:
            model = nnx.merge(graph, state)
            logits = model.logits(model.hidden(batch)) * seen
            return (logits**2).sum(), logits

        return jax.grad(loss, has_aux=True)(state)

    gradients, logits = run(state, batch)
    return np.asarray(logits), by_name(gradients)


@pytest.mark.parametrize(
    ("family", "backend"),
    cases([(f, b) for f in FAMILIES for b in BACKENDS], [("qwen2_5_vl", "pallas_tpu")]),
)
def test_backends_agree(family: str, backend: str, tmp_path) -> None:
    vlm = models.load(tiny.write(family, tmp_path))
    batch = packed(vlm)
    wanted, right = values_and_gradients(vlm, batch, Backend("reference"))
    found, mine = values_and_gradients(vlm, batch, BACKENDS[backend])
    assert np.abs(wanted).max() > 0.5
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())
    largest = max(np.abs(gradient).max() for gradient in right.values())
    for name, gradient in right.items():
        # a key's bias has no gradient but for rounding: a softmax does not see it
        size = max(np.abs(gradient).max(), largest / 100)
        np.testing.assert_allclose(mine[name], gradient, atol=1e-4 * size, err_msg=name)
    moved = [name for name, gradient in right.items() if np.abs(gradient).max() > 1e-3]
    assert len(moved) > len(right) / 2
