"""The shapes at which attention is tested, measured and tuned: those of the four models."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Shape:
    """One use of attention.

    Attributes:
      rows: B.
      queries: T.
      keys: S.
      heads: N.
      kv_heads: K.
      head_size: H.
      causal: as in `attention`.
      segments: lengths of the packed segments of each row, from the left; what is left over is
        padding. None is one segment as long as the row, and no segment ids are given.
      window: as in `attention`.
    """

    rows: int
    queries: int
    keys: int
    heads: int
    kv_heads: int
    head_size: int
    causal: bool
    segments: tuple[int, ...] | None = None
    window: int | None = None

    def segment_ids(self) -> np.ndarray | None:
        """[B, T] int32 of a row whose queries are its keys; None without segments."""
        if self.segments is None:
            return None
        ids = np.zeros((self.rows, self.queries), np.int32)
        ends = np.cumsum(self.segments)
        for number, (length, end) in enumerate(zip(self.segments, ends, strict=True), start=1):
            ids[:, end - length : end] = number
        return ids


def _text(t: int, heads: int, kv_heads: int, segments: tuple[int, ...] | None = None) -> Shape:
    return Shape(1, t, t, heads, kv_heads, 128, True, segments)


def _tower(p: int, head_size: int, segments: tuple[int, ...] | None = None) -> Shape:
    return Shape(1, p, p, 16, 16, head_size, False, segments)


# What training and evaluation of the four models run: packed text rows, and packed patches.
MODELS: dict[str, Shape] = {
    "text_vicuna": _text(4096, 32, 32),
    "text_mistral_qwen3": _text(4096, 32, 8),
    "text_qwen2_5": _text(4096, 28, 4),
    "text_packed": _text(4096, 32, 8, (1024,) * 4),
    "text_ragged": _text(4096, 32, 8, (1311, 402, 977, 61, 890)),
    "clip": _tower(5 * 577, 64, (577,) * 5),
    "qwen2_5_tower": _tower(4096, 80),
    "qwen2_5_windows": _tower(4096, 80, (64,) * 64),
    "qwen3_tower": _tower(4096, 72),
    "qwen3_tower_packed": _tower(4096, 72, (1024,) * 4),
}
