"""Qwen2.5-VL's host side: patches lie in the buffer window by window.

The tower attends within windows, so the blocks of a window lie together; a placeholder finds its
block through `image_index`, and nothing is permuted back on the device. Windows at the right and
lower edge are smaller.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from vsfa_jax.models.image_plan import ImagePlan
from vsfa_jax.models.qwen2_5_vl.model import Qwen25VLConfig
from vsfa_jax.models.qwen_processor import QwenProcessor, block_order


class Processor(QwenProcessor):
    """Conversations -> examples."""

    config: Qwen25VLConfig

    def plan(self, width: int, height: int) -> ImagePlan:
        vision = self.config.vision
        rows, columns = self.grid(width, height)
        down, across, unit = rows // vision.merge, columns // vision.merge, vision.merge**2
        side = vision.window_size // (vision.patch_size * vision.merge)
        order, windows = window_order(down, across, side)
        places = block_order(rows, columns, vision.merge).reshape(-1, unit, 2)
        index = np.empty(down * across, np.int32)
        index[order] = np.arange(down * across, dtype=np.int32)
        return ImagePlan(
            image_index=index,
            num_rows=down * across,
            segments=np.ones(rows * columns, np.int32),
            places={
                "row_column": places[order].reshape(-1, 2),
                "window_ids": np.repeat(windows, unit),
            },
            grid=(down, across),
        )

    def patches(self, image: Image.Image, plan: ImagePlan) -> np.ndarray:
        blocks = super().patches(image, plan).reshape(plan.num_rows, -1)
        laid = np.empty_like(blocks)
        laid[plan.image_index] = blocks
        return laid.reshape(len(plan.segments), -1)


def window_order(down: int, across: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Blocks in the order of their windows, and each one's window.

        blocks 0 1 2 | 3      side 3: windows  1 1 1 2 1 1 1 2
               4 5 6 | 7      order            0 1 2 4 5 6 3 7

    Args:
      down: rows of blocks.
      across: columns of blocks.
      side: of a window, in blocks.

    Returns:
      order [down across], which block comes where, and windows [down across] int32 from 1.

    Source: same result as transformers' `get_vision_window_index`.
    """
    row, column = np.indices((down, across)).reshape(2, -1)
    window = row // side * -(-across // side) + column // side
    order = np.argsort(window, kind="stable")
    return order, (window[order] + 1).astype(np.int32)
