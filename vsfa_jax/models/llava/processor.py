"""LLaVA-1.5's host side: one square of the same size for every image."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from vsfa_jax.core.errors import DataError
from vsfa_jax.models.image_plan import ImagePlan
from vsfa_jax.models.image_processor import load_image_processor, refuse_max_pixels
from vsfa_jax.models.processor import BaseProcessor
from vsfa_jax.models.tiles import tile_places, tile_rows

_LONGEST = 200  # times its shorter side, as the Qwen families have it
_WANTED = (("size",), ("image_mean",), ("image_std",), ("resample",), ("rescale_factor",))


class Processor(BaseProcessor):
    """Conversations -> examples; an image's tokens are known without its size."""

    def image_processor(self) -> Any:
        from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

        refuse_max_pixels(self.max_pixels)
        return load_image_processor(CLIPImageProcessorPil, self.directory, _WANTED)[0]

    def plan(self, width: int, height: int) -> ImagePlan:
        if max(width, height) > _LONGEST * min(width, height):
            raise DataError(
                f"an image of {width} x {height} pixels: more than {_LONGEST} times as long as "
                "wide; its shorter side is enlarged to a whole tile before it is cropped"
            )
        rows = (self.config.image_size // self.config.patch_size) ** 2 + 1
        segments, places = tile_places(1, rows)
        first = 1 if self.config.drop_class_token else 0
        return ImagePlan(np.arange(first, rows, dtype=np.int32), rows, segments, places)

    def patches(self, image: Image.Image, plan: ImagePlan) -> np.ndarray:
        pixels = self.images([image], return_tensors="np")["pixel_values"]
        return tile_rows(pixels, self.config.image_size, self.config.patch_size)
