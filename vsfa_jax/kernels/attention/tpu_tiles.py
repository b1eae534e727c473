"""What the forward and the backward TPU kernel share: the tiles they visit, and the masks.

A grid step owns one block of queries of one head. The keys and values of its key head lie whole in
VMEM, fetched once for all G query heads and all their blocks. A tile is `block_q` x `block_k`
scores; a block of queries is cut into chains of `chain` queries, which depend on nothing of each
other, so that the compiler may fill one chain's matrix products with another's softmax.

Tokens lie in one of two layouts:

    rows      [tokens, H]    H a multiple of 128, which are the lanes of a vector register
    columns   [H, tokens]    any H: it lies along the sublanes, and pads nothing to 128

Kinds of tiles: `FULL`, every query sees every key; `EDGE`, a mask is applied; `DIAGONAL`, the last
tile of a causal block, where nothing but the diagonal cuts; `CUT`, the same where a segment (or a
window) begins in it, or padding. On a diagonal chain u needs only the first u + 1 parts:

    chain 0   M . . .
    chain 1   M M . .
    chain 2   M M M .
    chain 3   M M M M
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl

from vsfa_jax.kernels.attention.reference import FORBIDDEN

FULL, EDGE, DIAGONAL, CUT = "full", "edge", "diagonal", "cut"
NO_KEY = np.iinfo(np.int32).max


@dataclasses.dataclass(frozen=True)
class Blocks:
    """Sizes that a kernel is tuned by.

    Attributes:
      block_q: queries of a tile.
      block_k: keys of a tile.
      chain: queries of a chain; divides block_q.
      ahead: chains whose scores are computed before the softmax of the first; the table has 0 to 2.
      unroll: full tiles in one straight line of code, where their number is known when compiling.
      columns: 1 where tokens lie in columns although H is a multiple of 128.
    """

    block_q: int
    block_k: int
    chain: int
    ahead: int = 0
    unroll: int = 1
    columns: int = 0


@dataclasses.dataclass(frozen=True)
class Tiling:
    """The static facts of one call.

    Attributes:
      blocks: the sizes.
      queries: T before padding to whole blocks.
      keys: S before padding.
      causal: as in `attention`.
      window: as in `attention`.
      mapped: bounds and spans come from a block map; otherwise from the two numbers above.
      rows: whether tokens lie in rows.
      shared: whether queries and keys have the same segment ids.
    """

    blocks: Blocks
    queries: int
    keys: int
    causal: bool
    window: int | None
    mapped: bool
    rows: bool
    shared: bool = True

    @property
    def diagonal(self) -> bool:
        """Whether the last tile of every block is the one on the diagonal."""
        square = self.blocks.block_q == self.blocks.block_k
        return self.causal and square and self.queries == self.keys and self.shared

    @property
    def all_see(self) -> bool:
        """Whether no query can be without a key."""
        return not self.mapped and self.window is None and self.keys >= self.queries

    @property
    def plain(self) -> bool:
        """Whether every query sees every key."""
        return not (self.mapped or self.causal or self.window is not None)

    def chains(self) -> range:
        """Numbers of the chains of a block."""
        return range(self.blocks.block_q // self.blocks.chain)

    def chain_tokens(self, u: int) -> slice:
        """Queries of chain u within the block."""
        return slice(u * self.blocks.chain, (u + 1) * self.blocks.chain)

    def width(self, kind: str, u: int) -> int:
        """Keys of a tile that chain u looks at."""
        return (u + 1) * self.blocks.chain if kind in (DIAGONAL, CUT) else self.blocks.block_k


Scalar = jax.Array | int
Bounds = tuple[Scalar, Scalar, Scalar, Scalar]


def bounds(tiling: Tiling, i: jax.Array, tiles: Any, row: jax.Array) -> Bounds:
    """(first, past, full_first, full_past) of query block i: key blocks, as in `BlockMap.tiles`.

    Args:
      tiling: the static facts.
      i: number of the query block.
      tiles: SMEM reference to [B * Tb * 4] int32, the block map's tiles; not read unless mapped.
      row: b.
    """
    q, k = tiling.blocks.block_q, tiling.blocks.block_k
    if tiling.mapped:
        start = (row * pl.cdiv(tiling.queries, q) + i) * 4
        first, past, full_first, full_past = (tiles[start + n] for n in range(4))
        return first, past, full_first, full_past
    if tiling.plain:
        return 0, pl.cdiv(tiling.keys, k), 0, tiling.keys // k
    first_start, first_stop = _closed_form(tiling, i * q)
    last_start, last_stop = _closed_form(tiling, (i + 1) * q - 1)
    past = pl.cdiv(jnp.maximum(last_stop, 0), k)
    first = jnp.minimum(first_start // k, past)
    full_first = jnp.minimum(pl.cdiv(last_start, k), past)
    return first, past, full_first, jnp.maximum(jnp.maximum(first_stop, 0) // k, full_first)


def _closed_form(tiling: Tiling, query: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The span of a query in a row of one segment."""
    place = query + (tiling.keys - tiling.queries)
    looks_back = tiling.causal or tiling.window is not None
    stop = jnp.minimum(place + 1, tiling.keys) if looks_back else jnp.int32(tiling.keys)
    start = jnp.int32(0) if tiling.window is None else jnp.maximum(place - tiling.window, 0)
    return start, stop


