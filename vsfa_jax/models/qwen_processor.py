"""The host side of Qwen2.5-VL and Qwen3-VL: images near their own size, cut into merge blocks.

Patches come block by block, `merge` x `merge` of them a block, and each block becomes one
placeholder:

    0 1 | 4 5
    2 3 | 6 7
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from vsfa_jax.core.errors import ConfigError, DataError, WeightsError
from vsfa_jax.models.image_plan import ImagePlan
from vsfa_jax.models.image_processor import load_image_processor
from vsfa_jax.models.processor import BaseProcessor

_WANTED = (
    *(("image_mean",), ("image_std",), ("patch_size",), ("temporal_patch_size",), ("merge_size",)),
    *(("size", "min_pixels"), ("size", "max_pixels")),
)


class QwenProcessor(BaseProcessor):
    """Conversations -> examples; a family adds what its tower reads of each patch."""

    @property
    def patch_multiple(self) -> int:
        return int(self.config.vision.merge**2)

    def image_processor(self) -> Any:
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import (
            Qwen2VLImageProcessorPil,
        )

        images, _ = load_image_processor(Qwen2VLImageProcessorPil, self.directory, _WANTED)
        vision = self.config.vision
        found = (images.patch_size, images.temporal_patch_size, images.merge_size)
        wanted = (vision.patch_size, vision.frames, vision.merge)
        if found != wanted:
            raise WeightsError(
                f"{self.directory}: patch_size, temporal_patch_size, merge_size: "
                f"preprocessor_config.json has {found}, config.json {wanted}"
            )
        return self._bounded(images)

    def _bounded(self, images: Any) -> Any:
        """The same image processor, with `max_pixels` in place of its own bound if that is set."""
        if not self.max_pixels:
            return images
        least = images.size["shortest_edge"]
        if self.max_pixels < least:
            raise ConfigError(
                f"model.max_pixels: found {self.max_pixels}, wanted at least {least}, "
                "the checkpoint's smallest image"
            )
        images.size = {"shortest_edge": least, "longest_edge": self.max_pixels}
        return images

    def grid(self, width: int, height: int) -> tuple[int, int]:
        """(rows, columns) of patches that an image of this size is cut into.

        Raises:
          DataError: it is more than 200 times as long as wide.
        """
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

        vision, size = self.config.vision, self.images.size
        try:
            tall, wide = smart_resize(
                height,
                width,
                factor=vision.patch_size * vision.merge,
                min_pixels=size["shortest_edge"],
                max_pixels=size["longest_edge"],
            )
        except ValueError as error:
            raise DataError(f"an image of {width} x {height} pixels: {error}") from error
        return tall // vision.patch_size, wide // vision.patch_size

    def patches(self, image: Image.Image, plan: ImagePlan) -> np.ndarray:
        made = self.images([image], return_tensors="np")["pixel_values"]
        frames = made.reshape(len(made), 3, self.config.vision.frames, -1)
        # Every frame of an image is the same: the tower's kernel adds up over them.
        return np.ascontiguousarray(frames[:, :, 0].reshape(len(made), -1), np.float32)


def block_order(rows: int, columns: int, merge: int) -> np.ndarray:
    """[rows columns, 2] int32: row and column of each patch, block by block."""
    places = np.indices((rows, columns), np.int32)
    blocks = places.reshape(2, rows // merge, merge, columns // merge, merge)
    return np.ascontiguousarray(blocks.transpose(1, 3, 2, 4, 0).reshape(-1, 2))
