"""Attention by XLA alone that never holds the scores of a row whole; for any device.

Queries go by in chunks, each of which computes its scores again in the backward pass. Where every
segment is known to be short, as a tower's windows are, a chunk looks at itself and at its two
neighbours only. Segments of at most 4, in chunks of 4:

    queries                    a a b b   b b c c   c c c d   d d d .
    what the second one sees   a a b b   b b c c   c c c d
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from vsfa_jax.kernels.attention.block_map import SHORT, BlockMap, SegmentPair
from vsfa_jax.kernels.attention.kept import kept
from vsfa_jax.kernels.attention.reference import visible, weighted_values

_CHUNK = 256  # queries


def refuses(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    causal: bool,
    window: int | None,
    segment_ids: SegmentPair | None,
) -> str | None:
    """None: it can do everything."""
    return None


def attend(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    *,
    segment_ids: SegmentPair | None,
    block_map: BlockMap | None,
    causal: bool,
    scale: float,
    window: int | None,
    interpret: Any = False,
) -> jax.Array:
    """Arguments as in `api.attention`, with segment ids as a pair. Returns [B, T, N, H]."""
    longest = None if block_map is None else block_map.longest
    full = not causal and window is None and q.shape[1] == k.shape[1]
    if segment_ids is not None and longest is not None and longest <= SHORT and full:
        return kept(_banded(q, k, v, segment_ids, scale, longest))
    return kept(_chunked(q, k, v, segment_ids, causal, scale, window))


def _chunked(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    segment_ids: SegmentPair | None,
    causal: bool,
    scale: float,
    window: int | None,
) -> jax.Array:
    """A scan over chunks of queries, each against all keys.

    The scan adds up the chunks' gradients of what it closes over, in its dtype: so float32.
    """
    (b, t), s = q.shape[:2], k.shape[1]
    chunk = min(t, _CHUNK)
    queries = jnp.ones((b, t), jnp.int32) if segment_ids is None else segment_ids[0]
    keys, values = k.astype(jnp.float32), v.astype(jnp.float32)

    def attend_chunk(_: None, part: tuple[jax.Array, ...]) -> tuple[None, jax.Array]:
        rows, ids, places = part
        pair = None if segment_ids is None else (ids, segment_ids[1])
        seen = visible(places, s, segment_ids=pair, causal=causal, window=window)
        out = weighted_values(rows, keys.astype(k.dtype), values.astype(v.dtype), seen, scale)
        return None, out.astype(q.dtype)

    places = jnp.arange(t + -t % chunk).reshape(-1, chunk) + (s - t)
    parts = (_chunks(q, chunk), _chunks(queries, chunk), places)
    _, out = jax.lax.scan(jax.checkpoint(attend_chunk), None, parts)
    return jnp.moveaxis(out, 0, 1).reshape(b, -1, *q.shape[2:])[:, :t]


def _banded(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    segment_ids: SegmentPair,
    scale: float,
    longest: int,
) -> jax.Array:
    """One batched product over chunks as long as the longest segment."""
    b, t = q.shape[:2]

    def bands(x: jax.Array) -> jax.Array:
        """[B, T, ...] -> [chunks * B, 3 longest, ...]: each chunk between its neighbours."""
        around = ((0, 0), (longest, longest + -t % longest), *((0, 0),) * (x.ndim - 2))
        chunks = _chunks(jnp.pad(x, around), longest)
        three = jnp.concatenate([chunks[:-2], chunks[1:-1], chunks[2:]], axis=2)
        return three.reshape(-1, *three.shape[2:])

    @jax.checkpoint
    def attend_bands(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
        rows, ids = (_chunks(x, longest) for x in (q, segment_ids[0]))
        rows, ids = (x.reshape(-1, *x.shape[2:]) for x in (rows, ids))
        seen = (ids[:, :, None] == bands(segment_ids[1])[:, None, :]) & (ids[:, :, None] > 0)
        return weighted_values(rows, bands(k), bands(v), seen, scale).astype(q.dtype)

    out = attend_bands(q, k, v).reshape(-1, b, longest, *q.shape[2:])
    return jnp.moveaxis(out, 0, 1).reshape(b, -1, *q.shape[2:])[:, :t]


def _chunks(x: jax.Array, chunk: int) -> jax.Array:
    """[B, T, ...] -> [chunks, B, chunk, ...], padded with zeros."""
    t = x.shape[1]
    padded = jnp.pad(x, ((0, 0), (0, -t % chunk), *((0, 0),) * (x.ndim - 2)))
    return jnp.moveaxis(padded.reshape(x.shape[0], -1, chunk, *x.shape[2:]), 1, 0)
