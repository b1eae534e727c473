"""What is measured: the shapes of the models with fewer heads, and two lengths beside them."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import numpy as np

from vsfa_jax.kernels.attention import shapes
from vsfa_jax.kernels.attention.shapes import Shape

DIRECTIONS = ("forward", "backward")


def reduced(shape: Shape, heads: int = 2) -> Shape:
    """The same shape with fewer heads: cycles grow with their number, as does the compile time.

    Queries keep their number a key head where `heads` allows.
    """
    group = math.gcd(shape.heads // shape.kv_heads, heads)
    return dataclasses.replace(shape, heads=heads, kv_heads=heads // group)


def _beside(t: int, head_size: int, causal: bool) -> Shape:
    """A shape of the given length that no model is tuned for."""
    return Shape(1, t, t, 2, 2, head_size, causal)


CASES: dict[str, Shape] = {
    "causal_4096_h128": reduced(shapes.MODELS["text_vicuna"]),
    "causal_4096_h128_grouped": reduced(shapes.MODELS["text_mistral_qwen3"]),
    "full_4096_h128": _beside(4096, 128, causal=False),
    "full_4096_h80": reduced(shapes.MODELS["qwen2_5_tower"]),
    "full_4096_h72": reduced(shapes.MODELS["qwen3_tower"]),
    **{
        f"{'causal' if causal else 'full'}_{t}_h{head_size}": _beside(t, head_size, causal)
        for t in (2048, 8192)
        for head_size, causal in ((128, True), (128, False), (80, False), (72, False))
    },
}

# Packed rows, each beside the same row without segments.
PACKED: dict[str, tuple[Shape, Shape]] = {
    name: (packed, dataclasses.replace(packed, segments=None))
    for name, packed in (
        ("text_packed", reduced(shapes.MODELS["text_packed"])),
        ("text_ragged", reduced(shapes.MODELS["text_ragged"])),
        ("qwen3_tower_packed", reduced(shapes.MODELS["qwen3_tower_packed"])),
        ("qwen2_5_windows", reduced(shapes.MODELS["qwen2_5_windows"])),
    )
}


class Tiles(NamedTuple):
    """Tiles of one head of one row that hold a pair of a query and a key that see each other.

    Attributes:
      full: every pair does.
      partial: some do, so the tile needs a mask.
      cut: of a causal packed row in square tiles, those on the diagonal in which a segment begins
        or padding lies; 0 elsewhere.
    """

    full: int
    partial: int
    cut: int = 0


def least_tiles(shape: Shape, block_q: int, block_k: int) -> Tiles:
    """The tiles of [block_q, block_k] that no kernel can leave out.

    causal, 4 blocks       two segments of 2
    p . . .                p . . .
    f p . .                f p . .
    f f p .                . . p .
    f f f p                . . f p     (f: full, p: partial, .: left out)
    """
    queries, keys = np.arange(shape.queries)[:, None], np.arange(shape.keys)[None, :]
    distance = queries + shape.keys - shape.queries - keys
    seen = np.ones((shape.queries, shape.keys), bool)
    if shape.causal:
        seen &= distance >= 0
    if shape.window is not None:
        seen &= (distance >= 0) & (distance <= shape.window)
    ids = shape.segment_ids()
    if ids is not None:
        row = ids[0]
        seen &= (row[:, None] == row[None, :]) & (row[:, None] > 0)
    rows, columns = -(-shape.queries // block_q), -(-shape.keys // block_k)
    padded = np.zeros((rows * block_q, columns * block_k), bool)
    padded[: shape.queries, : shape.keys] = seen
    count = padded.reshape(rows, block_q, columns, block_k).sum((1, 3))
    full = int((count == block_q * block_k).sum())
    partial = int((count > 0).sum()) - full
    if ids is None or not shape.causal or block_q != block_k:
        return Tiles(full, partial)
    first = np.where(seen.any(1), seen.argmax(1), shape.keys)
    first = np.pad(first, (0, rows * block_q - shape.queries), constant_values=shape.keys)
    begins = first.reshape(rows, block_q).max(1) > np.arange(rows) * block_q
    return Tiles(full, partial, int((begins & (count > 0).any(1)).sum()))
