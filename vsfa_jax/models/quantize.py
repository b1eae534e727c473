"""A frozen base in int8: the matrices of the blocks, weights only, one scale a column.

    W [D, F]  ->  round(W / s) int8, s [F] = max |W| of a column / 127, float32
    x W       ->  (x round(W / s)) s, the product in the dtype of x

Each weight is off by at most half its column's scale. Embedding, head, projector and norms stay as
they are. Source: the per-channel, weight-only scheme of arXiv 2208.07339, section 2.1, without the
separate treatment of outlier features, which only quantised activations need.
"""

from __future__ import annotations

import fnmatch
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from vsfa_jax.models.linear import Linear

_LARGEST = 127
_KERNELS = "*/layers/*_proj/kernel"
SCALE = "_scale"  # what a scale's name adds to its kernel's


def is_quantized(name: str) -> bool:
    """Whether the parameter of this name is one that int8 is for."""
    return fnmatch.fnmatchcase(name, _KERNELS)


def quantized(kernel: jax.Array) -> tuple[jax.Array, jax.Array]:
    """[..., D, F] -> int8 [..., D, F] and float32 [..., F]; a column of zeros has scale 1."""
    wide = kernel.astype(jnp.float32)
    largest = jnp.abs(wide).max(-2)
    scale = jnp.where(largest > 0, largest / _LARGEST, 1.0)
    return jnp.round(wide / scale[..., None, :]).astype(jnp.int8), scale


def quantize(model: Any) -> Any:
    """The model with every block's matrices in int8, changed in place and returned."""
    for path, layer in nnx.iter_graph(model):
        name = "/".join((*map(str, path), "kernel"))
        if isinstance(layer, Linear) and is_quantized(name):
            values, scale = quantized(layer.kernel[...])
            layer.kernel = nnx.Param(values)
            layer.kernel_scale = nnx.data(nnx.Param(scale))
    return model
