"""Where on an image the tokens lie that a model will see it as; from the processor's own plan."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from vsfa_jax.data.batch import NEWLINE
from vsfa_jax.models.image_plan import ImagePlan


@dataclasses.dataclass(frozen=True)
class TokenGrid:
    """A grid of tokens over a part of an image.

    Attributes:
      rows, columns: of tokens.
      left, top, width, height: of the part that is seen, as shares of the image.
      tokens: that the image takes in all.
      note: what the grid does not show; "" for nothing.
    """

    rows: int
    columns: int
    left: float
    top: float
    width: float
    height: float
    tokens: int
    note: str = ""


def token_grid(plan: ImagePlan, size: tuple[int, int], image_processor: Any) -> TokenGrid:
    """The grid of an image.

    Args:
      plan: what the processor makes of the image.
      size: (width, height) in pixels.
      image_processor: transformers' own, which says whether the image is cropped.
    """
    tokens = len(plan.image_index)
    if plan.grid is not None:  # the whole image, at about its own size
        return TokenGrid(*plan.grid, 0.0, 0.0, 1.0, 1.0, tokens)
    lines = int(np.count_nonzero(plan.image_index == NEWLINE))
    if lines:  # the whole image small, and then its tiles, a newline after each line of them
        ends = np.flatnonzero(plan.image_index == NEWLINE)
        columns = int(ends[1] - ends[0] - 1) if lines > 1 else int(ends[0])
        whole = tokens - lines * (columns + 1)
        side = math.isqrt(whole)
        note = f"and the whole image once more, small, as {side} × {side}"
        return TokenGrid(lines, columns, 0.0, 0.0, 1.0, 1.0, tokens, note)
    side = math.isqrt(tokens)
    width, height = _cropped(size, image_processor)
    note = "" if width == height == 1 else "what lies outside the grid is cropped away"
    return TokenGrid(side, side, (1 - width) / 2, (1 - height) / 2, width, height, tokens, note)


def _cropped(size: tuple[int, int], image_processor: Any) -> tuple[float, float]:
    """Shares of an image's width and height that a crop about its middle leaves."""
    if not getattr(image_processor, "do_center_crop", False):
        return 1.0, 1.0
    resized, crop = image_processor.size, image_processor.crop_size
    if "shortest_edge" in resized:
        scale = resized["shortest_edge"] / min(size)
        found = size[0] * scale, size[1] * scale
    else:
        found = resized["width"], resized["height"]
    return min(1.0, crop["width"] / found[0]), min(1.0, crop["height"] / found[1])
