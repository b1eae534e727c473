"""Attention over packed, segmented rows."""

from vsfa_jax.kernels.attention.api import attention, backends
from vsfa_jax.kernels.attention.auto import AUTO, Backend, map_blocks
from vsfa_jax.kernels.attention.block_map import BlockMap, check_contiguous
from vsfa_jax.kernels.attention.decode import decode_attention

__all__ = [
    "AUTO",
    "Backend",
    "BlockMap",
    "attention",
    "backends",
    "check_contiguous",
    "decode_attention",
    "map_blocks",
]
