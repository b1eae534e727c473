"""How far transformers' Pillow image processors are from its torchvision ones; run by hand.

python tests/pixel_flavours.py

Needs torchvision besides the test packages. Prints, for each paper model's settings, the largest
and the mean difference over a few drawn images, in grey levels of 255.
"""

from __future__ import annotations

import json
import sys
import types

import numpy as np
from PIL import Image

# The image operations are plain PyTorch; a torchvision for another build of PyTorch lacks the
# compiled ones, and says so while it registers them.
sys.modules["torchvision._meta_registrations"] = types.ModuleType("unused")

from transformers.models.clip.image_processing_clip import CLIPImageProcessor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.llava_next.image_processing_llava_next import LlavaNextImageProcessor
from transformers.models.llava_next.image_processing_pil_llava_next import (
    LlavaNextImageProcessorPil,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor

from vsfa_jax.models import paper

QWEN = (Qwen2VLImageProcessor, Qwen2VLImageProcessorPil)
FLAVOURS = {
    "llava-1.5-7b": (CLIPImageProcessor, CLIPImageProcessorPil),
    "llava-1.6-mistral-7b": (LlavaNextImageProcessor, LlavaNextImageProcessorPil),
    "qwen2.5-vl-7b": QWEN,
    "qwen3-vl-8b": QWEN,
}
SIZES = ((640, 480), (1024, 768), (333, 777), (500, 500), (1280, 720), (97, 201))


def draw(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Smooth colours with some grain, as a photograph has them."""
    coarse = rng.integers(0, 256, (max(height // 16, 2), max(width // 16, 2), 3), np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    grain = rng.integers(-12, 13, smooth.shape)
    return Image.fromarray((smooth.astype(int) + grain).clip(0, 255).astype(np.uint8))


def main() -> None:
    """Prints one line a model."""
    rng = np.random.default_rng(0)
    images = [draw(rng, *size) for size in SIZES]
    for name, kinds in FLAVOURS.items():
        text = (paper.directory(name) / "preprocessor_config.json").read_text()
        settings = {k: v for k, v in json.loads(text).items() if k != "image_processor_type"}
        fast, plain = (kind(**settings) for kind in kinds)
        levels = 255 * np.mean(settings["image_std"])
        differences = [
            levels * np.abs(pixels(fast, image) - pixels(plain, image)) for image in images
        ]
        largest = max(difference.max() for difference in differences)
        mean = np.mean([difference.mean() for difference in differences])
        print(f"{name}: largest {largest:.1f}, mean {mean:.3f}")


def pixels(processor: object, image: Image.Image) -> np.ndarray:
    made = processor([image], return_tensors="pt")["pixel_values"]  # type: ignore[operator]
    return np.asarray(made, np.float64)


if __name__ == "__main__":
    main()
