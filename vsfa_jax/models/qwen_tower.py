"""What the towers of Qwen2.5-VL and Qwen3-VL share: how they read patches."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from vsfa_jax.models.linear import Linear


def embed_patches(embedding: Linear, patches: jax.Array, frames: int) -> jax.Array:
    """One matrix product for the three-dimensional convolution over an image.

    The checkpoint's kernel sees `frames` frames. An image is the same frame each time, so the
    kernel's frames are added first, and the host sends each patch once.

    Args:
      embedding: kernel [frames C, D], the frames outermost within a colour.
      patches: [B, P, C], of 3 colours.
      frames: of the kernel.

    Returns:
      [B, P, D].

    Source: same result as transformers' Qwen2_5_VisionPatchEmbed on a repeated frame.
    """
    kernel = embedding.kernel[...]
    width = kernel.shape[-1]
    summed = kernel.reshape(3, frames, -1, width).sum(1).reshape(-1, width)
    x = patches.astype(kernel.dtype) @ summed
    return x if embedding.bias is None else x + embedding.bias[...].astype(x.dtype)


def pick_rows(table: jax.Array, rows: jax.Array, weights: jax.Array) -> jax.Array:
    """Weighted sums of table rows: [S, D], rows and weights [B, P, 4] -> [B, P, D] float32."""
    picked = table.astype(jnp.float32)[rows]
    return (picked * weights[..., None]).sum(-2)