def span(tiling: Tiling, spans_ref: Any, u: int, *, upright: bool) -> tuple[jax.Array, ...]:
    """First key seen and one past the last: [1, chain] each, or [chain, 1] upright; () unmapped.

    A query that sees nothing has a first key that no row has.
    """
    if not tiling.mapped:
        return ()
    start, stop = (spans_ref[0, n : n + 1, tiling.chain_tokens(u)] for n in range(2))
    start = jnp.where(stop > start, start, NO_KEY)
    return (start.T, stop.T) if upright else (start, stop)


def masked(
    tiling: Tiling,
    scores: jax.Array,
    key: Scalar,
    query: Scalar,
    seen_keys: tuple[jax.Array, ...],
    axis: int,
    kind: str,
) -> jax.Array:
    """Scores with `FORBIDDEN` where the query does not see the key.

    On the diagonal only a chain's last part is cut by the diagonal itself.

    Args:
      tiling: the static facts.
      scores: [keys, queries], or [queries, keys] where `axis` is 1.
      key: index of the first key.
      query: index of the first query.
      seen_keys: of `span`, with an axis of 1 for the keys.
      axis: of the keys.
      kind: of the tile.
    """
    before = scores.shape[axis] - tiling.blocks.chain
    if kind == EDGE or before == 0:
        seen = _seen(tiling, scores.shape, key, query, seen_keys, axis, kind)
        return jnp.where(seen, scores, FORBIDDEN)
    parts = []
    for part, first, part_kind in zip(
        jnp.split(scores, [before], axis), (0, before), (EDGE, kind), strict=True
    ):
        if part_kind == EDGE and kind == DIAGONAL:
            parts.append(part)
            continue
        seen = _seen(tiling, part.shape, key + first, query, seen_keys, axis, part_kind)
        parts.append(jnp.where(seen, part, FORBIDDEN))
    return jnp.concatenate(parts, axis)


def _seen(
    tiling: Tiling,
    shape: tuple[int, ...],
    key: Scalar,
    query: Scalar,
    seen_keys: tuple[jax.Array, ...],
    axis: int,
    kind: str,
) -> jax.Array:
    """Bool: which query sees which key; with a diagonal, no tile but its own goes past it."""
    keys = key + lax.broadcasted_iota(jnp.int32, shape, axis)
    aligned = query + tiling.keys - tiling.queries
    place = aligned + lax.broadcasted_iota(jnp.int32, shape, 1 - axis)
    if tiling.mapped:
        start, stop = seen_keys
        if not tiling.diagonal:
            return (keys >= start) & (keys < stop)
        if kind == DIAGONAL:
            return keys <= place
        return (keys >= start) & (keys <= place) if kind == CUT else keys >= start
    looks_back = tiling.causal or tiling.window is not None
    if looks_back and tiling.diagonal:
        seen = keys <= place
    else:
        seen = keys < tiling.keys
        seen = seen & (keys <= place) if looks_back else seen
    return seen if tiling.window is None else seen & (keys >= place - tiling.window)


