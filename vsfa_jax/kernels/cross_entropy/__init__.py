"""Cross entropy of linear heads over a large vocabulary."""

from vsfa_jax.kernels.cross_entropy.api import linear_cross_entropy
from vsfa_jax.kernels.cross_entropy.reference import cross_entropy

__all__ = ["cross_entropy", "linear_cross_entropy"]
