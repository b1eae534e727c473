"""Qwen3-VL: a tower with DeepStack, patch mergers, Qwen3.

Features of some tower layers are merged too and added to the text after the first decoder layers.
Source: arXiv 2511.21631; DeepStack: arXiv 2406.04334.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from vsfa_jax.data.batch import Vision
from vsfa_jax.kernels.attention import AUTO
from vsfa_jax.models.decoder import Decoder, DecoderConfig
from vsfa_jax.models.linear import Linear
from vsfa_jax.models.projector import Merger
from vsfa_jax.models.qwen_tower import embed_patches, pick_rows
from vsfa_jax.models.remat import rematerialised
from vsfa_jax.models.rotary import Rotary
from vsfa_jax.models.vision_language import VisionLanguage
from vsfa_jax.models.vit import VitBlock, VitConfig, attention_within, stacked_blocks

NORM_EPSILON = 1e-6  # of tower and mergers; the architecture's, no config.json has it
_POSITION_STD = 0.3  # of a random position table, as in CLIP's tower


@dataclasses.dataclass(frozen=True)
class TowerConfig:
    """Shapes of the tower; `deepstack_layers` are those whose features are kept."""

    blocks: VitConfig
    patch_size: int
    frames: int
    merge: int
    table_side: int
    deepstack_layers: tuple[int, ...]
    rotary: Rotary


@dataclasses.dataclass(frozen=True)
class Qwen3VLConfig:
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
    """Patches -> features of the last layer and of the DeepStack layers, [1 + n, B, P, D]."""

    remat, attention = "none", AUTO

    def __init__(self, config: TowerConfig, key: jax.Array):
        self.config = config
        patch_key, position_key, layer_key = jax.random.split(key, 3)
        channels, d = 3 * config.frames * config.patch_size**2, config.blocks.width
        self.patch_embedding = Linear(channels, d, patch_key, bias=True)
        shape = (config.table_side**2, d)
        self.position_embedding = nnx.Param(_POSITION_STD * jax.random.normal(position_key, shape))
        self.layers = stacked_blocks(config.blocks, layer_key)

    def __call__(self, vision: Vision) -> jax.Array:
        x = embed_patches(self.patch_embedding, vision.patches, self.config.frames)
        places = vision.places
        table = self.position_embedding[...]
        x = x + pick_rows(table, places["table_rows"], places["table_weights"]).astype(x.dtype)
        rope = self.config.rotary.table(places["row_column"])
        slots = self._slots()
        head_size = self.config.blocks.head_size
        attend = attention_within(vision.segment_ids, head_size, self.attention)

        def run(
            carry: tuple[jax.Array, jax.Array], scanned: tuple[VitBlock, jax.Array]
        ) -> tuple[tuple[jax.Array, jax.Array], None]:
            (x, kept), (layer, slot) = carry, scanned
            x = layer(x, rope, attend)
            return (x, jax.lax.dynamic_update_index_in_dim(kept, x, slot, 0)), None

        kept = jnp.zeros((len(self.config.deepstack_layers) + 1, *x.shape), x.dtype)
        body = rematerialised(run, self.remat)
        (x, kept), _ = jax.lax.scan(body, (x, kept), (self.layers, jnp.asarray(slots)))
        return jnp.concatenate([x[None], kept[1:]])

    def _slots(self) -> np.ndarray:
        """Where each layer's features go: [L]; 0 is a slot that nobody reads."""
        slots = np.zeros(self.config.blocks.num_layers, np.int32)
        for number, layer in enumerate(self.config.deepstack_layers, start=1):
            slots[layer] = number
        return slots


class Qwen3VL(VisionLanguage):
    """The whole model over packed batches."""

    def __init__(self, config: Qwen3VLConfig, key: jax.Array):
        vision_key, merger_key, deep_key, text_key = jax.random.split(key, 4)
        self.config = config
        self.vision = Tower(config.vision, vision_key)
        self.projector = self._merger(merger_key, norm_merged=False)
        deep_keys = jax.random.split(deep_key, len(config.vision.deepstack_layers))
        self.deepstack = jax.vmap(lambda k: self._merger(k, norm_merged=True))(deep_keys)
        self.language = Decoder(config.text, text_key)

    def _merger(self, key: jax.Array, norm_merged: bool) -> Merger:
        vision, text = self.config.vision, self.config.text
        return Merger(
            vision.blocks.width,
            text.width,
            vision.merge**2,
            "layer",
            NORM_EPSILON,
            key,
            norm_merged=norm_merged,
        )

    @property
    def num_kept_layers(self) -> int:
        return 1 + len(self.config.vision.deepstack_layers)

    def image_rows(self, vision: Vision) -> list[jax.Array]:
        """1 + n times [B, P / 4, D]."""
        last, *others = self.features(vision)
        deep = jax.vmap(lambda merger, x: merger(x))(self.deepstack, jnp.stack(others))
        return [self.projector(last), *deep]
