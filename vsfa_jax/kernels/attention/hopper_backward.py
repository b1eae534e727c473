"""The backward pass on Hopper: one kernel for dq, one for dk and dv; each tile is made again.

    S = Q K^T      P = exp2(S - lse)      dP = dO V^T      dS = P * (dP - delta)

    kernel     its 128 rows   walks over                           accumulates
    dq         queries        the visited blocks of keys           dQ += dS K
    dk, dv     keys           the blocks of queries that see       dV += P^T dO    dK += dS^T Q
                              them, head after head of the group

Two walks make S and dP twice (7 products a tile where a fused kernel has 5); in exchange every sum
has one owner, in registers and in a fixed order: no atomics, the same bits every time. Grouped
query heads are summed there too, so nothing of the size of repeated keys is ever written.
Source: arXiv 2307.08691, section 3.1.2.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from vsfa_jax.kernels.attention.hopper_tiles import (
    BLOCK,
    CONSUMERS,
    PER_COLUMN,
    PER_ROW,
    ROWS,
    STAGES,
    Ref,
    hide,
    launch,
    outside,
    positions,
    product,
    registers,
    ring_barriers,
    slot_of,
    spread,
    spread_columns,
    stream,
    tile_memory,
)
from vsfa_jax.kernels.attention.reference import LOG2_E


def query_tiles(spans: jax.Array, s: int, block_q: int, block_k: int) -> jax.Array:
    """The block map seen from the keys: which query blocks visit a key block.

    Args:
      spans: [B, 2, T] int32; see `BlockMap`.
      s: keys of a row.
      block_q: queries of a tile.
      block_k: keys of a tile.

    Returns:
      [B, Sb, 4] int32 in blocks of queries: the first that sees a key of the block, one past the
      last, the first of a run in which every query sees every key, one past it. Blocks between
      may see nothing (padding, segments in another order): masks tell, this map only saves work.
    """
    b, _, t = spans.shape
    blocks = jnp.pad(spans, ((0, 0), (0, 0), (0, -t % block_q))).reshape(b, 2, -1, block_q)
    start, stop = blocks[:, 0], blocks[:, 1]
    low = jnp.where(stop > start, start, s).min(-1)[:, None]
    begin = jnp.arange(0, s, block_k, dtype=jnp.int32)[:, None]
    visits = (low < begin + block_k) & (stop.max(-1)[:, None] > begin)
    full = (start.max(-1)[:, None] <= begin) & (stop.min(-1)[:, None] >= begin + block_k)
    index = jnp.arange(blocks.shape[2], dtype=jnp.int32)
    past = jnp.where(visits, index + 1, 0).max(-1)
    first = jnp.minimum(jnp.where(visits, index, index.size).min(-1), past)
    full_first = jnp.minimum(jnp.where(full, index, index.size).min(-1), past)
    broken = ~full & (index >= full_first[..., None])
    full_past = jnp.minimum(jnp.where(broken, index, index.size).min(-1), past)
    return jnp.stack([first, past, full_first, jnp.maximum(full_first, full_past)], axis=-1)


def gradient_of_queries(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    d_out: jax.Array,
    lse: jax.Array,
    delta: jax.Array,
    spans: jax.Array,
    tiles: jax.Array,
    *,
    scale: float,
    block_k: int,
) -> jax.Array:
    """[B, T, N, H], dq in the dtype of q.

    Args:
      q: [B, T, N, H], bf16 or f16; k and v [B, S, K, H]; as in `forward`.
      k: as above.
      v: as above.
      d_out: [B, T, N, H], the gradient of the result.
      lse: [B, N, Tb * 128] float32, from `forward`.
      delta: [B, N, Tb * 128] float32, the sum over H of out * d_out.
      spans: [B, 2, Tb * 128] int32.
      tiles: [B, Tb, 4] int32 in blocks of 128 queries and `block_k` keys.
      scale: of the scores.
      block_k: keys of a tile.
    """
    b, _, n, h = q.shape
    body = functools.partial(_queries_body, group=n // k.shape[2], scale=scale, block_k=block_k)
    own = tile_memory((CONSUMERS, ROWS, h), q.dtype)
    numbers = plgpu.SMEM((CONSUMERS, ROWS), jnp.float32)
    ring = tile_memory((STAGES, block_k, h), q.dtype)
    full, free = ring_barriers()
    (dq,) = launch(
        body,
        "attention_backward_dq",
        {"heads": n, "rows": b, "blocks": tiles.shape[1]},
        (jax.ShapeDtypeStruct(q.shape, q.dtype),),
        (
            *(own, own, numbers, numbers, plgpu.SMEM((CONSUMERS, 2, ROWS), jnp.int32), ring, ring),
            plgpu.Barrier(num_arrivals=5, num_barriers=CONSUMERS),
            *(full, full, free, free),
        ),
    )(q, k, v, d_out, lse, delta, spans, tiles)
    return dq


def _queries_body(
    q_ref: Ref,
    k_ref: Ref,
    v_ref: Ref,
    d_out_ref: Ref,
    lse_ref: Ref,
    delta_ref: Ref,
    spans_ref: Ref,
    tiles_ref: Ref,
    dq_ref: Ref,
    q_smem: Ref,
    d_out_smem: Ref,
    lse_smem: Ref,
    delta_smem: Ref,
    spans_smem: Ref,
    k_ring: Ref,
    v_ring: Ref,
    own_full: Ref,
    k_full: Ref,
    v_full: Ref,
    k_free: Ref,
    v_free: Ref,
    *,
    group: int,
    scale: float,
    block_k: int,
) -> None:
    row, head, warpgroup = (lax.axis_index(name) for name in ("rows", "heads", "warpgroup"))
    block = tiles_ref.shape[1] - 1 - lax.axis_index("blocks")
    first, past, full_first, full_past = (tiles_ref[row, block, i] for i in range(4))

    @pl.when(warpgroup == CONSUMERS)
    def _copy() -> None:
        def copy(source: Ref, ring: Ref, full: Ref, index: jax.Array, slot: jax.Array) -> None:
            keys = pl.ds((first + index) * block_k, block_k)
            tile = source.at[row, keys, lax.div(head, jnp.int32(group))]
            plgpu.copy_gmem_to_smem(tile, ring.at[slot], full.at[slot])

        copy_k = functools.partial(copy, k_ref, k_ring, k_full)
        copy_v = functools.partial(copy, v_ref, v_ring, v_full)
        stream(past - first, ((copy_k, k_free), (copy_v, v_free)))

    @pl.when(warpgroup < CONSUMERS)
    def _compute() -> None:
        plgpu.set_max_registers(232, action="increase")
        queries = pl.ds(block * BLOCK + warpgroup * ROWS, ROWS)
        own = (q_smem, d_out_smem, lse_smem, delta_smem, spans_smem)
        mine, d_mine, lse, delta, spans = own = tuple(ref.at[warpgroup] for ref in own)
        sources = (
            q_ref.at[row, queries, head],
            d_out_ref.at[row, queries, head],
            lse_ref.at[row, head, queries],
            delta_ref.at[row, head, queries],
            spans_ref.at[row, :, queries],
        )
        for source, target in zip(sources, own, strict=True):
            plgpu.copy_gmem_to_smem(source, target, own_full.at[warpgroup])
        plgpu.barrier_wait(own_full.at[warpgroup])
        lse, delta, start, stop = (
            registers(ref, PER_ROW) for ref in (lse, delta, spans.at[0], spans.at[1])
        )

        def mask(scores: jax.Array, step: jax.Array) -> jax.Array:
            keys = positions(step * block_k, scores, 1)
            return hide(scores, keys, spread(start, scores), spread(stop, scores))

        def accumulate(dq: Ref) -> jax.Array:
            @pl.loop(first, past)
            def _visit(step: jax.Array) -> None:
                slot = slot_of(step - first)
                plgpu.barrier_wait(k_full.at[slot])
                scores = product(mine, k_ring.at[slot].T)
                scores = scores * (scale * LOG2_E) - spread(lse, scores)
                masked = outside(step, full_first, full_past)
                scores = lax.cond(masked, mask, lambda scores, _: scores, scores, step)
                plgpu.barrier_wait(v_full.at[slot])
                d_weights = product(d_mine, v_ring.at[slot].T)
                plgpu.barrier_arrive(v_free.at[slot])
                d_scores = jnp.exp2(scores) * (d_weights - spread(delta, scores))
                plgpu.wgmma(dq, d_scores.astype(k_ring.dtype), k_ring.at[slot])
                plgpu.wgmma_wait(0)
                plgpu.barrier_arrive(k_free.at[slot])

            return dq[...]

        dq = pl.run_scoped(accumulate, plgpu.ACC((ROWS, q_ref.shape[-1]), jnp.float32))
        mine[...] = (dq * scale).astype(q_ref.dtype)
        plgpu.commit_smem()
        plgpu.copy_smem_to_gmem(mine, dq_ref.at[row, queries, head])
        plgpu.wait_smem_to_gmem(0)


def gradient_of_keys(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    d_out: jax.Array,
    lse: jax.Array,
    delta: jax.Array,
    spans: jax.Array,
    tiles: jax.Array,
    *,
    scale: float,
    block_q: int,
) -> tuple[jax.Array, jax.Array]:
    """[B, S, K, H] twice, dk and dv in the dtype of k.

    Args: as in `gradient_of_queries`, but
      tiles: [B, Sb, 4] int32, `query_tiles` in blocks of `block_q` queries and 128 keys.
      block_q: queries of a tile; divides 128.
    """
    b, _, kv, h = k.shape
    body = functools.partial(_keys_body, group=q.shape[2] // kv, scale=scale, block_q=block_q)
    own = tile_memory((CONSUMERS, ROWS, h), q.dtype)
    ring = tile_memory((STAGES, block_q, h), q.dtype)
    column = plgpu.SMEM((STAGES, block_q), jnp.float32)
    (q_full, q_free), (d_out_full, d_out_free) = ring_barriers(3), ring_barriers(2)
    dk, dv = launch(
        body,
        "attention_backward_dkv",
        {"heads": kv, "rows": b, "blocks": tiles.shape[1]},
        (jax.ShapeDtypeStruct(k.shape, k.dtype), jax.ShapeDtypeStruct(v.shape, v.dtype)),
        (
            *(own, own, ring, ring, column, column),
            plgpu.SMEM((STAGES, 2, block_q), jnp.int32),
            plgpu.Barrier(num_arrivals=2, num_barriers=CONSUMERS),
            *(q_full, d_out_full, q_free, d_out_free),
        ),
    )(q, k, v, d_out, lse, delta, spans, tiles)
    return dk, dv


def _keys_body(
    q_ref: Ref,
    k_ref: Ref,
    v_ref: Ref,
    d_out_ref: Ref,
    lse_ref: Ref,
    delta_ref: Ref,
    spans_ref: Ref,
    tiles_ref: Ref,
    dk_ref: Ref,
    dv_ref: Ref,
    k_smem: Ref,
    v_smem: Ref,
    q_ring: Ref,
    d_out_ring: Ref,
    lse_ring: Ref,
    delta_ring: Ref,
    spans_ring: Ref,
    own_full: Ref,
    q_full: Ref,
    d_out_full: Ref,
    q_free: Ref,
    d_out_free: Ref,
    *,
    group: int,
    scale: float,
    block_q: int,
) -> None:
    row, kv_head, block, warpgroup = (
        lax.axis_index(name) for name in ("rows", "heads", "blocks", "warpgroup")
    )
    first, past, full_first, full_past = (tiles_ref[row, block, i] for i in range(4))
    count = past - first  # of each query head

    @pl.when(warpgroup == CONSUMERS)
    def _copy() -> None:
        def place(index: jax.Array) -> tuple[jax.Array, Any]:
            head = kv_head * group + lax.div(index, count)
            return head, pl.ds((first + lax.rem(index, count)) * block_q, block_q)

        def copy_q(index: jax.Array, slot: jax.Array) -> None:
            (head, queries), full = place(index), q_full.at[slot]
            plgpu.copy_gmem_to_smem(q_ref.at[row, queries, head], q_ring.at[slot], full)
            plgpu.copy_gmem_to_smem(lse_ref.at[row, head, queries], lse_ring.at[slot], full)
            plgpu.copy_gmem_to_smem(spans_ref.at[row, :, queries], spans_ring.at[slot], full)

        def copy_d_out(index: jax.Array, slot: jax.Array) -> None:
            (head, queries), full = place(index), d_out_full.at[slot]
            plgpu.copy_gmem_to_smem(d_out_ref.at[row, queries, head], d_out_ring.at[slot], full)
            plgpu.copy_gmem_to_smem(delta_ref.at[row, head, queries], delta_ring.at[slot], full)

        stream(count * group, ((copy_q, q_free), (copy_d_out, d_out_free)))

    @pl.when(warpgroup < CONSUMERS)
    def _compute() -> None:
        plgpu.set_max_registers(232, action="increase")
        base = block * BLOCK + warpgroup * ROWS
        keys = pl.ds(base, ROWS)
        k_mine, v_mine, own = k_smem.at[warpgroup], v_smem.at[warpgroup], own_full.at[warpgroup]
        plgpu.copy_gmem_to_smem(k_ref.at[row, keys, kv_head], k_mine, own)
        plgpu.copy_gmem_to_smem(v_ref.at[row, keys, kv_head], v_mine, own)
        plgpu.barrier_wait(own)

        def columns(ref: Ref, like: jax.Array) -> jax.Array:
            return spread_columns(registers(ref, PER_COLUMN), like)

        def mask(scores: jax.Array, slot: jax.Array) -> jax.Array:
            start, stop = (columns(spans_ring.at[slot, i], scores) for i in range(2))
            return hide(scores, positions(base, scores, 0), start, stop)

        def accumulate(dk: Ref, dv: Ref) -> tuple[jax.Array, jax.Array]:
            @pl.loop(0, count * group)
            def _visit(index: jax.Array) -> None:
                slot, step = slot_of(index), first + lax.rem(index, count)
                plgpu.barrier_wait(q_full.at[slot])
                scores = product(k_mine, q_ring.at[slot].T)
                scores = scores * (scale * LOG2_E) - columns(lse_ring.at[slot], scores)
                masked = outside(step, full_first, full_past)
                scores = lax.cond(masked, mask, lambda scores, _: scores, scores, slot)
                weights = jnp.exp2(scores)
                plgpu.barrier_wait(d_out_full.at[slot])
                plgpu.wgmma(dv, weights.astype(q_ring.dtype), d_out_ring.at[slot])
                d_weights = product(v_mine, d_out_ring.at[slot].T)
                d_scores = weights * (d_weights - columns(delta_ring.at[slot], scores))
                plgpu.barrier_arrive(d_out_free.at[slot])
                plgpu.wgmma(dk, d_scores.astype(q_ring.dtype), q_ring.at[slot])
                plgpu.wgmma_wait(0)
                plgpu.barrier_arrive(q_free.at[slot])

            return dk[...], dv[...]

        total = plgpu.ACC((ROWS, k_ref.shape[-1]), jnp.float32)
        dk, dv = pl.run_scoped(accumulate, total, total)
        k_mine[...] = (dk * scale).astype(k_ref.dtype)
        v_mine[...] = dv.astype(v_ref.dtype)
        plgpu.commit_smem()
        plgpu.copy_smem_to_gmem(k_mine, dk_ref.at[row, keys, kv_head])
        plgpu.copy_smem_to_gmem(v_mine, dv_ref.at[row, keys, kv_head])
        plgpu.wait_smem_to_gmem(0)
