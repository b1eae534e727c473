"""LLaVA's two-layer projector and Qwen's patch merger."""

from __future__ import annotations

import jax
from flax import nnx

from vsfa_jax.models.activations import ACTIVATIONS
from vsfa_jax.models.linear import Linear
from vsfa_jax.models.vit import NORMS


class Projector(nnx.Module):
    """[..., D of the tower] -> [..., D of the language model]."""

    def __init__(self, width_in: int, width_out: int, bias: bool, key: jax.Array):
        up, down = jax.random.split(key)
        self.up_proj = Linear(width_in, width_out, up, bias=bias)
        self.down_proj = Linear(width_out, width_out, down, bias=bias)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.down_proj(ACTIVATIONS["gelu"](self.up_proj(x)))


class Merger(nnx.Module):
    """Every `count` patches in a row become one: [B, P, D] -> [B, P / count, D of the language].

    Args:
      width_in: D of the tower.
      width_out: D of the language model.
      count: patches that are merged.
      norm: "layer" or "rms", over a patch, or over the merged ones where `norm_merged`.
      key: for the random kernels.
    """

    def __init__(
        self,
        width_in: int,
        width_out: int,
        count: int,
        norm: str,
        epsilon: float,
        key: jax.Array,
        *,
        norm_merged: bool = False,
    ):
        up, down = jax.random.split(key)
        merged = width_in * count
        self.norm = NORMS[norm](merged if norm_merged else width_in, epsilon)
        self.up_proj = Linear(merged, merged, up, bias=True)
        self.down_proj = Linear(merged, width_out, down, bias=True)
        self.count, self.norm_merged = count, norm_merged

    def __call__(self, x: jax.Array) -> jax.Array:
        b, p, d = x.shape
        merged = (b, p // self.count, d * self.count)
        x = self.norm(x.reshape(merged)) if self.norm_merged else self.norm(x).reshape(merged)
        return self.down_proj(ACTIVATIONS["gelu"](self.up_proj(x)))
