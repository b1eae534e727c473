"""Our TPU kernels as a function of [B, T, N, H] arrays: layouts, padding, and the derivative."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from vsfa_jax.kernels.attention import tpu_backward, tpu_forward
from vsfa_jax.kernels.attention.block_map import BlockMap, SegmentPair, make_block_map
from vsfa_jax.kernels.attention.kept import kept
from vsfa_jax.kernels.attention.tpu_blocks import choose_blocks, tpu_info
from vsfa_jax.kernels.attention.tpu_tiles import Blocks, Tiling

PLATFORM = "tpu"
LANES, SUBLANES = 128, 16  # a vector register's; bfloat16 packs two rows to a sublane
_VMEM_SHARE = 0.75  # of a core's VMEM, the rest is the compiler's
_KEYS_SHARE = 0.5  # of it for what belongs to all keys, the rest is for tiles

Map = tuple[jax.Array, jax.Array] | None


@dataclasses.dataclass(frozen=True)
class Call:
    """The static facts of a call and of its derivative."""

    forward: Tiling
    backward: Tiling
    scale: float
    interpret: Any
    vmem_bytes: int | None


def refuses(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    causal: bool,
    window: int | None,
    segment_ids: SegmentPair | None,
) -> str | None:
    """Why the kernels cannot do what is asked, or None; arguments as in `attention`."""
    del causal, window, segment_ids  # they do all of it
    info = tpu_info()
    if q.dtype not in (jnp.bfloat16, jnp.float32) or not q.dtype == k.dtype == v.dtype:
        return f"it takes bfloat16 or float32, the same for all; found {q.dtype, k.dtype, v.dtype}"
    # K, V, dK and dV of a key head, twice because fetching overlaps, and two sums in float32
    s, h = -(-k.shape[1] // LANES) * LANES, -(-k.shape[3] // SUBLANES) * SUBLANES
    needed = s * h * (8 * k.dtype.itemsize + 8)
    if info is not None and needed > _KEYS_SHARE * info.vmem_capacity_bytes:
        room = info.vmem_capacity_bytes >> 20
        return f"{s} keys of a head need {needed >> 20} MiB, over half of a core's {room} MiB"
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
    blocks: tuple[Blocks, Blocks] | None = None,
) -> jax.Array:
    """Attention by the TPU kernels; arguments as in `api.attention`, segment ids as a pair.

    Args:
      blocks: sizes of the forward and the backward kernel; the chip's tuned ones when None. With
        a block map they are cut to its tiles.
    """
    t, s, h = q.shape[1], k.shape[1], q.shape[3]
    mapped = segment_ids is not None
    longest = None if block_map is None else block_map.longest
    found = blocks or choose_blocks(t, s, h, causal=causal, mapped=mapped, longest=longest)
    if segment_ids is not None and block_map is None:
        sizes = {"block_q": found[0].block_q, "block_k": found[0].block_k}
        block_map = make_block_map(segment_ids, causal=causal, window=window, **sizes)
    if block_map is not None:
        found = _fitted(found[0], block_map), _fitted(found[1], block_map)
    rows = h % LANES == 0 and not found[0].columns
    shared = block_map is None or block_map.shared
    forward, backward = (Tiling(part, t, s, causal, window, mapped, rows, shared) for part in found)
    info = tpu_info()
    vmem = None if info is None else int(info.vmem_capacity_bytes * _VMEM_SHARE)
    call = Call(forward, backward, scale, interpret, vmem)
    pad_q, pad_k = (-n % _common(forward, backward, name) for n, name in ((t, "q"), (s, "k")))
    queries, keys, values = (
        _into_layout(x, rows, pad) for x, pad in ((q, pad_q), (k, pad_k), (v, pad_k))
    )
    seen = None
    if block_map is not None:
        seen = jnp.pad(block_map.spans, ((0, 0), (0, 0), (0, pad_q))), block_map.tiles
    out = _attend(call, queries, keys, values, seen)
    return _out_of_layout(out, rows, t, h)


def _fitted(blocks: Blocks, block_map: BlockMap) -> Blocks:
    """The same blocks with the map's tiles."""
    chain = blocks.chain if block_map.block_q % blocks.chain == 0 else block_map.block_q
    return dataclasses.replace(
        blocks, block_q=block_map.block_q, block_k=block_map.block_k, chain=chain
    )


def _common(forward: Tiling, backward: Tiling, name: str) -> int:
    """Tokens that both kernels' blocks divide; one is a multiple of the other."""
    return max(getattr(part.blocks, f"block_{name}") for part in (forward, backward))


def _into_layout(x: jax.Array, rows: bool, pad: int) -> jax.Array:
    """[B, T, N, H] -> [B, N, T', H], or [B, N, H', T'] in columns, padded with zeros."""
    b_n_t_h = jnp.pad(x, ((0, 0), (0, pad), (0, 0), (0, 0))).transpose(0, 2, 1, 3)
    if rows:
        return b_n_t_h
    short = -x.shape[3] % SUBLANES
    return jnp.pad(b_n_t_h.transpose(0, 1, 3, 2), ((0, 0), (0, 0), (0, short), (0, 0)))


def _out_of_layout(x: jax.Array, rows: bool, t: int, h: int) -> jax.Array:
    """Back to [B, T, N, H]."""
    if rows:
        return x.transpose(0, 2, 1, 3)[:, :t]
    return x.transpose(0, 3, 1, 2)[:, :t, :, :h]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attend(call: Call, q: jax.Array, k: jax.Array, v: jax.Array, seen: Map) -> jax.Array:
    return _forward(call, q, k, v, seen)[0]


def _forward(
    call: Call, q: jax.Array, k: jax.Array, v: jax.Array, seen: Map
) -> tuple[jax.Array, tuple[Any, ...]]:
    out, log_sum_exp = tpu_forward.forward(
        *(q, k, v, seen),
        tiling=call.forward,
        scale=call.scale,
        interpret=call.interpret,
        vmem_bytes=call.vmem_bytes,
    )
    out, log_sum_exp = kept(out), kept(log_sum_exp)
    return out, (q, k, v, seen, out, log_sum_exp)


def _backward(call: Call, saved: tuple[Any, ...], grad: jax.Array) -> tuple[Any, ...]:
    q, k, v, seen, out, log_sum_exp = saved
    feature = 3 if call.backward.rows else 2
    delta = (out.astype(jnp.float32) * grad.astype(jnp.float32)).sum(feature)[:, :, None]
    gradients = tpu_backward.backward(
        *(q, k, v, grad, log_sum_exp, delta, seen),
        tiling=call.backward,
        scale=call.scale,
        interpret=call.interpret,
        vmem_bytes=call.vmem_bytes,
    )
    return *gradients, None


_attend.defvjp(_forward, _backward)
