"""cuDNN's attention for rows that are not packed, through `jax.nn.dot_product_attention`.

The public door to cuDNN has no segment ids (offsets of packed rows exist only in JAX's private
modules), and its causal mask starts at the first key where ours ends at the last, which is the
same for T == S only. What it cannot do is refused, never dropped. It has not run on hardware.
Source: jax.nn.dot_product_attention of JAX 0.10.2.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from vsfa_jax.kernels.attention.block_map import BlockMap, SegmentPair

PLATFORM = "gpu"
MAX_HEAD_SIZE = 128  # Hopper takes 256; the GPUs before it do not
DTYPES = (jnp.dtype("bfloat16"), jnp.dtype("float16"))


def refuses(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    causal: bool,
    window: int | None,
    segment_ids: SegmentPair | None,
) -> str | None:
    """Why cuDNN cannot do what is asked, or None; arguments as in `attention`."""
    t, h, s = q.shape[1], q.shape[3], k.shape[1]
    if segment_ids is not None:
        return "segment ids: the public function has none"
    if not q.dtype == k.dtype == v.dtype:
        return f"q, k and v are {q.dtype}, {k.dtype} and {v.dtype}: cuDNN takes one dtype"
    if q.dtype not in DTYPES:
        return f"{q.dtype}: cuDNN's attention takes bfloat16 and float16"
    if h % 8 or h > MAX_HEAD_SIZE:
        return f"head size {h}: cuDNN takes multiples of 8 up to {MAX_HEAD_SIZE}"
    if (causal or window is not None) and t != s:
        return f"causal with {t} queries and {s} keys: cuDNN aligns the first of each, not the last"
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
    interpret: bool = False,
) -> jax.Array:
    """Attention as in `api.attention`, differentiable in q, k and v.

    Args:
      q: [B, T, N, H] bf16 or f16.
      k: [B, S, K, H].
      v: [B, S, K, H].
      segment_ids: must be None.
      block_map: must be None.
      causal: query t sees keys up to t; T == S.
      scale: of the scores.
      window: a query sees itself and this many keys to its left; T == S.
      interpret: must be False.

    Returns:
      [B, T, N, H] in the dtype of q.

    Raises:
      ValueError: what `refuses` says; a block map; `interpret`.
    """
    if reason := refuses(q, k, v, causal, window, segment_ids):
        raise ValueError(f"cudnn: {reason}")
    if block_map is not None:
        raise ValueError("cudnn: a block map: rows of one segment need none")
    if interpret:
        raise ValueError("cudnn: no interpret mode: it is a library of compiled kernels")
    return jax.nn.dot_product_attention(
        q,
        k,
        v,
        scale=scale,
        is_causal=causal or window is not None,
        local_window_size=None if window is None else (window, 0),
        implementation="cudnn",
    )
