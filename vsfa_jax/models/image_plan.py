"""What an image becomes, known from its size alone, and (M)RoPE positions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class ImagePlan:
    """An image of n placeholders and p patches.

    Attributes:
      image_index: [n] int32, the row of the image's own vision output at each placeholder, or
        `NEWLINE`.
      num_rows: of its vision output.
      segments: [p] int32, number of the tile, from 1.
      places: what the tower reads of each patch; see `data.batch.Vision`.
      grid: (rows, columns) of the placeholders where they have M-RoPE positions; None where they
        count on as text does.
    """

    image_index: np.ndarray
    num_rows: int
    segments: np.ndarray
    places: Mapping[str, np.ndarray]
    grid: tuple[int, int] | None = None


def positions(is_image: np.ndarray, plans: Sequence[ImagePlan]) -> np.ndarray:
    """[t, 3] int32: time, row, column.

    Text counts on in all three. An image stands still in time; its rows and columns count from
    where it begins, and the text goes on after the larger of the two:

        t t i i i i i i t          (an image of 2 rows and 3 columns)
        0 1 2 2 2 2 2 2 5
        0 1 2 2 2 3 3 3 5
        0 1 2 3 4 2 3 4 5

    Args:
      is_image: [t] bool, the placeholders, all of one image together.
      plans: of the images in order; one without a grid counts on as text.

    Source: same result as transformers' Qwen3VLModel.get_rope_index on images.
    """
    if not any(plan.grid for plan in plans):
        return np.repeat(np.arange(len(is_image), dtype=np.int32)[:, None], 3, axis=1)
    parts: list[np.ndarray] = []
    at = begin = 0
    where = np.flatnonzero(is_image)
    for plan in plans:
        first = int(where[0])
        where = where[len(plan.image_index) :]
        begin = _append_text(parts, first - at, begin)
        rows, columns = plan.grid or (1, len(plan.image_index))
        places = np.indices((1, rows, columns), np.int32).reshape(3, -1).T
        parts.append(places + begin)
        at, begin = first + len(places), begin + max(rows, columns)
    _append_text(parts, len(is_image) - at, begin)
    return np.concatenate(parts).astype(np.int32)


def _append_text(parts: list[np.ndarray], length: int, begin: int) -> int:
    """Appends `length` positions that count from `begin`; returns where the next one begins."""
    parts.append(np.repeat(np.arange(begin, begin + length)[:, None], 3, axis=1))
    return begin + length
