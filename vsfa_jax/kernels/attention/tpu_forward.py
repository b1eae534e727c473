"""The forward TPU kernel.

FlashAttention-2 (arXiv 2307.08691, algorithm 1) with the online softmax of arXiv 1805.02867. For a
block of queries and each key block j that it visits:

    s     = q k_j^T * scale * log2(e)          so that exp is the hardware's exp2
    m'    = max(m, max over keys of s)
    p     = exp2(s - m')
    total = total * exp2(m - m') + sum over keys of p
    out   = out * exp2(m - m') + p v_j
    m     = m'

and at the end out / total, and for the backward pass log_sum_exp = m + log2(total), in units of
log 2. In columns everything is transposed: s^T = k_j q^T and out^T = v_j^T p^T.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from vsfa_jax.kernels.attention.reference import FORBIDDEN, LOG2_E
from vsfa_jax.kernels.attention.tpu_tiles import (
    FULL,
    Scalar,
    Tiling,
    bounds,
    key_slice,
    masked,
    product,
    span,
    tokens,
    visit_tiles,
)

Carry = tuple[jax.Array, jax.Array, jax.Array]

SEES_NOTHING = 1e30  # the log-sum-exp of such a query: exp2(score - this) is 0


def forward(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    spans_and_tiles: tuple[jax.Array, jax.Array] | None,
    *,
    tiling: Tiling,
    scale: float,
    interpret: Any = False,
    vmem_bytes: int | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Attention in the kernel's own layout, T and S whole blocks.

    Args:
      q: [B, N, T, H] in rows, [B, N, H, T] in columns.
      k: [B, K, S, H], or [B, K, H, S].
      v: as k.
      spans_and_tiles: [B, 2, T] and [B, Tb, 4] int32 of a block map; None if not `tiling.mapped`.
      tiling: the static facts.
      scale: of the scores.
      interpret: as `pallas_call` takes it.
      vmem_bytes: the kernel's limit.

    Returns:
      out, shaped as q, and log_sum_exp [B, N, 1, T] float32.
    """
    queries, keys, statistics, spans = block_specs(q, k, tiling)
    t, kv = q.shape[2 if tiling.rows else 3], k.shape[1]
    body = functools.partial(_kernel, tiling=tiling, scale=scale)
    call = pl.pallas_call(
        body if tiling.mapped else functools.partial(body, None, None),
        out_shape=(
            jax.ShapeDtypeStruct(q.shape, q.dtype),
            jax.ShapeDtypeStruct((*q.shape[:2], 1, t), jnp.float32),
        ),
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=int(tiling.mapped),
            grid=(q.shape[0], kv, q.shape[1] // kv, t // tiling.blocks.block_q),
            in_specs=[*([spans] if tiling.mapped else []), queries, keys, keys],
            out_specs=(queries, statistics),
        ),
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel",) * 4, vmem_limit_bytes=vmem_bytes
        ),
        cost_estimate=cost(q, k, tiling, products=2),
        interpret=interpret,
        name="attention_forward",
    )
    return call(*map_arguments(spans_and_tiles), q, k, v)


def block_specs(q: jax.Array, k: jax.Array, tiling: Tiling) -> tuple[pl.BlockSpec, ...]:
    """Of queries, keys, statistics [B, N, 1, T] and spans [B, 2, T], over a grid (b, k, g, i)."""
    size, group = tiling.blocks.block_q, q.shape[1] // k.shape[1]
    h = q.shape[3 if tiling.rows else 2]

    def block(b: Any, head: Any, g: Any, i: Any, *_: Any) -> tuple[Any, ...]:
        place = (i, 0) if tiling.rows else (0, i)
        return b, head * group + g, *place

    return (
        pl.BlockSpec((1, 1, *((size, h) if tiling.rows else (h, size))), block),
        pl.BlockSpec((1, 1, *k.shape[2:]), lambda b, head, g, i, *_: (b, head, 0, 0)),
        pl.BlockSpec((1, 1, 1, size), lambda b, head, g, i, *_: (b, head * group + g, 0, i)),
        pl.BlockSpec((1, 2, size), lambda b, head, g, i, *_: (b, 0, i)),
    )


def map_arguments(spans_and_tiles: tuple[jax.Array, jax.Array] | None) -> tuple[jax.Array, ...]:
    """What comes before the arrays: the tiles, flat for SMEM, and the spans; nothing unmapped."""
    if spans_and_tiles is None:
        return ()
    spans, tiles = spans_and_tiles
    return tiles.reshape(-1), spans


