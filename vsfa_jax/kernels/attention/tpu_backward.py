"""The backward TPU kernel: the gradients of queries, keys and values from one visit of each tile.

FlashAttention-2 (arXiv 2307.08691, algorithm 2), with the loops the other way round: a block of
queries stays and goes through its key blocks j, exactly those that the forward pass visited.
Scores are transposed, so that what belongs to a query lies along the lanes:

    p^T    = exp2(k_j q^T * scale * log2(e) - log_sum_exp)
    dv_j  += p^T do
    ds^T   = p^T * (v_j do^T - delta)          delta = sum over H of do * out
    dk_j  += ds^T q * scale
    dq    += ds k_j * scale

dk and dv of a whole key head gather in VMEM over all G query heads, in float32 and always in the
same order; so nothing is added in HBM, and two runs give the same bits.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from vsfa_jax.kernels.attention.reference import LOG2_E
from vsfa_jax.kernels.attention.tpu_forward import block_specs, cost, map_arguments
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


def backward(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    grad: jax.Array,
    log_sum_exp: jax.Array,
    delta: jax.Array,
    spans_and_tiles: tuple[jax.Array, jax.Array] | None,
    *,
    tiling: Tiling,
    scale: float,
    interpret: Any = False,
    vmem_bytes: int | None = None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Gradients in the kernel's own layout; arguments as in `tpu_forward.forward`, and

    Args:
      grad: of out, shaped as q.
      log_sum_exp: [B, N, 1, T] float32, of `forward`.
      delta: [B, N, 1, T] float32, the sum over H of grad * out.

    Returns:
      dq, dk and dv, shaped as q, k and v.
    """
    queries, keys, statistics, spans = block_specs(q, k, tiling)
    t, kv = q.shape[2 if tiling.rows else 3], k.shape[1]
    body = functools.partial(_kernel, tiling=tiling, scale=scale)
    shapes = tuple(jax.ShapeDtypeStruct(array.shape, array.dtype) for array in (q, k, v))
    call = pl.pallas_call(
        body if tiling.mapped else functools.partial(body, None, None),
        out_shape=shapes,
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=int(tiling.mapped),
            grid=(q.shape[0], kv, q.shape[1] // kv, t // tiling.blocks.block_q),
            in_specs=[
                *([spans] if tiling.mapped else []),
                *(queries, keys, keys, queries, statistics, statistics),
            ],
            out_specs=(queries, keys, keys),
            scratch_shapes=[pltpu.VMEM(k.shape[2:], jnp.float32)] * 2,
        ),
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel", "parallel", "arbitrary", "arbitrary"),
            vmem_limit_bytes=vmem_bytes,
        ),
        cost_estimate=cost(q, k, tiling, products=5),
        interpret=interpret,
        name="attention_backward",
    )
    return call(*map_arguments(spans_and_tiles), q, k, v, grad, log_sum_exp, delta)


def _kernel(
    tiles: Any,
    spans_ref: Any,
    q_ref: Any,
    k_ref: Any,
    v_ref: Any,
    grad_ref: Any,
    lse_ref: Any,
    delta_ref: Any,
    dq_ref: Any,
    dk_ref: Any,
    dv_ref: Any,
    dk_sum: Any,
    dv_sum: Any,
    *,
    tiling: Tiling,
    scale: float,
) -> None:
    """One block of queries of one head; shapes in the comments are those of rows."""
    g, i, rows = pl.program_id(2), pl.program_id(3), tiling.rows
    size, chain = tiling.blocks.block_k, tiling.blocks.chain
    found = bounds(tiling, i, tiles, pl.program_id(0))

    @pl.when((g == 0) & (i == 0))
    def _() -> None:
        dk_sum[...] = jnp.zeros_like(dk_sum)
        dv_sum[...] = jnp.zeros_like(dv_sum)

    def of_chain(ref: Any, u: int) -> jax.Array:
        return ref[0, 0, :, tiling.chain_tokens(u)]  # [1, chain]

    def scores(j: Scalar, u: int, kind: str) -> tuple[jax.Array, jax.Array]:
        """k q^T and v do^T, [keys, chain] each."""
        here = key_slice(j, size, tiling.width(kind, u))
        q, grad = tokens(tiling, q_ref, u), tokens(tiling, grad_ref, u)
        if rows:
            return product(k_ref[0, 0, here], q, 1, 1), product(v_ref[0, 0, here], grad, 1, 1)
        return product(k_ref[0, 0, :, here], q, 0, 0), product(v_ref[0, 0, :, here], grad, 0, 0)

    def gradients(
        s: jax.Array, dp: jax.Array, dq: jax.Array | None, j: Scalar, u: int, kind: str
    ) -> jax.Array:
        s *= scale * LOG2_E
        if kind != FULL:
            query = i * tiling.blocks.block_q + u * chain
            seen_keys = span(tiling, spans_ref, u, upright=False)
            s = masked(tiling, s, j * size, query, seen_keys, 0, kind)
        p = jnp.exp2(s - of_chain(lse_ref, u))
        ds = (p * (dp - of_chain(delta_ref, u))).astype(q_ref.dtype)
        p, here = p.astype(q_ref.dtype), key_slice(j, size, tiling.width(kind, u))
        q, grad = tokens(tiling, q_ref, u), tokens(tiling, grad_ref, u)
        if rows:
            dv_sum[here] += product(p, grad, 1, 0)
            dk_sum[here] += product(ds, q, 1, 0)
            added = product(ds, k_ref[0, 0, here], 0, 0)
        else:
            dv_sum[:, here] += product(grad, p, 1, 1)
            dk_sum[:, here] += product(q, ds, 1, 1)
            added = product(k_ref[0, 0, :, here], ds, 1, 0)
        return added if dq is None else dq + added

    def visit(blocks: Sequence[Scalar], carry: tuple[jax.Array, ...] | None, kind: str) -> Any:
        chains: list[jax.Array | None] = list(carry or [None] * len(tiling.chains()))
        for j in blocks:
            for u in tiling.chains():
                chains[u] = gradients(*scores(j, u, kind), chains[u], j, u, kind)
        return tuple(chains)

    def nothing() -> tuple[jax.Array, ...]:
        h = q_ref.shape[3 if rows else 2]
        zeros = jnp.zeros((chain, h) if rows else (h, chain), jnp.float32)
        return (zeros,) * len(tiling.chains())

    def compute() -> None:
        for u, dq in enumerate(visit_tiles(tiling, i, found, visit, nothing)):
            here = tiling.chain_tokens(u)
            place = (0, 0, here) if rows else (0, 0, slice(None), here)
            dq_ref[place] = (dq * scale).astype(dq_ref.dtype)

    if tiling.mapped:
        pl.when(found[1] > found[0])(compute)

        @pl.when(found[1] <= found[0])
        def _() -> None:
            dq_ref[...] = jnp.zeros_like(dq_ref)
    else:
        compute()

    @pl.when((g == pl.num_programs(2) - 1) & (i == pl.num_programs(3) - 1))
    def _() -> None:
        dk_ref[0, 0] = (dk_sum[...] * scale).astype(dk_ref.dtype)
        dv_ref[0, 0] = dv_sum[...].astype(dv_ref.dtype)
