"""CLIP's vision tower over a packed buffer of patches.

    patches   [class] p p p p [class] p p p p . .
    segments     1    1 1 1 1    2    2 2 2 2 0 0
    positions    0    1 2 3 4    0    1 2 3 4 0 0

A class token is a row of zeros at position 0: its patch embedding is zero, so that adding the
class embedding there gives what transformers' CLIPVisionEmbeddings concatenates.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from vsfa_jax.data.batch import Vision
from vsfa_jax.kernels.attention import AUTO
from vsfa_jax.models.linear import Linear
from vsfa_jax.models.norms import LayerNorm
from vsfa_jax.models.remat import rematerialised
from vsfa_jax.models.vit import VitBlock, VitConfig, attention_within, stacked_blocks

# Of random position and class embeddings: about as large as a picture's patch embeddings, for much
# smaller ones drown in them, and a tower that knows no places learns none for a long time.
_POSITION_STD = 0.3


@dataclasses.dataclass(frozen=True)
class ClipConfig:
    """Shapes of a CLIP vision tower; `num_used_layers` <= `blocks.num_layers` are run."""

    blocks: VitConfig
    patch_channels: int
    num_positions: int
    num_used_layers: int


class ClipTower(nnx.Module):
    """Patches -> features of the layer that the projector reads."""

    remat, attention = "none", AUTO

    def __init__(self, config: ClipConfig, key: jax.Array):
        self.config = config
        patch_key, class_key, position_key, layer_key = jax.random.split(key, 4)
        d, std, epsilon = config.blocks.width, _POSITION_STD, config.blocks.norm_epsilon
        self.patch_embedding = Linear(config.patch_channels, d, patch_key, bias=False)
        self.class_embedding = nnx.Param(std * jax.random.normal(class_key, (d,)))
        shape = (config.num_positions, d)
        self.position_embedding = nnx.Param(std * jax.random.normal(position_key, shape))
        self.pre_norm = LayerNorm(d, epsilon)
        self.layers = stacked_blocks(config.blocks, layer_key)
        self.post_norm = LayerNorm(d, epsilon)

    def __call__(self, vision: Vision) -> jax.Array:
        """[B, P, C] patches -> [1, B, P, D] features, class rows included."""
        dtype, positions = self.position_embedding[...].dtype, vision.places["positions"]
        x = self.patch_embedding(vision.patches.astype(dtype))
        is_class = (positions == 0) & (vision.segment_ids > 0)
        x = x + jnp.where(is_class[..., None], self.class_embedding[...], 0)
        x = self.pre_norm(x + self.position_embedding[...][positions])
        used = jax.tree.map(lambda leaf: leaf[: self.config.num_used_layers], self.layers)

        head_size = self.config.blocks.head_size
        attend = attention_within(vision.segment_ids, head_size, self.attention)

        def run(x: jax.Array, layer: VitBlock) -> tuple[jax.Array, None]:
            return layer(x, None, attend), None

        x, _ = jax.lax.scan(rematerialised(run, self.remat), x, used)
        return x[None]
