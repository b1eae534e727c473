"""Whose the bytes of a program are: every byte that it needs, under one name.

base, adapter, optimizer, batch     its arguments, by their shapes and shardings
vision, activations, logits ...     its temporaries, of what lives at the peak
the rest                            padding, gaps, results, the program's own code
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
from flax import nnx

from vsfa_jax.data.batch import Batch
from vsfa_jax.models.parameters import by_name, part_of
from vsfa_jax.planning import memory
from vsfa_jax.planning.hlo import Program
from vsfa_jax.state import TrainState

_TITLES = {
    "vision": "vision, activations",
    memory.SAVED: "activations, kept for backward",
    memory.BLOCK: "activations, of one block",
    "loss": "logits and loss",
    memory.GRADIENTS: "gradients",
    memory.WEIGHTS: "gathered weights",
    "optimizer": "optimizer, at work",
    memory.COPIES: "copies of arguments",
    memory.OTHER: "other temporaries",
}


def holdings(
    program: Program,
    sizes: Mapping[str, int],
    frozen: nnx.State,
    batch: Batch,
    state: TrainState | None,
    params: nnx.State | None,
) -> dict[str, int]:
    """Bytes of one device by what they hold; they add up to what the program needs.

    Args:
      program: parsed.
      sizes: the compiler's, by `program.FIELDS`.
      frozen: the base, in shapes with shardings, as all of these.
      batch: of one run.
      state: of a training step; None of evaluation.
      params: of evaluation, what was trained; None of a training step.
    """
    trained = params if state is None else state.params
    found: dict[str, int] = {}
    for name, leaf in by_name(frozen).items():
        _add(found, f"weights, {part_of(name)}", memory.argument_bytes(leaf))
    for name, leaf in by_name(trained).items() if trained is not None else ():
        title = "adapter" if "/adapter/" in name else f"weights, {part_of(name)}, trained"
        _add(found, title, memory.argument_bytes(leaf))
    on_device = [] if state is None else _leaves(state.optimizer)
    _add(found, "optimizer", sum(map(memory.argument_bytes, on_device)))
    _add(found, "batch", memory.argument_bytes(batch))
    _add(found, "padding of arguments", sizes["argument"] - sum(found.values()))
    temporaries = memory.temporaries(program)
    for name, size in temporaries.by_category.items():
        _add(found, _TITLES[name], size)
    _add(found, "gaps between temporaries", sizes["temp"] - temporaries.live_bytes)
    _add(found, "results", sizes["output"] - sizes["alias"])
    _add(found, "the program", sizes["generated_code"])
    return {name: size for name, size in found.items() if size}


def _leaves(optimizer: Any) -> list[Any]:
    """The moments that lie in the device's own memory."""
    return [
        leaf for leaf in jax.tree.leaves(optimizer) if leaf.sharding.memory_kind in (None, "device")
    ]


def _add(found: dict[str, int], name: str, size: int) -> None:
    found[name] = found.get(name, 0) + size
