"""The forward pass on Hopper: out and log-sum-exp of 128 queries of one head.

    warpgroup 0   queries   0..63    S = Q K^T   softmax   O = O * shrink + P V     over the tiles
    warpgroup 1   queries  64..127   the same                                       that are visited
    warpgroup 2   copies K and V tiles into two rings

The running maximum, the sum and O stay in registers (arXiv 2407.08608, section 3.1). P V lands in
an accumulator of its own and is added to the shrunken O, one multiply-add, where others shrink O
and accumulate into it: no wgmma waits for the shrinking.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from vsfa_jax.kernels.attention.hopper_tiles import (
    BLOCK,
    CONSUMERS,
    NEVER,
    PER_ROW,
    ROWS,
    STAGES,
    Ref,
    filled,
    hide,
    launch,
    outside,
    positions,
    product,
    registers,
    ring_barriers,
    slot_of,
    spread,
    stream,
    tile_memory,
)
from vsfa_jax.kernels.attention.reference import LOG2_E


def forward(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    spans: jax.Array,
    tiles: jax.Array,
    *,
    scale: float,
    block_k: int,
) -> tuple[jax.Array, jax.Array]:
    """Attention, tile by visited tile.

    Args:
      q: [B, T, N, H], bf16 or f16; T a multiple of 8, H of 16.
      k: [B, S, K, H]; S a multiple of 8.
      v: [B, S, K, H].
      spans: [B, 2, Tb * 128] int32; see `BlockMap`; 0, 0 beyond T.
      tiles: [B, Tb, 4] int32 in blocks of 128 queries and `block_k` keys; see `BlockMap`.
      scale: of the scores; positive.
      block_k: keys of a tile.

    Returns:
      [B, T, N, H] in the dtype of q, and the log-sum-exp [B, N, Tb * 128] float32 to base 2 (0 for
      a query that sees nothing).
    """
    b, t, n, h = q.shape
    blocks = tiles.shape[1]
    body = functools.partial(
        _forward_body, group=n // k.shape[2], factor=scale * LOG2_E, block_k=block_k
    )
    ring = tile_memory((STAGES, block_k, h), q.dtype)
    full, free = ring_barriers()
    out, lse = launch(
        body,
        "attention_forward",
        {"heads": n, "rows": b, "blocks": blocks},
        (
            jax.ShapeDtypeStruct((b, t, n, h), q.dtype),
            jax.ShapeDtypeStruct((b, n, blocks * BLOCK), jnp.float32),
        ),
        (
            tile_memory((CONSUMERS, ROWS, h), q.dtype),
            ring,
            ring,
            plgpu.SMEM((CONSUMERS, 2, ROWS), jnp.int32),
            plgpu.SMEM((CONSUMERS, ROWS), jnp.float32),
            plgpu.Barrier(num_arrivals=2, num_barriers=CONSUMERS),
            *(full, full, free, free),
        ),
    )(q, k, v, spans, tiles)
    return out, lse


def _forward_body(
    q_ref: Ref,
    k_ref: Ref,
    v_ref: Ref,
    spans_ref: Ref,
    tiles_ref: Ref,
    out_ref: Ref,
    lse_ref: Ref,
    q_smem: Ref,
    k_ring: Ref,
    v_ring: Ref,
    spans_smem: Ref,
    lse_smem: Ref,
    own_full: Ref,
    k_full: Ref,
    v_full: Ref,
    k_free: Ref,
    v_free: Ref,
    *,
    group: int,
    factor: float,
    block_k: int,
) -> None:
    row, head, warpgroup = (lax.axis_index(name) for name in ("rows", "heads", "warpgroup"))
    # causal: the last block of queries visits the most tiles, so it starts first
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
        mine = q_smem.at[warpgroup]
        spans, full = spans_smem.at[warpgroup], own_full.at[warpgroup]
        plgpu.copy_gmem_to_smem(q_ref.at[row, queries, head], mine, full)
        plgpu.copy_gmem_to_smem(spans_ref.at[row, :, queries], spans, full)
        plgpu.barrier_wait(full)
        start, stop = (registers(spans.at[i], PER_ROW) for i in range(2))

        def mask(scores: jax.Array, step: jax.Array) -> jax.Array:
            keys = positions(step * block_k, scores, 1)
            return hide(scores, keys, spread(start, scores), spread(stop, scores))

        def visit(step: jax.Array, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
            out, top, total = carry
            slot = slot_of(step - first)
            plgpu.barrier_wait(k_full.at[slot])
            scores = product(mine, k_ring.at[slot].T)
            plgpu.barrier_arrive(k_free.at[slot])
            masked = outside(step, full_first, full_past)
            scores = lax.cond(masked, mask, lambda scores, _: scores, scores, step)
            new_top = jnp.maximum(top, scores.max(axis=1) * factor)
            shrink = jnp.exp2(top - new_top)
            weights = jnp.exp2(scores * factor - spread(new_top, scores))
            total = total * shrink + weights.sum(axis=1)
            plgpu.barrier_wait(v_full.at[slot])
            seen = product(weights.astype(v_ring.dtype), v_ring.at[slot])
            plgpu.barrier_arrive(v_free.at[slot])
            return out * spread(shrink, out) + seen, new_top, total

        empty = (
            filled((ROWS, q_ref.shape[-1]), 0.0),
            filled((ROWS,), NEVER, PER_ROW),
            filled((ROWS,), 0.0, PER_ROW),
        )
        out, top, total = lax.fori_loop(first, past, visit, empty)
        sees = total > 0
        total = jnp.where(sees, total, 1.0)
        lse_smem[warpgroup] = jnp.where(sees, top + jnp.log(total) * LOG2_E, 0.0)
        mine[...] = (out * spread(1.0 / total, out)).astype(q_ref.dtype)
        plgpu.commit_smem()
        plgpu.copy_smem_to_gmem(mine, out_ref.at[row, queries, head])
        plgpu.copy_smem_to_gmem(lse_smem.at[warpgroup], lse_ref.at[row, head, queries])
        plgpu.wait_smem_to_gmem(0)
