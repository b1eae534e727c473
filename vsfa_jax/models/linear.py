"""The linear layer, and where an adapter attaches.

y = x W + b                                    frozen or trained
y = x W + s (x A) B + b                        LoRA
y = m / |W + s A B| (x W + s (x A) B) + b      DoRA, the norm of a column a constant

W may be kept in int8 with one scale a column; see `quantize.py`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx


class LowRank(nnx.Module):
    """An adapter: a [D, R] and b [R, F], and for DoRA magnitude [F]; all float32.

    Source: LoRA, arXiv 2106.09685, eq. 3; DoRA, arXiv 2402.09353, eq. 5 and section 4.3.
    """

    def __init__(self, a: jax.Array, b: jax.Array, scale: float, magnitude: jax.Array | None):
        self.a = nnx.LoRAParam(a)
        self.b = nnx.LoRAParam(b)
        self.scale = scale
        self.magnitude = nnx.data(None if magnitude is None else nnx.LoRAParam(magnitude))


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
        self.kernel_scale: nnx.Param | None = nnx.data(None)
        self.bias = nnx.data(nnx.Param(jnp.zeros(features_out)) if bias else None)
        self.adapter: LowRank | None = nnx.data(None)

    def __call__(self, x: jax.Array) -> jax.Array:
        return linear(self, x)


def linear(layer: Linear, x: jax.Array) -> jax.Array:
    """[..., D] -> [..., F] in the dtype of x."""
    y = x @ layer.kernel[...].astype(x.dtype)
    if layer.kernel_scale is not None:
        y = (y * layer.kernel_scale[...]).astype(x.dtype)
    if layer.adapter is not None:
        y = _adapted(layer.adapter, layer, x, y)
    if layer.bias is not None:
        y = y + layer.bias[...].astype(x.dtype)
    return y


def wide_kernel(layer: Linear) -> jax.Array:
    """The kernel in float32, [D, F] or stacked, whatever it is kept in."""
    wide = layer.kernel[...].astype(jnp.float32)
    return wide if layer.kernel_scale is None else wide * layer.kernel_scale[...][..., None, :]


def _adapted(adapter: LowRank, layer: Linear, x: jax.Array, y: jax.Array) -> jax.Array:
    """x W -> what the adapter makes of it; its own arithmetic is float32."""
    low = x.astype(jnp.float32) @ adapter.a[...]
    update = adapter.scale * (low @ adapter.b[...])
    if adapter.magnitude is None:
        return y + update.astype(y.dtype)
    norms = column_norms(wide_kernel(layer), adapter.a[...], adapter.b[...], adapter.scale)
    ratio = adapter.magnitude[...] / jax.lax.stop_gradient(norms)
    return (ratio * (y.astype(jnp.float32) + update)).astype(y.dtype)


def column_norms(kernel: jax.Array, a: jax.Array, b: jax.Array, scale: float) -> jax.Array:
    """|W + s A B| of each column, [F] float32, without the product A B, which is as large as W.

    |W + s A B|^2 = |W|^2 + 2 s <W, A B> + s^2 |A B|^2
    """
    cross = jnp.einsum("df,dr,rf->f", kernel, a, b)
    square = jnp.einsum("rf,rq,qf->f", b, a.T @ a, b)
    return jnp.sqrt((kernel**2).sum(0) + 2 * scale * cross + scale**2 * square)


def merged_kernel(layer: Linear) -> jax.Array:
    """The kernel [D, F] (or [L, D, F]) of a plain layer that does what the adapted one does."""
    kernel, adapter = wide_kernel(layer), layer.adapter
    if adapter is None:
        return kernel
    total = kernel + adapter.scale * adapter.a[...] @ adapter.b[...]
    if adapter.magnitude is None:
        return total
    norms = jnp.linalg.norm(total, axis=-2)
    return total * (adapter.magnitude[...] / norms)[..., None, :]
