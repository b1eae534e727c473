"""What the three Hopper kernels share: how a tile lies in shared memory, the mask, the block loop.

A block of threads is three warpgroups: two compute, 64 rows of a tile each (one wgmma), and one
only starts the copies that bring the next tiles, up to `STAGES` ahead of the computing ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

CONSUMERS = 2  # warpgroups that compute
ROWS = 64  # rows of a warpgroup: the M of one wgmma
BLOCK = CONSUMERS * ROWS  # rows of a block of threads
STAGES = 2  # tiles in flight
NEVER = -1e30  # the top score of a row that has seen nothing; finite, so that there is no NaN

Ref = Any  # a reference to global or shared memory, or a barrier
Copy = Callable[[jax.Array, jax.Array], None]
TILE = plgpu.Layout.WGMMA  # how an accumulator lies in registers
PER_ROW, PER_COLUMN = TILE.reduce(1), TILE.reduce(0)


def tile_memory(shape: tuple[int, ...], dtype: jnp.dtype) -> Any:
    """Shared memory for [..., rows, H] in the widest swizzle that divides a row, which wgmma reads.

    A swizzle of 128 bytes takes H % 64 == 0, of 64 bytes H % 32 == 0, of 32 bytes H % 16 == 0.
    """
    row_bytes = shape[-1] * dtype.itemsize
    swizzle = next(size for size in (128, 64, 32) if row_bytes % size == 0)
    tiling = plgpu.TilingTransform((8, swizzle // dtype.itemsize))
    return plgpu.SMEM(shape, dtype, transforms=(tiling, plgpu.SwizzleTransform(swizzle)))


def registers(ref: Ref, layout: Any) -> jax.Array:
    """What a reference to global or shared memory holds, in registers that lie so."""
    return plgpu.layout_cast(ref[...], layout)


def spread(rows: jax.Array, like: jax.Array) -> jax.Array:
    """[M] per row, in the shape [M, N] of `like`."""
    return lax.broadcast_in_dim(rows, like.shape, [0])


def spread_columns(columns: jax.Array, like: jax.Array) -> jax.Array:
    """[N] per column, in the shape [M, N] of `like`."""
    return lax.broadcast_in_dim(columns, like.shape, [1])


def positions(base: jax.Array, like: jax.Array, axis: int) -> jax.Array:
    """[M, N] int32 in the shape of `like`: base + the index along the axis."""
    return base + plgpu.broadcasted_iota(jnp.int32, like.shape, axis, layout=TILE)


def hide(scores: jax.Array, keys: jax.Array, start: jax.Array, stop: jax.Array) -> jax.Array:
    """[M, N] float32: minus infinity where a key lies outside its query's span [start, stop)."""
    return jnp.where((keys >= start) & (keys < stop), scores, -jnp.inf)


def product(a: Any, b: Ref) -> jax.Array:
    """[M, N] float32: a [M, K] of shared memory or registers times b [K, N] of shared memory."""

    def multiply(total: Ref) -> jax.Array:
        plgpu.wgmma(total, a, b)
        return total[...]

    return pl.run_scoped(multiply, plgpu.ACC((a.shape[0], b.shape[1]), jnp.float32))


def slot_of(index: jax.Array) -> jax.Array:
    """The place in a ring of `STAGES` of the index-th tile."""
    return lax.rem(index, jnp.int32(STAGES))


def stream(count: jax.Array, channels: tuple[tuple[Copy, Ref], ...]) -> None:
    """All that the copying warpgroup does: each channel brings its tiles into its ring, in order.

    Args:
      count: [] int32, tiles to bring.
      channels: of each its copy (index of the tile, place in the ring) and the barriers at which
        the computing warpgroups say that a place is free again.
    """
    plgpu.set_max_registers(40, action="decrease")

    def wait_for(free: Ref, slot: jax.Array) -> Callable[[], None]:
        return lambda: plgpu.barrier_wait(free.at[slot])

    @pl.loop(0, count)
    def _bring(index: jax.Array) -> None:
        slot = slot_of(index)
        for copy, free in channels:
            pl.when(index >= STAGES)(wait_for(free, slot))
            copy(index, slot)

    @pl.loop(lax.max(0, count - STAGES), count)
    def _drain(index: jax.Array) -> None:
        for _, free in channels:
            wait_for(free, slot_of(index))()


def outside(step: jax.Array, full_first: jax.Array, full_past: jax.Array) -> jax.Array:
    """Whether a visited tile needs a mask."""
    return (step < full_first) | (step >= full_past)


def launch(
    body: Callable[..., None],
    name: str,
    grid: dict[str, int],
    out_type: tuple[jax.ShapeDtypeStruct, ...],
    scratch: tuple[Any, ...],
) -> Callable[..., tuple[jax.Array, ...]]:
    """The kernel of two computing warpgroups and a copying one, over a named grid."""
    return plgpu.kernel(
        body,
        out_type=out_type,
        scratch_types=scratch,
        grid=tuple(grid.values()),
        grid_names=tuple(grid),
        num_threads=CONSUMERS + 1,
        thread_name="warpgroup",
        kernel_name=name,
        # the lane semantics are those that every version of JAX from 0.10.2 has
        compiler_params=plgpu.CompilerParams(
            approx_math=True, lowering_semantics=plgpu.LoweringSemantics.Lane
        ),
    )


def ring_barriers(arrivals: int = 1) -> tuple[Any, Any]:
    """Barriers of a ring: a place is full after so many copies; free, when both have read it."""
    return (
        plgpu.Barrier(num_arrivals=arrivals, num_barriers=STAGES),
        plgpu.Barrier(num_arrivals=CONSUMERS, num_barriers=STAGES),
    )


def filled(shape: tuple[int, ...], value: float, layout: Any = TILE) -> jax.Array:
    """Float32 registers that hold one value."""
    return plgpu.layout_cast(jnp.full(shape, value, jnp.float32), layout)
