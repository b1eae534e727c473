"""Plain attention in float32: what every backend must equal."""

from __future__ import annotations

import jax
import jax.numpy as jnp

_FORBIDDEN = -1e30  # finite, so that a row that sees nothing has no NaN


def attend(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    *,
    segment_ids: tuple[jax.Array, jax.Array] | None,
    causal: bool,
    scale: float,
    window: int | None,
) -> jax.Array:
    """Attention by its definition; the scores [B, K, G, T, S] are held whole, in float32.

    Arguments as in `api.attention`, with segment ids as a pair. Returns [B, T, N, H].
    """
    b, t, n, h = q.shape
    s, kv = k.shape[1], k.shape[2]
    grouped = q.reshape(b, t, kv, n // kv, h).transpose(0, 2, 3, 1, 4)
    keys, values = k.transpose(0, 2, 1, 3), v.transpose(0, 2, 1, 3)
    scores = jnp.einsum("bkgth,bksh->bkgts", grouped, keys, preferred_element_type=jnp.float32)
    seen = visible(t, s, segment_ids=segment_ids, causal=causal, window=window)
    scores = scores * scale
    if seen is not None:
        scores = jnp.where(seen[:, None, None], scores, _FORBIDDEN)
    weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype)
    out = jnp.einsum("bkgts,bksh->bkgth", weights, values, preferred_element_type=jnp.float32)
    if seen is not None:
        out = out * seen.any(-1)[:, None, None, :, None]
    return out.transpose(0, 3, 1, 2, 4).reshape(b, t, n, h).astype(q.dtype)


def visible(
    t: int,
    s: int,
    *,
    segment_ids: tuple[jax.Array, jax.Array] | None,
    causal: bool,
    window: int | None,
) -> jax.Array | None:
    """[B or 1, T, S] bool, True where a query may see a key; None where every query sees all.

    causal          segments 1 1 2      both
    1 0 0           1 1 0               1 0 0
    1 1 0           1 1 0               1 1 0
    1 1 1           0 0 1               0 0 1
    """
    seen = None
    distance = (jnp.arange(t)[:, None] + s - t) - jnp.arange(s)[None, :]
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
