"""Parameters by name: "language/layers/q_proj/kernel" -> array.

A model is split once into its structure (hashable), what is trained and what is frozen; the two
states are plain pytrees. Names are what rules, sharding tables, checkpoints and errors speak of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flax import nnx


def by_name(tree: nnx.Module | nnx.State) -> dict[str, Any]:
    """Every parameter of a module or state: name -> array (or ShapeDtypeStruct)."""
    state = nnx.state(tree) if isinstance(tree, nnx.Module) else tree
    return {_name(path): leaf.get_value() for path, leaf in nnx.to_flat_state(state)}


def replace(state: nnx.State, values: Mapping[str, Any]) -> nnx.State:
    """The same state with the arrays of `values`, which names every parameter of it."""
    return map_named(lambda name, _: values[name], state)


def map_named(change: Callable[[str, Any], Any], state: nnx.State) -> nnx.State:
    """Applies change(name, array) to every parameter; returns a new state."""
    flat = [
        (path, leaf.replace(change(_name(path), leaf.get_value())))
        for path, leaf in nnx.to_flat_state(state)
    ]
    return nnx.from_flat_state(flat)


def part_of(name: str) -> str:
    """The part of a model that a parameter belongs to: "vision", "projector" or "language"."""
    first = name.partition("/")[0]
    return first if first in ("vision", "language") else "projector"


def _name(path: tuple[Any, ...]) -> str:
    return "/".join(str(part) for part in path)
