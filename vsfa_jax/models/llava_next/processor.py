"""LLaVA-NeXT's host side: the whole image small, then its tiles, unpadded, with ends of lines."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from vsfa_jax.core.errors import WeightsError
from vsfa_jax.data.batch import NEWLINE
from vsfa_jax.models.image_plan import ImagePlan
from vsfa_jax.models.image_processor import load_image_processor, refuse_max_pixels
from vsfa_jax.models.llava_next.model import LlavaNextConfig
from vsfa_jax.models.processor import BaseProcessor
from vsfa_jax.models.tiles import tile_places, tile_rows

_WANTED = (
    *(("size",), ("crop_size",), ("image_mean",), ("image_std",), ("resample",)),
    *(("rescale_factor",), ("image_grid_pinpoints",)),
)


class Processor(BaseProcessor):
    """Conversations -> examples; every tile is a segment with a class token of its own."""

    config: LlavaNextConfig

    def image_processor(self) -> Any:
        from transformers.models.llava_next.image_processing_pil_llava_next import (
            LlavaNextImageProcessorPil,
        )

        refuse_max_pixels(self.max_pixels)
        images, settings = load_image_processor(LlavaNextImageProcessorPil, self.directory, _WANTED)
        found = tuple(tuple(pinpoint) for pinpoint in settings["image_grid_pinpoints"])
        if found != self.config.pinpoints:
            raise WeightsError(
                f"{self.directory}: image_grid_pinpoints: preprocessor_config.json has {found}, "
                f"config.json {self.config.pinpoints}"
            )
        return images

    def plan(self, width: int, height: int) -> ImagePlan:
        tile, side = self.config.image_size, self.config.image_size // self.config.patch_size
        best = best_pinpoint(width, height, self.config.pinpoints)
        down, across = best[0] // tile, best[1] // tile
        rows = side * side + 1
        whole = np.arange(1, rows, dtype=np.int32)
        tiles = whole.reshape(side, side) + rows * (
            1 + np.arange(down * across).reshape(down, across, 1, 1)
        )
        picture = tiles.transpose(0, 2, 1, 3).reshape(down * side, across * side)
        picture = unpad(picture, width, height)
        lines = np.pad(picture, ((0, 0), (0, 1)), constant_values=NEWLINE)
        index = np.concatenate([whole, lines.ravel()]).astype(np.int32)
        segments, places = tile_places(1 + down * across, rows)
        return ImagePlan(index, rows * (1 + down * across), segments, places)

    def patches(self, image: Image.Image, plan: ImagePlan) -> np.ndarray:
        pixels = self.images([image], return_tensors="np")["pixel_values"][0]
        return tile_rows(pixels, self.config.image_size, self.config.patch_size)


def best_pinpoint(
    width: int, height: int, pinpoints: tuple[tuple[int, int], ...]
) -> tuple[int, int]:
    """The (height, width) that keeps most of an image's pixels, and of those the least padded.

    Source: same result as transformers' `select_best_resolution`.
    """

    def worth(pinpoint: tuple[int, int]) -> tuple[int, int]:
        scale = min(pinpoint[1] / width, pinpoint[0] / height)
        kept = min(int(width * scale) * int(height * scale), width * height)
        return kept, kept - pinpoint[0] * pinpoint[1]

    return max(pinpoints, key=worth)  # the first of equal ones


def unpad(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """Cuts off the patches that only hold padding: [h, w] -> [h', w'].

    Source: same result as transformers' `unpad_image`, its rounding included.
    """
    rows, columns = picture.shape
    if width / height > columns / rows:
        wanted = int(round(height * (columns / width), 7))
        cut = (rows - wanted) // 2
        return picture[cut : rows - cut]
    wanted = int(round(width * (rows / height), 7))
    cut = (columns - wanted) // 2
    return picture[:, cut : columns - cut]
