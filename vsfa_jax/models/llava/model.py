"""LLaVA-1.5: CLIP tower, two-layer GELU projector, Llama. Source: arXiv 2310.03744."""

from __future__ import annotations

import dataclasses

import jax

from vsfa_jax.models.clip import ClipConfig, ClipTower
from vsfa_jax.models.decoder import Decoder, DecoderConfig
from vsfa_jax.models.projector import Projector
from vsfa_jax.models.vision_language import VisionLanguage


@dataclasses.dataclass(frozen=True)
class LlavaConfig:
    """Shapes of the three parts, and the id of the image placeholder."""

    vision: ClipConfig
    text: DecoderConfig
    image_token: int
    image_size: int
    patch_size: int
    drop_class_token: bool
    projector_bias: bool

    @property
    def patch_shape(self) -> tuple[int, ...]:
        """Colours and pixels of what the patch embedding sees."""
        return (3, self.patch_size, self.patch_size)


class Llava(VisionLanguage):
    """The whole model over packed batches; the rows of class tokens are never gathered."""

    def __init__(self, config: LlavaConfig, key: jax.Array):
        vision_key, projector_key, text_key = jax.random.split(key, 3)
        self.config = config
        width, out = config.vision.blocks.width, config.text.width
        self.vision = ClipTower(config.vision, vision_key)
        self.projector = Projector(width, out, config.projector_bias, projector_key)
        self.language = Decoder(config.text, text_key)
