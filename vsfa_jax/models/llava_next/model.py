"""LLaVA-NeXT (v1.6): LLaVA over tiles of any resolution, with a learned end of each tile row."""

from __future__ import annotations

import dataclasses

import jax
from flax import nnx

from vsfa_jax.models.clip import ClipConfig, ClipTower
from vsfa_jax.models.decoder import Decoder, DecoderConfig
from vsfa_jax.models.projector import Projector
from vsfa_jax.models.vision_language import VisionLanguage


@dataclasses.dataclass(frozen=True)
class LlavaNextConfig:
    """Shapes of the three parts, the id of the image placeholder, the sizes of tiled images."""

    vision: ClipConfig
    text: DecoderConfig
    image_token: int
    image_size: int
    patch_size: int
    projector_bias: bool
    pinpoints: tuple[tuple[int, int], ...]

    @property
    def patch_shape(self) -> tuple[int, ...]:
        """Colours and pixels of what the patch embedding sees."""
        return (3, self.patch_size, self.patch_size)


class LlavaNext(VisionLanguage):
    """The whole model over packed batches; every tile is a segment of the patch buffer.

    Rows of class tokens and of a tile's padding are never gathered.
    """

    def __init__(self, config: LlavaNextConfig, key: jax.Array):
        vision_key, projector_key, text_key, newline_key = jax.random.split(key, 4)
        self.config = config
        width, out = config.vision.blocks.width, config.text.width
        self.vision = ClipTower(config.vision, vision_key)
        self.projector = Projector(width, out, config.projector_bias, projector_key)
        self.language = Decoder(config.text, text_key)
        self.image_newline = nnx.Param(jax.random.normal(newline_key, (out,)))

    def newline(self) -> jax.Array:
        """[D], after each row of patches."""
        return self.image_newline[...]