def cost(q: jax.Array, k: jax.Array, tiling: Tiling, products: int) -> pl.CostEstimate:
    """What XLA's scheduler is told: `products` of [T, H] by [H, S] a head, half of it if causal."""
    t, s = tiling.queries, tiling.keys
    scores = q.shape[0] * q.shape[1] * t * s // (2 if tiling.causal else 1)
    return pl.CostEstimate(
        flops=2 * products * scores * (q.size // (q.shape[0] * q.shape[1] * t)),
        transcendentals=scores,
        bytes_accessed=products * (q.size + k.size) * q.dtype.itemsize,
    )


def _kernel(
    tiles: Any,
    spans_ref: Any,
    q_ref: Any,
    k_ref: Any,
    v_ref: Any,
    out_ref: Any,
    lse_ref: Any,
    tiling: Tiling,
    scale: float,
) -> None:
    """One block of queries of one head; shapes in the comments are those of rows."""
    i, size, rows = pl.program_id(3), tiling.blocks.block_k, tiling.rows
    key_axis = 1 if rows else 0  # of scores
    found = bounds(tiling, i, tiles, pl.program_id(0))

    def scores(j: Scalar, u: int, kind: str) -> jax.Array:
        """[chain, keys] before scaling."""
        here, q = key_slice(j, size, tiling.width(kind, u)), tokens(tiling, q_ref, u)
        if rows:
            return product(q, k_ref[0, 0, here], 1, 1)
        return product(k_ref[0, 0, :, here], q, 0, 0)

    def weighted(p: jax.Array, j: Scalar, u: int, kind: str) -> jax.Array:
        """[chain, H] of values."""
        here, p = key_slice(j, size, tiling.width(kind, u)), p.astype(v_ref.dtype)
        if rows:
            return product(p, v_ref[0, 0, here], 1, 0)
        return product(v_ref[0, 0, :, here], p, 1, 0)

    def softmax(s: jax.Array, carry: Carry | None, j: Scalar, u: int, kind: str) -> Carry:
        s *= scale * LOG2_E
        if kind != FULL:
            query = i * tiling.blocks.block_q + u * tiling.blocks.chain
            seen_keys = span(tiling, spans_ref, u, upright=rows)
            s = masked(tiling, s, j * size, query, seen_keys, key_axis, kind)
        top = s.max(key_axis, keepdims=True)
        if carry is None:
            p = jnp.exp2(s - top)
            return top, p.sum(key_axis, keepdims=True), weighted(p, j, u, kind)
        m, total, out = carry  # [chain, 1], [chain, 1], [chain, H]
        top = jnp.maximum(m, top)
        p, shrink = jnp.exp2(s - top), jnp.exp2(m - top)
        total = total * shrink + p.sum(key_axis, keepdims=True)
        return top, total, out * shrink + weighted(p, j, u, kind)

    def visit(blocks: Sequence[Scalar], carry: tuple[Carry, ...] | None, kind: str) -> Any:
        work = [(j, u) for j in blocks for u in tiling.chains()]
        chains: list[Carry | None] = list(carry or [None] * len(tiling.chains()))
        ahead = tiling.blocks.ahead
        ready = [scores(j, u, kind) for j, u in work[:ahead]]
        for n, (j, u) in enumerate(work):
            ready += [scores(*later, kind) for later in work[n + ahead : n + ahead + 1]]
            chains[u] = softmax(ready.pop(0), chains[u], j, u, kind)
        return tuple(chains)

    def nothing() -> tuple[Carry, ...]:
        c, h = tiling.blocks.chain, q_ref.shape[3 if rows else 2]
        one, wide = ((c, 1), (c, h)) if rows else ((1, c), (h, c))
        zeros = functools.partial(jnp.zeros, dtype=jnp.float32)
        return ((jnp.full(one, FORBIDDEN), zeros(one), zeros(wide)),) * len(tiling.chains())

    def compute() -> None:
        carry = visit_tiles(tiling, i, found, visit, nothing)
        for u, (m, total, out) in enumerate(carry):
            here, lse, share = tiling.chain_tokens(u), m + jnp.log2(total), 1 / total
            if not tiling.all_see:
                sees = m > FORBIDDEN
                lse, share = jnp.where(sees, lse, SEES_NOTHING), jnp.where(sees, share, 0.0)
            place = (0, 0, here) if rows else (0, 0, slice(None), here)
            out_ref[place] = (out * share).astype(out_ref.dtype)
            lse_ref[0, 0, :, here] = lse.T if rows else lse

    if not tiling.mapped:
        compute()
        return
    pl.when(found[1] > found[0])(compute)

    @pl.when(found[1] <= found[0])
    def _() -> None:
        c = tiling.blocks.chain
        zeros = jnp.zeros((c, out_ref.shape[3]) if rows else (out_ref.shape[2], c), out_ref.dtype)

        def clear(u: jax.Array, _: None) -> None:
            here = pl.ds(pl.multiple_of(u * c, c), c)
            out_ref[(0, 0, here) if rows else (0, 0, slice(None), here)] = zeros
            lse_ref[0, 0, :, here] = jnp.full((1, c), SEES_NOTHING)

        jax.lax.fori_loop(0, len(tiling.chains()), clear, None)
