"""Qwen2.5-VL: a windowed tower at any resolution, a patch merger, Qwen2. Source: arXiv 2502.13923.

The host lays the patches of an image out window by window, and says where each merged row lies.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from vsfa_jax.data.batch import Vision
from vsfa_jax.kernels.attention import AUTO
from vsfa_jax.models.decoder import Decoder, DecoderConfig
from vsfa_jax.models.linear import Linear
from vsfa_jax.models.projector import Merger
from vsfa_jax.models.qwen_tower import embed_patches
from vsfa_jax.models.remat import rematerialised
from vsfa_jax.models.rotary import Rotary
from vsfa_jax.models.vision_language import VisionLanguage
from vsfa_jax.models.vit import VitBlock, VitConfig, attention_within, stacked_blocks

NORM_EPSILON = 1e-6  # of tower and merger; the architecture's, no config.json has it


@dataclasses.dataclass(frozen=True)
class TowerConfig:
    """Shapes of the tower; `full_layers` see the whole image, the others their window."""

    blocks: VitConfig
    patch_size: int
    frames: int
    merge: int
    window_size: int
    full_layers: tuple[int, ...]
    rotary: Rotary

    @property
    def window_patches(self) -> int:
        """The most patches of a window."""
        return (self.window_size // self.patch_size) ** 2


@dataclasses.dataclass(frozen=True)
class Qwen25VLConfig:
    """Shapes of the parts, and the id of the image placeholder."""

    vision: TowerConfig
    text: DecoderConfig
    image_token: int

    @property
    def patch_size(self) -> int:
        """Pixels."""
        return self.vision.patch_size

    @property
    def patch_shape(self) -> tuple[int, ...]:
        """Colours, frames and pixels of what the patch embedding sees."""
        return 3, self.vision.frames, self.patch_size, self.patch_size


class Tower(nnx.Module):
    """Patches -> features, [1, B, P, D], in the order of windows."""

    remat, attention = "none", AUTO

    def __init__(self, config: TowerConfig, key: jax.Array):
        self.config = config
        patch_key, layer_key = jax.random.split(key)
        channels = 3 * config.frames * config.patch_size**2
        self.patch_embedding = Linear(channels, config.blocks.width, patch_key, bias=False)
        self.layers = stacked_blocks(config.blocks, layer_key)

    def __call__(self, vision: Vision) -> jax.Array:
        x = embed_patches(self.patch_embedding, vision.patches, self.config.frames)
        rope = self.config.rotary.table(vision.places["row_column"])
        is_full = np.isin(np.arange(self.config.blocks.num_layers), self.config.full_layers)
        head_size, places = self.config.blocks.head_size, vision.places
        in_image = attention_within(vision.segment_ids, head_size, self.attention)
        longest = self.config.window_patches
        in_window = jax.named_scope("window")(
            attention_within(places["window_ids"], head_size, self.attention, longest)
        )

        def run(x: jax.Array, scanned: tuple[VitBlock, jax.Array]) -> tuple[jax.Array, None]:
            layer, full = scanned
            attend = functools.partial(jax.lax.cond, full, in_image, in_window)
            return layer(x, rope, attend), None

        body = rematerialised(run, self.remat)
        return jax.lax.scan(body, x, (self.layers, jnp.asarray(is_full)))[0][None]


class Qwen25VL(VisionLanguage):
    """The whole model over packed batches."""

    def __init__(self, config: Qwen25VLConfig, key: jax.Array):
        vision_key, merger_key, text_key = jax.random.split(key, 3)
        self.config = config
        vision = config.vision
        self.vision = Tower(vision, vision_key)
        self.projector = Merger(
            vision.blocks.width,
            config.text.width,
            vision.merge**2,
            "rms",
            NORM_EPSILON,
            merger_key,
        )
        self.language = Decoder(config.text, text_key)
