"""Attention on Hopper GPUs (H100, H200) by Mosaic GPU: packed rows, grouped queries, no repeats.

It visits only the tiles in which something is seen, and masks only those that a span cuts. Saved
for the backward pass: the result and its log-sum-exp. No atomics: the same bits every time.

**It has not run on hardware.** It compiles for an H200 (`tests/test_attention_gpu.py` says with
which registers) and its values and gradients are right in the interpreter, which knows nothing of
speed, of asynchrony or of how wgmma reads shared memory. So "auto" never chooses it. JAX's own
Hopper kernel refuses causal masks with CUDA 12.8.0 to 12.9.0, whose ptxas miscompiles them.

Copies land in shared memory as they lie in global memory: rows of 8, and a head size of 16. What
does not fit is padded here: T and S to a multiple of 8 (and to 128 at least), H to one of 16.
Under several devices it is one call a device, inside `shard_map`.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from vsfa_jax.kernels.attention.block_map import (
    BlockMap,
    SegmentPair,
    visible_spans,
    visited_tiles,
)
from vsfa_jax.kernels.attention.hopper_backward import (
    gradient_of_keys,
    gradient_of_queries,
    query_tiles,
)
from vsfa_jax.kernels.attention.hopper_forward import forward
from vsfa_jax.kernels.attention.hopper_tiles import BLOCK
from vsfa_jax.kernels.attention.kept import kept

BLOCK_Q, BLOCK_K = BLOCK, 128  # the block sizes at which a batch's map is used as it is
PLATFORM = "gpu"
HOPPER = ("9.0",)
MAX_HEAD_SIZE = 128
DTYPES = (jnp.dtype("bfloat16"), jnp.dtype("float16"))


def refuses(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    causal: bool,
    window: int | None,
    segment_ids: SegmentPair | None,
) -> str | None:
    """Why these kernels cannot do what is asked, or None; arguments as in `attention`."""
    del causal, window, segment_ids  # whatever they say becomes a span for each query
    if not q.dtype == k.dtype == v.dtype:
        return f"q, k and v are {q.dtype}, {k.dtype} and {v.dtype}: wgmma takes one dtype"
    if q.dtype not in DTYPES:
        return f"{q.dtype}: wgmma multiplies bfloat16 and float16, and float32 only cut to 19 bits"
    devices = jax.devices() if jax.default_backend() == PLATFORM else []
    if any(getattr(one, "compute_capability", "") not in HOPPER for one in devices):
        return f"{devices[0].device_kind}: its instructions are Hopper's"
    if q.shape[-1] > MAX_HEAD_SIZE:
        return f"head size {q.shape[-1]}: the accumulators of {MAX_HEAD_SIZE} fill the registers"
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
      segment_ids: ([B, T], [B, S]) int32, segments contiguous, 0 = padding.
      block_map: of these segments, `causal` and `window`; best in blocks of `BLOCK_Q` queries and
        `BLOCK_K` keys, else its tiles are made anew from its spans. None: made here.
      causal: query t sees keys up to t + S - T.
      scale: of the scores; positive.
      window: a query sees itself and this many keys to its left.
      interpret: must be False.

    Returns:
      [B, T, N, H] in the dtype of q.

    Raises:
      ValueError: what `refuses` says; a scale that is not positive; a map of other rows;
        `interpret`.
    """
    if reason := refuses(q, k, v, causal, window, segment_ids):
        raise ValueError(f"pallas_gpu: {reason}")
    if not scale > 0:
        raise ValueError(f"pallas_gpu: scale: found {scale}, wanted a positive one")
    if interpret:
        raise ValueError("pallas_gpu: no interpret mode: JAX 0.10 has none that is public")
    b, t, _, h = q.shape
    s = k.shape[1]
    if block_map is not None:
        spans = block_map.spans
        if spans.shape != (b, 2, t):
            raise ValueError(f"block_map: found spans {spans.shape}, wanted {(b, 2, t)}")
    elif segment_ids is not None:
        spans = visible_spans(segment_ids, causal=causal, window=window)
    else:
        one_row = _unpacked_spans(t, s, causal=causal, window=window)
        spans = jnp.broadcast_to(one_row, (b, 2, t))
    if block_map is not None and (block_map.block_q, block_map.block_k) == (BLOCK_Q, BLOCK_K):
        tiles = block_map.tiles
    else:
        tiles = visited_tiles(spans, BLOCK_Q, BLOCK_K)
    spans = jnp.pad(spans, ((0, 0), (0, 0), (0, -t % BLOCK_Q)))
    return _attend(*map(_padded, (q, k, v)), spans, tiles, scale)[:, :t, :, :h]


def _unpacked_spans(t: int, s: int, *, causal: bool, window: int | None) -> jax.Array:
    """[1, 2, T] int32: `visible_spans` of one segment that is as long as the row."""
    place = jnp.arange(t, dtype=jnp.int32) + (s - t)
    stop = jnp.clip(place + 1, 0, s) if causal or window is not None else jnp.full(t, s, jnp.int32)
    start = jnp.zeros(t, jnp.int32) if window is None else jnp.maximum(place - window, 0)
    return jnp.stack([jnp.where(stop > start, start, 0), stop])[None]


def _padded(x: jax.Array) -> jax.Array:
    """[B, T, N, H] with zeros, so that T and H are what the copies take."""
    _, t, _, h = x.shape
    return jnp.pad(x, ((0, 0), (0, max(-t % 8, BLOCK - t)), (0, 0), (0, -h % 16)))


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def _attend(
    q: jax.Array, k: jax.Array, v: jax.Array, spans: jax.Array, tiles: jax.Array, scale: float
) -> jax.Array:
    return forward(q, k, v, spans, tiles, scale=scale, block_k=BLOCK_K)[0]


Saved = tuple[jax.Array, ...]


def _attend_forward(
    q: jax.Array, k: jax.Array, v: jax.Array, spans: jax.Array, tiles: jax.Array, scale: float
) -> tuple[jax.Array, Saved]:
    out, lse = forward(q, k, v, spans, tiles, scale=scale, block_k=BLOCK_K)
    out, lse = kept(out), kept(lse)
    return out, (q, k, v, spans, tiles, out, lse)


def _attend_backward(
    scale: float, saved: Saved, d_out: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, None, None]:
    q, k, v, spans, tiles, out, lse = saved
    delta = jnp.einsum("btnh,btnh->bnt", out, d_out, preferred_element_type=jnp.float32)
    delta = jnp.pad(delta, ((0, 0), (0, 0), (0, lse.shape[2] - delta.shape[2])))
    parts = (q, k, v, d_out, lse, delta, spans)
    dq = gradient_of_queries(*parts, tiles, scale=scale, block_k=BLOCK_K)
    block_q = 128 if q.shape[-1] <= 64 else 64  # dk and dv leave no registers for more
    turned = query_tiles(spans, k.shape[1], block_q, BLOCK)
    dk, dv = gradient_of_keys(*parts, turned, scale=scale, block_q=block_q)
    return dq, dk, dv, None, None


_attend.defvjp(_attend_forward, _attend_backward)