Visit = Callable[[Sequence[Scalar], Any, str], Any]


def visit_tiles(
    tiling: Tiling, i: jax.Array, found: Bounds, visit: Visit, nothing: Callable[[], Any]
) -> Any:
    """Visits the tiles of query block i, the one on the diagonal first.

    Args:
      tiling: the static facts.
      i: number of the query block.
      found: of `bounds`.
      visit: (key blocks, carry, kind) -> carry, in a straight line over the key blocks; the carry
        is None before the first tile of a diagonal.
      nothing: makes the carry of a block that has visited nothing.

    Returns:
      The last carry.
    """
    first, past, full_first, full_past = found
    if tiling.plain:
        return _visit_all(tiling, visit, nothing())
    last, carry = past, None
    if tiling.diagonal:
        last = i
        if not tiling.mapped:
            carry = visit([i], None, DIAGONAL if tiling.window is None else CUT)
        else:
            carry = lax.cond(
                full_first <= i,
                lambda: visit([i], None, DIAGONAL),
                lambda: visit([i], None, CUT),
            )
    carry = nothing() if carry is None else carry
    carry = lax.fori_loop(full_first, full_past, lambda j, carry: visit([j], carry, FULL), carry)
    if tiling.diagonal and not tiling.mapped and tiling.window is None:
        return carry  # nothing else needs a mask

    def edge(n: jax.Array, carry: Any) -> Any:
        j = jnp.where(n < before, first + n, full_past + n - before)
        return visit([j], carry, EDGE)

    before = full_first - first
    return lax.fori_loop(0, before + last - full_past, edge, carry)


def _visit_all(tiling: Tiling, visit: Visit, carry: Any) -> Any:
    """Every tile of a row, their number known now: in straight lines of `unroll`."""
    unroll, size = tiling.blocks.unroll, tiling.blocks.block_k
    full_past, past = tiling.keys // size, pl.cdiv(tiling.keys, size)
    groups, done = full_past // unroll, 0

    def group(n: jax.Array, carry: Any) -> Any:
        return visit([n * unroll + x for x in range(unroll)], carry, FULL)

    if groups > 1:
        carry, done = lax.fori_loop(0, groups, group, carry), groups * unroll
    carry = visit(list(range(done, full_past)), carry, FULL)
    return visit(list(range(full_past, past)), carry, EDGE)


def tokens(tiling: Tiling, ref: Any, u: int) -> jax.Array:
    """The tokens of chain u in a block [1, 1, block_q, H], or [1, 1, H, block_q] in columns."""
    here = tiling.chain_tokens(u)
    return ref[0, 0, here] if tiling.rows else ref[0, 0, :, here]


def product(a: jax.Array, b: jax.Array, axis_a: int, axis_b: int) -> jax.Array:
    """Contracts one axis of each of two matrices, in float32; float32 operands are not rounded."""
    exact = lax.Precision.HIGHEST if a.dtype == jnp.float32 else lax.Precision.DEFAULT
    return lax.dot_general(
        a,
        b,
        (((axis_a,), (axis_b,)), ((), ())),
        precision=exact,
        preferred_element_type=jnp.float32,
    )


def key_slice(j: Scalar, size: int, width: int) -> Any:
    """The first `width` keys of block j of `size`."""
    start = j * size if isinstance(j, int) else pl.multiple_of(j * size, size)
    return pl.ds(start, width)
