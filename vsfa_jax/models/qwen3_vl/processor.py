"""Qwen3-VL's host side: where each patch lies in the learned table of positions."""

from __future__ import annotations

import numpy as np

from vsfa_jax.models.image_plan import ImagePlan
from vsfa_jax.models.qwen3_vl.model import Qwen3VLConfig
from vsfa_jax.models.qwen_processor import QwenProcessor, block_order


class Processor(QwenProcessor):
    """Conversations -> examples."""

    config: Qwen3VLConfig

    def plan(self, width: int, height: int) -> ImagePlan:
        vision = self.config.vision
        rows, columns = self.grid(width, height)
        down, across = rows // vision.merge, columns // vision.merge
        places = block_order(rows, columns, vision.merge)
        table_rows, weights = table_rows_of(places, rows, columns, vision.table_side)
        return ImagePlan(
            image_index=np.arange(down * across, dtype=np.int32),
            num_rows=down * across,
            segments=np.ones(rows * columns, np.int32),
            places={"row_column": places, "table_rows": table_rows, "table_weights": weights},
            grid=(down, across),
        )


def table_rows_of(
    places: np.ndarray, rows: int, columns: int, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """The four rows of a square table around each patch, and their bilinear weights.

    The corners of the image fall on the corners of the table.

    Args:
      places: [p, 2] row and column of each patch.
      rows: of patches in the image.
      columns: of patches in the image.
      side: of the table, which has side x side rows.

    Returns:
      [p, 4] int32 and [p, 4] float32.

    Source: same result as transformers' `get_vision_interpolation_indices_and_weights`.
    """
    taps, weights = [], []
    for place, size in zip(places.T, (rows, columns), strict=True):
        at = place.astype(np.float32) * np.float32(side - 1) / np.float32(max(size - 1, 1))
        low = np.floor(at)
        taps.append(np.minimum(np.stack([low, low + 1], -1), side - 1).astype(np.int32))
        weights.append(np.stack([1 - (at - low), at - low], -1))
    index = taps[0][:, :, None] * side + taps[1][:, None, :]
    weight = weights[0][:, :, None] * weights[1][:, None, :]
    return index.reshape(-1, 4), weight.reshape(-1, 4).astype(np.float32)
