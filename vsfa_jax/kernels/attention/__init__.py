"""Attention over packed, segmented rows."""

from vsfa_jax.kernels.attention.api import attention

__all__ = ["attention"]
