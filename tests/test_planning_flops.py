"""Model FLOPs against every matrix product of a traced step, and of the four models by hand."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from speeds import cases

import vsfa_jax.tinyworld.base
from vsfa_jax import lora, models, state
from vsfa_jax.data.batch import Batch, Vision
from vsfa_jax.kernels.attention import Backend
from vsfa_jax.kernels.cross_entropy import cross_entropy
from vsfa_jax.models import paper
from vsfa_jax.models.parameters import by_name
from vsfa_jax.planning import flops
from vsfa_jax.planning.flops import Load, Passes

BASES = Path(vsfa_jax.tinyworld.base.__file__).with_name("base")
FAMILIES = {"llava": "coupled", **{name: name for name in ("llava_next", "qwen2_5_vl", "qwen3_vl")}}
ROWS, TOKENS, PATCHES = 2, 32, 64
EVERYTHING = ("vision", "projector", "language")


def skeleton(directory: Path, targets: tuple[str, ...], **adapter: Any) -> tuple[ModuleType, Any]:
    """A family and its model of shapes, with adapters of rank 4 if there are targets."""
    family, plain = models.skeleton(directory)
    if not targets:
        return family, plain
    config = lora.AdapterConfig(rank=4, alpha=8, targets=targets, **adapter)

    def build(key: jax.Array) -> Any:
        model = family.Model(plain.config, key)
        lora.attach(model, config, key)
        return model

    return family, jax.eval_shape(build, jax.random.key(0))


def batch(model: Any) -> Batch:
    """Shapes of a batch of a family."""

    def shape(*dims: int, dtype: Any = jnp.int32) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((ROWS, *dims), dtype)

    channels = math.prod(model.config.patch_shape)
    if hasattr(model.config.vision, "frames"):
        channels //= model.config.vision.frames
        places = {"row_column": shape(PATCHES, 2)}
    else:
        places = {"positions": shape(PATCHES)}
    if hasattr(model.config.vision, "window_size"):
        places["window_ids"] = shape(PATCHES)
    if hasattr(model.config.vision, "table_side"):
        places["table_rows"] = shape(PATCHES, 4)
        places["table_weights"] = shape(PATCHES, 4, dtype=jnp.float32)
    patches = shape(PATCHES, channels, dtype=jnp.float32)
    text, weights = shape(TOKENS), shape(TOKENS, dtype=jnp.float32)
    vision = Vision(patches, shape(PATCHES), places)
    return Batch(text, text, weights, text, shape(TOKENS, 3), text, vision)


def products(jaxpr: Any) -> Iterator[float]:
    """FLOPs of the matrix products of a traced program; of a branch, the most."""
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        if name == "dot_general":
            (contracted, _), _ = params["dimension_numbers"]
            inner = math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
            yield 2.0 * inner * equation.outvars[0].aval.size
        elif name == "scan":
            yield params["length"] * sum(products(params["jaxpr"].jaxpr))
        elif name == "cond":
            yield max(sum(products(branch.jaxpr)) for branch in params["branches"])
        else:
            for value in params.values():
                inside = getattr(value, "jaxpr", value)
                if hasattr(inside, "eqns"):
                    yield from products(inside)


def traced(model: Any, split: state.Split, *, backward: bool) -> float:
    """FLOPs of the loss of a batch, and of its gradient by what is trained."""
    model.set_attention(Backend("reference"))

    def loss(params: Any, frozen: Any, batch: Batch) -> jax.Array:
        whole = split.structure.model(params, frozen)
        logits = whole.logits(whole.hidden(batch))
        return cross_entropy(logits, batch.targets, batch.loss_weights)

    function = jax.grad(loss) if backward else loss
    made = jax.make_jaxpr(function)(split.params, split.frozen, batch(model)).jaxpr
    live, _ = jax.interpreters.partial_eval.dce_jaxpr(made, [True] * len(made.outvars))
    return sum(products(live))


def everything_seen(model: Any) -> Load:
    """Plain attention computes every pair of a row, whatever the segments."""
    pairs = ROWS * PATCHES**2
    return Load(
        tokens=ROWS * TOKENS,
        trained=ROWS * TOKENS,
        text_pairs=ROWS * TOKENS**2,
        patches=ROWS * PATCHES,
        image_pairs=pairs,
        window_pairs=pairs,
    )


CASES = {
    "adapter": ("lora", ("attention", "mlp"), EVERYTHING),
    "adapter of the projector": ("lora", ("projector", "attention"), EVERYTHING),
    "adapter of the tower": ("lora", ("vision", "projector", "mlp"), EVERYTHING),
    "everything": ("full", (), EVERYTHING),
    "without the tower": ("full", (), ("projector", "language")),
    "the projector": ("full", (), ("projector",)),
    "the language model": ("full", (), ("language",)),
}


QUICK = (
    ("everything", "llava"),
    ("without the tower", "llava_next"),
    ("adapter", "qwen2_5_vl"),
    ("adapter of the tower", "qwen3_vl"),
)


@pytest.mark.parametrize(
    ("case", "name"), cases([(case, name) for case in CASES for name in FAMILIES], QUICK)
)
def test_flops_are_those_of_the_traced_step(case: str, name: str) -> None:
    mode, targets, parts = CASES[case]
    _, model = skeleton(BASES / FAMILIES[name], targets)
    split = state.split(model, mode, parts)
    trained = by_name(split.params)
    found = flops.model_flops(model, trained, everything_seen(model))
    forward = traced(model, split, backward=False)
    assert flops.total(found).forward == forward
    whole = traced(model, split, backward=True)
    assert flops.total(found).total == pytest.approx(whole, rel=1e-6)


# Weights of a decoder's layers, of its head, of a tower's layers and of its patches' embedding,
# and of what stands between them for each patch; from the models' cards, not from our configs.
MODELS = {
    "llava-1.5-7b": (
        32 * (4 * 4096**2 + 3 * 4096 * 11008),
        4096 * 32064,
        23 * (4 * 1024**2 + 2 * 1024 * 4096) + 588 * 1024,
        1024 * 4096 + 4096**2,
    ),
    "llava-1.6-mistral-7b": (
        32 * (2 * 4096**2 + 2 * 4096 * 1024 + 3 * 4096 * 14336),
        4096 * 32064,
        23 * (4 * 1024**2 + 2 * 1024 * 4096) + 588 * 1024,
        1024 * 4096 + 4096**2,
    ),
    "qwen2.5-vl-7b": (
        28 * (2 * 3584**2 + 2 * 3584 * 512 + 3 * 3584 * 18944),
        3584 * 152064,
        32 * (4 * 1280**2 + 3 * 1280 * 3420) + 588 * 1280,
        (5120**2 + 5120 * 3584) / 4,
    ),
    "qwen3-vl-8b": (
        36 * (2 * 4096**2 + 2 * 4096 * 1024 + 3 * 4096 * 12288),
        4096 * 151936,
        27 * (4 * 1152**2 + 2 * 1152 * 4304) + 768 * 1152,
        4 * (4608**2 + 4608 * 4096) / 4,
    ),
}


@pytest.mark.parametrize("name", paper.names())
def test_flops_of_the_four_models(name: str) -> None:
    """Two for each weight and token forward; as much again where only the gradient passes on."""
    layers, head, tower, between = MODELS[name]
    _, model = skeleton(paper.directory(name), ())
    load = Load(tokens=4096, trained=512, text_pairs=0, patches=1024, image_pairs=0)
    forward = flops.model_flops(model, (), load)
    assert forward["language"] == Passes(2 * layers * 4096)
    assert forward["head"] == Passes(2 * head * 512)
    assert forward["vision"] == Passes(2 * tower * 1024)
    assert forward["projector"] == Passes(2 * between * 1024)
    adapted = ["language/layers/q_proj/adapter/a"]  # a frozen base, as it trains adapters
    frozen = flops.model_flops(model, adapted, load)
    assert frozen["language"] == Passes(2 * layers * 4096, 2 * layers * 4096)
    assert frozen["head"] == Passes(2 * head * 512, 2 * head * 512)
    assert frozen["vision"].backward == frozen["projector"].backward == 0


def test_loads_count_pairs() -> None:
    _, plain = skeleton(BASES / "coupled", ())
    _, windowed = skeleton(BASES / "qwen2_5_vl", ())
    load = flops.packed_load(plain.config, 7, [3, 2], [4, 4])
    assert load == Load(5, 7, 6 + 3, 8, 32.0)
    window = windowed.config.vision.window_patches
    load = flops.full_load(windowed.config, rows=2, tokens=3, patches=4 * window, trained=1)
    assert (load.tokens, load.trained, load.patches) == (6, 2, 8 * window)
    assert load.image_pairs == 2 * (4 * window) ** 2
    assert load.window_pairs == 2 * 4 * window**2


@pytest.mark.parametrize(("tokens", "window", "pairs"), [(4, None, 10), (4, 9, 10), (4, 1, 7)])
def test_pairs_of_a_sliding_window(tokens: int, window: int | None, pairs: int) -> None:
    assert flops.causal_pairs(tokens, window) == pairs


def test_a_kept_tower_costs_nothing() -> None:
    _, model = skeleton(BASES / "qwen3_vl", ())
    load = dataclasses.replace(everything_seen(model), runs_tower=False)
    found = flops.model_flops(model, (), load)
    assert found["vision"].total == found["vision attention"].total == 0
    assert found["projector"].forward > 0
