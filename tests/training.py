"""A tiny model, batches for it, and a run of training steps: what the step's tests share."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tiny_checkpoints as tiny

from vsfa_jax import lora, models, optim, state, step
from vsfa_jax.data.batch import Batch, Budget, collate
from vsfa_jax.mesh import batch_sharding, make_mesh
from vsfa_jax.models.parameters import by_name

OPTIMIZER = optim.OptimizerConfig(
    learning_rate=1e-2,
    warmup_steps=3,
    total_steps=20,
    final_share=0.1,
    weight_decay=0.01,
    b1=0.9,
    b2=0.99,
    epsilon=1e-8,
    clip_norm=1.0,
)
QUESTIONS = ["what is this", "how many red", "what is in the picture", "is this a knife"]
ANSWERS = ["a knife", "two", "two red knife", "no", "a blue picture yes"]


def conversations(count: int, seed: int = 0) -> list[dict]:
    """Conversations of 1 or 2 turns and 0 to 2 images."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        images = int(rng.integers(0, 3))
        turns = []
        for turn in range(int(rng.integers(1, 3))):
            marks = "<image> " * (images if turn == 0 else 0)
            turns.append(("user", marks + QUESTIONS[rng.integers(len(QUESTIONS))]))
            turns.append(("assistant", ANSWERS[rng.integers(len(ANSWERS))]))
        sizes = tuple((int(w), int(h)) for w, h in rng.integers(8, 33, (images, 2)))
        made.append(tiny.conversation(*turns, sizes=sizes, seed=100 * seed + 10 * number))
    return made


def examples(vlm: models.Vlm, count: int, seed: int = 0) -> list[Any]:
    """Encoded conversations."""
    return [vlm.processor.encode(c) for c in conversations(count, seed)]


def rows(vlm: models.Vlm, groups: Sequence[Sequence[Any]], budget: Budget) -> Batch:
    """A batch of packed rows."""
    return collate(groups, budget, next(e for group in groups for e in group))


@dataclasses.dataclass
class Run:
    """Losses and gradients of a run of steps."""

    losses: list[float]
    first_gradients: dict[str, np.ndarray]
    params: dict[str, np.ndarray]
    frozen: dict[str, np.ndarray]


ADAPTER = lora.AdapterConfig(rank=4, alpha=8.0, targets=("attention", "mlp", "projector", "vision"))


def adapted(
    directory: Path, mesh: Any = None, config: lora.AdapterConfig = ADAPTER, moved: bool = False
) -> models.Vlm:
    """A loaded model with an adapter on every group of layers.

    An adapter at its start has a zero gradient for A; `moved` takes B off zero.
    """
    vlm = models.load(directory, mesh=mesh)
    lora.attach(vlm.model, config, jax.random.key(5))
    if moved:
        for number, (_, layer) in enumerate(lora.linears(vlm.model)):
            if layer.adapter is not None:
                key, b = jax.random.fold_in(jax.random.key(2), number), layer.adapter.b
                layer.adapter.b = type(b)(0.1 * jax.random.normal(key, b.shape))
    return vlm


def run(
    directory: Path,
    batches: Sequence[Batch],
    *,
    mode: str,
    adapter: lora.AdapterConfig = ADAPTER,
    moved: bool = False,
    mesh_sizes: tuple[int, int, int] = (1, 1, 1),
    micro_batches: int = 1,
) -> Run:
    """Trains one step a batch on a mesh of all devices, from the same beginning every time."""
    mesh = make_mesh(*mesh_sizes)
    if mode == "lora":
        vlm = adapted(directory, mesh, adapter, moved)
    else:
        vlm = models.load(directory, mesh=mesh)
    split = state.split(vlm.model, mode)
    optimizer = optim.make_optimizer(OPTIMIZER)
    current = state.create_state(split.params, optimizer, models.FAMILIES[vlm.family], mesh)
    train_step = step.jit_train_step(split.structure, optimizer, current)
    sharding = batch_sharding(mesh, micro_batches=True)

    def put(batch: Batch) -> Batch:
        return jax.tree.map(
            lambda x: jax.device_put(x.reshape(micro_batches, -1, *x.shape[1:]), sharding), batch
        )

    gradients = jax.jit(lambda p, f, b: step.gradients(split.structure, p, f, b))
    first = by_name(gradients(current.params, split.frozen, put(batches[0]))[2])
    first = {name: np.asarray(leaf) for name, leaf in first.items()}
    losses = []
    for batch in batches:
        current, out = train_step(current, split.frozen, put(batch))
        losses.append(float(out["loss"]))
    params = {name: np.asarray(leaf) for name, leaf in by_name(current.params).items()}
    frozen = {name: np.asarray(leaf) for name, leaf in by_name(split.frozen).items()}
    assert train_step._cache_size() == 1, "recompiled after the first step"
    return Run(losses, first, params, frozen)


def assert_same_gradients(
    one: dict[str, np.ndarray], other: dict[str, np.ndarray], tolerance: float = 1e-5
) -> None:
    """Each tensor within `tolerance` of its largest.

    A key's bias moves all scores of a query alike, so its gradient is zero by mathematics and what
    is computed is rounding: that is held to `tolerance` itself.
    """
    assert one.keys() == other.keys()
    for name, gradient in one.items():
        largest = 1.0 if name.endswith("k_proj/bias") else np.abs(gradient).max()
        difference = np.abs(np.asarray(gradient) - np.asarray(other[name])).max()
        assert difference <= tolerance * largest, (name, difference, largest)
