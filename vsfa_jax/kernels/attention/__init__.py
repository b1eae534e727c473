"""Attention over packed, segmented rows."""

from vsfa_jax.kernels.attention.api import attention, backends
from vsfa_jax.kernels.attention.auto import map_blocks
from vsfa_jax.kernels.attention.block_map import BlockMap, check_contiguous

__all__ = ["BlockMap", "attention", "backends", "check_contiguous", "map_blocks"]
