"""Plain attention in float32: what every backend must equal."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from vsfa_jax.kernels.attention.block_map import BlockMap, SegmentPair

FORBIDDEN = -1e30  # a finite score, so that a query that sees nothing has no NaN
LOG2_E = math.log2(math.e)  # kernels take powers of 2, which is what the hardware has


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
    block_map: BlockMap | None = None,
    causal: bool,
    scale: float,
    window: int | None,
    interpret: Any = False,
) -> jax.Array:
    """Attention by its definition; the scores [B, K, G, T, S] are held whole, in float32.

    Arguments as in `api.attention`, with segment ids as a pair; it skips nothing and reads no map.
    Returns [B, T, N, H].
    """
    t, s = q.shape[1], k.shape[1]
    places = jnp.arange(t) + (s - t)
    seen = visible(places, s, segment_ids=segment_ids, causal=causal, window=window)
    exact_q, exact_k, exact_v = (x.astype(jnp.float32) for x in (q, k, v))
    return weighted_values(exact_q, exact_k, exact_v, seen, scale).astype(q.dtype)


def weighted_values(
    q: jax.Array, k: jax.Array, v: jax.Array, seen: jax.Array | None, scale: float
) -> jax.Array:
    """Softmax attention in the dtype of the arguments, scores and sums in float32.

    Args:
      q: [B, T, N, H].
      k: [B, S, K, H].
      v: [B, S, K, H].
      seen: [B or 1, T, S] bool; None is all True. A query that sees nothing gives zeros.
      scale: of the scores.

    Returns:
      [B, T, N, H] float32.
    """
    b, t, n, h = q.shape
    kv = k.shape[2]
    precision = jax.lax.Precision.HIGHEST if q.dtype == jnp.float32 else None
    product = {"precision": precision, "preferred_element_type": jnp.float32}
    grouped = q.reshape(b, t, kv, n // kv, h).transpose(0, 2, 3, 1, 4)
    keys, values = k.transpose(0, 2, 1, 3), v.transpose(0, 2, 1, 3)
    scores = jnp.einsum("bkgth,bksh->bkgts", grouped, keys, **product) * scale
    if seen is not None:
        scores = jnp.where(seen[:, None, None], scores, FORBIDDEN)
    weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype)
    out = jnp.einsum("bkgts,bksh->bkgth", weights, values, **product)
    if seen is not None:
        out = out * seen.any(-1)[:, None, None, :, None]
    return out.transpose(0, 3, 1, 2, 4).reshape(b, t, n, h)


def visible(
    places: jax.Array,
    s: int,
    *,
    segment_ids: SegmentPair | None,
    causal: bool,
    window: int | None,
) -> jax.Array | None:
    """[B or 1, T, S] bool, True where a query may see a key; None where every query sees all.

    causal          segments 1 1 2      both
    1 0 0           1 1 0               1 0 0
    1 1 0           1 1 0               1 1 0
    1 1 1           0 0 1               0 0 1

    Args:
      places: [T], for each query the index of the key that is its own.
      s: number of keys.
      segment_ids: as in `api.attention`, a pair.
      causal: likewise.
      window: likewise.
    """
    seen = None
    distance = places[:, None] - jnp.arange(s)[None, :]
    if causal:
        seen = (distance >= 0)[None]
    if window is not None:
        near = ((distance <= window) & (distance >= 0))[None]
        seen = near if seen is None else seen & near
    if segment_ids is not None:
        queries, keys = segment_ids
        same = (queries[:, :, None] == keys[:, None, :]) & (queries[:, :, None] > 0)
        seen = same if seen is None else seen & same
    return seen
