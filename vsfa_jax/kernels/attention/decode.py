"""Attention of one new token a row over its cached keys, for evaluation.

The keys are split, every split gives its own softmax, and the splits are put together by their
log-sum-exps: a long cache is read in parallel, which one query alone would not keep busy.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from vsfa_jax.kernels.attention.reference import FORBIDDEN

_SPLIT = 512  # keys


def cache_slots(tokens: int) -> int:
    """Slots of a cache for at least so many tokens, of which no split is a part."""
    return tokens if tokens <= _SPLIT else tokens + -tokens % _SPLIT


def decode_attention(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    *,
    lengths: jax.Array,
    scale: float | None = None,
    window: int | None = None,
) -> jax.Array:
    """Softmax attention of each row's last token; grouped queries, keys never repeated.

    Args:
      q: [B, N, H].
      k: [B, K, S, H]; N is a multiple of K. Best with S of `cache_slots`, or it is padded.
      v: [B, K, S, H].
      lengths: [B] int32, at least 1: a row sees its first `lengths` keys, the last its own.
      scale: of the scores; 1 / sqrt(H) when None.
      window: a query sees its own key and this many before it.

    Returns:
      [B, N, H] in the dtype of q.
    """
    (b, n, h), (kv, s) = q.shape, k.shape[1:3]
    scale = h**-0.5 if scale is None else scale
    split = min(s, _SPLIT)
    key = jnp.arange(s + -s % split)
    seen = key < lengths[:, None]
    if window is not None:
        seen &= key >= lengths[:, None] - 1 - window
    room = ((0, 0), (0, 0), (0, -s % split), (0, 0))
    keys, values = (jnp.pad(x, room).reshape(b, kv, -1, split, h) for x in (k, v))
    product = {
        "precision": jax.lax.Precision.HIGHEST if q.dtype == jnp.float32 else None,
        "preferred_element_type": jnp.float32,
    }
    grouped = q.reshape(b, kv, n // kv, h)
    scores = jnp.einsum("bkgh,bkcsh->bkgcs", grouped, keys, **product) * scale
    visible = seen.reshape(b, 1, 1, -1, split)
    scores = jnp.where(visible, scores, FORBIDDEN)
    top = scores.max(-1, keepdims=True)
    weights = jnp.where(visible, jnp.exp(scores - top), 0)
    parts = jnp.einsum("bkgcs,bkcsh->bkgch", weights.astype(v.dtype), values, **product)
    shares = jnp.exp(top - top.max(3, keepdims=True))
    total = (shares * weights.sum(-1, keepdims=True)).sum(3)
    return ((shares * parts).sum(3) / total).reshape(b, n, h).astype(q.dtype)
