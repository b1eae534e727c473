"""The block map: which key blocks a query block visits, and which of those need no mask.

In a packed row the keys that a query sees lie side by side: from the start of its segment (or of
its window) to itself or to the end of its segment. So two numbers a query say what is visible, its
*span*, and four numbers a query block say which tiles are visited at all. Twelve tokens in blocks
of two, three segments (5, 3 and 2 tokens) and two of padding, causal:

    queries    keys  0 0 0 0 0 1 1 1 2 2 . .     first  past  full_first  full_past
    0 0              M M                           0     1        0          0
    0 0              F F M M                       0     2        0          1
    0 1              M M M M M M                   0     3        3          3
    1 1                      M M M M               2     4        3          3
    2 2                              M M           4     5        4          4
    . .                                            0     0        0          0

`F` is a tile in which every query sees every key; `M` needs a mask; the rest is never visited.
The map is made once for a batch; every layer, and the backward pass of each, reads the same one.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

SegmentPair = tuple[jax.Array, jax.Array]
SHORT = 128  # tokens; a bound on segments that is worth smaller tiles, or bands


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class BlockMap:
    """What a batch's rows see, for kernels that skip.

    Attributes:
      spans: [B, 2, T] int32, the first key that a query sees and one past the last; 0, 0 where it
        sees none.
      tiles: [B, Tb, 4] int32 for the Tb blocks of `block_q` queries, in blocks of `block_k` keys:
        the first visited, one past the last, the first that needs no mask, one past the last.
        From the third on no query's span begins later, whether or not there are such.
      block_q: queries of a block; the last block may be shorter.
      block_k: keys of a block.
      causal: what it was made for.
      window: likewise.
      shared: whether queries and keys have the same segment ids.
      longest: the most tokens that a segment may have, where that is known; None where it is not.
    """

    spans: jax.Array
    tiles: jax.Array
    block_q: int = dataclasses.field(metadata={"static": True})
    block_k: int = dataclasses.field(metadata={"static": True})
    causal: bool = dataclasses.field(metadata={"static": True})
    window: int | None = dataclasses.field(metadata={"static": True})
    shared: bool = dataclasses.field(metadata={"static": True})
    longest: int | None = dataclasses.field(default=None, metadata={"static": True})


def make_block_map(
    segment_ids: SegmentPair,
    *,
    causal: bool,
    window: int | None,
    block_q: int,
    block_k: int,
    longest: int | None = None,
) -> BlockMap:
    """The map of packed rows.

    Args:
      segment_ids: ([B, T], [B, S]) int32; segments are contiguous, 0 is padding. The same array
        twice where queries and keys share them.
      causal: as in `attention`.
      window: as in `attention`.
      block_q: queries of a tile.
      block_k: keys of a tile.
      longest: the most tokens of a segment, where known.
    """
    spans = visible_spans(segment_ids, causal=causal, window=window)
    tiles = visited_tiles(spans, block_q, block_k)
    shared = segment_ids[0] is segment_ids[1]
    return BlockMap(spans, tiles, block_q, block_k, causal, window, shared, longest)


def visible_spans(segment_ids: SegmentPair, *, causal: bool, window: int | None) -> jax.Array:
    """[B, 2, T] int32: the first key that each query sees, and one past the last.

    A segment reaches from its first key to its last, so these are exact where it is contiguous.
    """
    queries, keys = segment_ids
    t, s = queries.shape[1], keys.shape[1]
    same = (queries[:, :, None] == keys[:, None, :]) & (queries[:, :, None] > 0)
    key = jnp.arange(s, dtype=jnp.int32)
    start = jnp.where(same, key, s).min(-1)
    stop = jnp.where(same, key + 1, 0).max(-1)
    place = jnp.arange(t, dtype=jnp.int32) + (s - t)
    if causal or window is not None:
        stop = jnp.minimum(stop, place + 1)
    if window is not None:
        start = jnp.maximum(start, place - window)
    sees = stop > start
    return jnp.stack([jnp.where(sees, start, 0), jnp.where(sees, stop, 0)], axis=1)


def visited_tiles(spans: jax.Array, block_q: int, block_k: int) -> jax.Array:
    """[B, Tb, 4] int32 from spans [B, 2, T]; see `BlockMap.tiles`."""
    b, _, t = spans.shape
    blocks = jnp.pad(spans, ((0, 0), (0, 0), (0, -t % block_q))).reshape(b, 2, -1, block_q)
    start, stop = blocks[:, 0], blocks[:, 1]
    sees = stop > start
    never = np.iinfo(np.int32).max - block_k
    start = jnp.where(sees, start, never)
    first = start.min(-1) // block_k
    past = -(-stop.max(-1) // block_k)
    first = jnp.minimum(first, past)
    full_first = jnp.clip(-(-start.max(-1) // block_k), first, past)
    full_past = jnp.maximum(stop.min(-1) // block_k, full_first)  # a query that sees none: stop 0
    return jnp.stack([first, past, full_first, full_past], axis=-1)


def check_contiguous(segment_ids: np.ndarray, name: str = "segment_ids") -> None:
    """Refuses rows whose segments are not contiguous; on the host, once a batch.

    Args:
      segment_ids: [B, T] int, 0 = padding.
      name: what they are called in the message.

    Raises:
      ValueError: a segment goes on after another, or after padding.
    """
    ids = np.asarray(segment_ids)
    starts = np.ones(ids.shape, bool)
    starts[:, 1:] = ids[:, 1:] != ids[:, :-1]
    for row, (numbers, begins) in enumerate(zip(ids, starts & (ids > 0), strict=True)):
        begun, times = np.unique(numbers[begins], return_counts=True)
        if (times > 1).any():
            number = begun[times > 1][0]
            raise ValueError(f"{name}: row {row}: segment {number} is in {times.max()} pieces")
