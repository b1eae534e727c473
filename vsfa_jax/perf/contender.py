"""What a kernel must offer to be measured beside the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from vsfa_jax.core.errors import ConfigError
from vsfa_jax.kernels.attention.shapes import Shape

Blocks = dict[str, int]  # the sizes that a kernel is swept over, by their names in its interface
Built = tuple[Callable[..., Any], tuple[jax.ShapeDtypeStruct, ...]]


@dataclasses.dataclass(frozen=True)
class Contender:
    """A kernel with forward and backward.

    Attributes:
      name: in tables.
      source: where it comes from.
      sweep: (shape, direction) to the sizes worth trying, most promising first.
      build: (shape, direction, blocks) to a function and its abstract arguments; a backward is
        the gradient function of q, k, v and the output's cotangent.
      parts: by direction, the names of its kernels' parts and the text in their HLO names.
      tile: (shape, part, blocks) to rows of queries and keys of what its matmul block works on.
      is_simulated: libtpu can estimate its cycles without segments; it knows no scalars that are
        read from memory.
      repeats_kv: it wants as many heads of keys as of queries.
    """

    name: str
    source: str
    sweep: Callable[[Shape, str], list[Blocks]]
    build: Callable[[Shape, str, Blocks], Built]
    parts: dict[str, dict[str, str]]
    tile: Callable[[Shape, str, Blocks], tuple[int, int]]
    is_simulated: bool
    repeats_kv: bool = False


def require(package: str) -> None:
    """Asks for the extra that installs what measures need.

    Raises:
      ConfigError: the package is not installed.
    """
    import importlib.util

    if importlib.util.find_spec(package) is None:
        raise ConfigError(f"{package} is not installed; pip install 'vsfa_jax[perf]'")


def heads_first(shape: Shape) -> tuple[jax.ShapeDtypeStruct, ...]:
    """q, k and v as [B, heads, T or S, H] in bfloat16."""
    q = (shape.rows, shape.heads, shape.queries, shape.head_size)
    k = (shape.rows, shape.kv_heads, shape.keys, shape.head_size)
    return tuple(jax.ShapeDtypeStruct(x, "bfloat16") for x in (q, k, k))


def gradient(forward: Callable[..., Any]) -> Callable[..., Any]:
    """(q, k, v, cotangent) to (dq, dk, dv)."""
    return lambda q, k, v, g: jax.vjp(forward, q, k, v)[1](g)
