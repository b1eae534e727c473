"""Attention over packed, segmented rows."""

from vsfa_jax.kernels.attention.api import attention, backends
from vsfa_jax.kernels.attention.auto import AUTO, Backend, map_blocks
from vsfa_jax.kernels.attention.block_map import BlockMap, check_contiguous
from vsfa_jax.kernels.attention.decode import cache_slots, decode_attention
from vsfa_jax.kernels.attention.kept import KEPT
from vsfa_jax.kernels.attention.sharded import on_mesh

__all__ = [
    "AUTO",
    "KEPT",
    "Backend",
    "BlockMap",
    "attention",
    "backends",
    "cache_slots",
    "check_contiguous",
    "decode_attention",
    "map_blocks",
    "on_mesh",
]
