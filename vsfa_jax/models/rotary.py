"""Rotary position embedding. Source: arXiv 2104.09864, halves as transformers' Llama has them."""

from __future__ import annotations

import jax
import jax.numpy as jnp

Rope = tuple[jax.Array, jax.Array]


def rope_table(positions: jax.Array, head_size: int, theta: float) -> Rope:
    """Cosines and sines, each [B, T, 1, H] float32, of positions [B, T] int32."""
    powers = jnp.arange(0, head_size, 2, dtype=jnp.float32) / head_size
    angles = positions[..., None].astype(jnp.float32) / theta**powers
    angles = jnp.concatenate([angles, angles], -1)[:, :, None, :]
    return jnp.cos(angles), jnp.sin(angles)


def rotate(x: jax.Array, rope: Rope) -> jax.Array:
    """Turns x [B, T, N, H] by its positions; computed in float32, returned in x's dtype."""
    cosine, sine = rope
    wide = x.astype(jnp.float32)
    first, second = jnp.split(wide, 2, -1)
    return (wide * cosine + jnp.concatenate([-second, first], -1) * sine).astype(x.dtype)
