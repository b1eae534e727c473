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
from vsfa_jax.kernels.attention import attention
from vsfa_jax.models.linear import Linear
from vsfa_jax.models.norms import LayerNorm

# Of random position and class embeddings: about as large as a picture's patch embeddings, for much
# smaller ones drown in them, and a tower that knows no places learns none for a long time.
_POSITION_STD = 0.3


@dataclasses.dataclass(frozen=True)
class ClipConfig:
    """Shapes of a CLIP vision tower; `num_used_layers` <= `num_layers` are run."""

    patch_channels: int
    num_positions: int
    width: int
    hidden: int
    num_layers: int
    num_used_layers: int
    num_heads: int
    norm_epsilon: float


class ClipBlock(nnx.Module):
    """One tower layer: pre-norm, full attention inside an image, quick-GELU MLP."""

    def __init__(self, config: ClipConfig, key: jax.Array):
        seeds = jax.random.split(key, 6)
        d, f, branch = config.width, config.hidden, (2 * config.num_layers) ** -0.5
        self.attention_norm = LayerNorm(d, config.norm_epsilon)
        self.mlp_norm = LayerNorm(d, config.norm_epsilon)
        self.q_proj = Linear(d, d, seeds[0], bias=True)
        self.k_proj = Linear(d, d, seeds[1], bias=True)
        self.v_proj = Linear(d, d, seeds[2], bias=True)
        self.o_proj = Linear(d, d, seeds[3], bias=True, scale=branch)
        self.up_proj = Linear(d, f, seeds[4], bias=True)
        self.down_proj = Linear(f, d, seeds[5], bias=True, scale=branch)
        self.num_heads = config.num_heads

    def __call__(self, x: jax.Array, segment_ids: jax.Array) -> jax.Array:
        """x [B, P, D], segments [B, P] -> [B, P, D]."""
        b, p, d = x.shape
        normal = self.attention_norm(x)
        q, k, v = (
            proj(normal).reshape(b, p, self.num_heads, -1)
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        out = attention(q, k, v, segment_ids=segment_ids, causal=False)
        x = x + self.o_proj(out.reshape(b, p, d))
        hidden = self.up_proj(self.mlp_norm(x))
        return x + self.down_proj(hidden * jax.nn.sigmoid(1.702 * hidden))


class ClipTower(nnx.Module):
    """Patches -> features of the layer that the projector reads."""

    def __init__(self, config: ClipConfig, key: jax.Array):
        self.config = config
        patch_key, class_key, position_key, layer_key = jax.random.split(key, 4)
        d, std = config.width, _POSITION_STD
        self.patch_embedding = Linear(config.patch_channels, d, patch_key, bias=False)
        self.class_embedding = nnx.Param(std * jax.random.normal(class_key, (d,)))
        shape = (config.num_positions, d)
        self.position_embedding = nnx.Param(std * jax.random.normal(position_key, shape))
        self.pre_norm = LayerNorm(d, config.norm_epsilon)
        keys = jax.random.split(layer_key, config.num_layers)
        self.layers = jax.vmap(lambda k: ClipBlock(config, k))(keys)
        self.post_norm = LayerNorm(d, config.norm_epsilon)

    def __call__(self, vision: Vision) -> jax.Array:
        """[B, P, C] patches -> [B, P, D] features, class rows included."""
        dtype = self.position_embedding[...].dtype
        x = self.patch_embedding(vision.patches.astype(dtype))
        is_class = (vision.positions == 0) & (vision.segment_ids > 0)
        x = x + jnp.where(is_class[..., None], self.class_embedding[...], 0)
        x = self.pre_norm(x + self.position_embedding[...][vision.positions])
        used = jax.tree.map(lambda leaf: leaf[: self.config.num_used_layers], self.layers)
        x, _ = jax.lax.scan(lambda x, layer: (layer(x, vision.segment_ids), None), x, used)
        return x
