"""The one place where matrices are multiplied, and where an adapter attaches.

y = x W + b               frozen or trained
  + scale (x A) B         when an adapter is attached
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx


class LowRank(nnx.Module):
    """A LoRA adapter: a [D, R] and b [R, F], float32. Source: arXiv 2106.09685, eq. 3."""

    def __init__(self, a: jax.Array, b: jax.Array, scale: float):
        self.a = nnx.LoRAParam(a)
        self.b = nnx.LoRAParam(b)
        self.scale = scale


class Linear(nnx.Module):
    """x [..., D] -> [..., F], with kernel [D, F] and, if asked, bias [F].

    A random kernel keeps the size of what goes through it: standard deviation 1 / sqrt(D), times
    `scale`. Blocks give the layers that add to the residual stream 1 / sqrt(2 L).
    """

    def __init__(
        self,
        features_in: int,
        features_out: int,
        key: jax.Array,
        *,
        bias: bool,
        scale: float = 1.0,
    ):
        std = scale * features_in**-0.5
        self.kernel = nnx.Param(std * jax.random.normal(key, (features_in, features_out)))
        self.bias = nnx.data(nnx.Param(jnp.zeros(features_out)) if bias else None)
        self.adapter: LowRank | None = nnx.data(None)

    def __call__(self, x: jax.Array) -> jax.Array:
        return linear(self, x)


def linear(layer: Linear, x: jax.Array) -> jax.Array:
    """[..., D] -> [..., F] in the dtype of x."""
    y = x @ layer.kernel[...].astype(x.dtype)
    if layer.bias is not None:
        y = y + layer.bias[...].astype(x.dtype)
    if layer.adapter is not None:
        low = x.astype(jnp.float32) @ layer.adapter.a[...]
        y = y + (layer.adapter.scale * (low @ layer.adapter.b[...])).astype(x.dtype)
    return y
