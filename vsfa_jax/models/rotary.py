"""Rotary position embedding over any number of position axes.

Frequency j turns a pair of channels by positions[axes[j]] * frequencies[j]:

    text           axes 0 0 0 0 0 0      one axis
    M-RoPE         axes 0 0 1 1 2 2      time, row, column in sections (Qwen2.5-VL)
    interleaved    axes 0 1 2 0 1 2      the same, dealt out in turn (Qwen3-VL)
    patches        axes 0 0 0 1 1 1      row, column; each half counts its frequencies anew

Source: arXiv 2104.09864; halves as transformers' Llama has them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

Rope = tuple[jax.Array, jax.Array]


@dataclasses.dataclass(frozen=True)
class Rotary:
    """Which axis and which frequency turns each of the H / 2 pairs of channels."""

    frequencies: tuple[float, ...]
    axes: tuple[int, ...]

    def table(self, positions: jax.Array) -> Rope:
        """Cosines and sines, each [B, T, 1, H] float32, of positions [B, T, A] int32."""
        turning = positions[..., np.asarray(self.axes)].astype(jnp.float32)
        angles = turning * jnp.asarray(self.frequencies, jnp.float32)
        angles = jnp.concatenate([angles, angles], -1)[:, :, None, :]
        return jnp.cos(angles), jnp.sin(angles)


def text_rotary(head_size: int, theta: float) -> Rotary:
    """One axis."""
    return Rotary(_frequencies(head_size, theta), (0,) * (head_size // 2))


def sectioned_rotary(head_size: int, theta: float, sections: Sequence[int]) -> Rotary:
    """Axes in one run each, as long as `sections` say. Source: Qwen2-VL, arXiv 2409.12191."""
    axes = np.repeat(np.arange(len(sections)), sections)
    return Rotary(_frequencies(head_size, theta), tuple(axes.tolist()))


def interleaved_rotary(head_size: int, theta: float, sections: Sequence[int]) -> Rotary:
    """Axes 0 1 2 dealt out in turn; axis 0 takes what the others' sections leave at the end.

    Source: transformers' Qwen3VLTextRotaryEmbedding.
    """
    axes = np.zeros(head_size // 2, np.int64)
    for axis in range(1, len(sections)):
        axes[axis : len(sections) * sections[axis] : len(sections)] = axis
    return Rotary(_frequencies(head_size, theta), tuple(axes.tolist()))


def patch_rotary(head_size: int, theta: float) -> Rotary:
    """Rows turn the first half of the pairs, columns the second, by the same frequencies."""
    half = _frequencies(head_size // 2, theta)
    return Rotary(half + half, (0,) * len(half) + (1,) * len(half))


def _frequencies(size: int, theta: float) -> tuple[float, ...]:
    """theta^(-2 j / size) of size / 2 pairs, rounded to float32 as transformers computes them."""
    powers = np.arange(0, size, 2, dtype=np.float32) / np.float32(size)
    return tuple((1.0 / np.float32(theta) ** powers).astype(np.float32).tolist())


def rotate(x: jax.Array, rope: Rope) -> jax.Array:
    """Turns x [B, T, N, H] by its positions; computed in float32, returned in x's dtype."""
    cosine, sine = rope
    wide = x.astype(jnp.float32)
    first, second = jnp.split(wide, 2, -1)
    return (wide * cosine + jnp.concatenate([-second, first], -1) * sine).astype(x.dtype)
