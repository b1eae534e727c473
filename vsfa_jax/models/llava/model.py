"""LLaVA-1.5: CLIP tower, two-layer GELU projector, Llama. Source: arXiv 2310.03744."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from vsfa_jax.data.batch import Batch, Vision
from vsfa_jax.models.clip import ClipConfig, ClipTower
from vsfa_jax.models.decoder import Cache, Decoder, DecoderConfig
from vsfa_jax.models.linear import Linear


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


class Projector(nnx.Module):
    """[..., D of the tower] -> [..., D of the language model]."""

    def __init__(self, config: LlavaConfig, key: jax.Array):
        up, down = jax.random.split(key)
        width, bias = config.text.width, config.projector_bias
        self.up_proj = Linear(config.vision.width, width, up, bias=bias)
        self.down_proj = Linear(width, width, down, bias=bias)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.down_proj(jax.nn.gelu(self.up_proj(x), approximate=False))


class Llava(nnx.Module):
    """The whole model over packed batches."""

    def __init__(self, config: LlavaConfig, key: jax.Array):
        vision_key, projector_key, text_key = jax.random.split(key, 3)
        self.config = config
        self.vision = ClipTower(config.vision, vision_key)
        self.projector = Projector(config, projector_key)
        self.language = Decoder(config.text, text_key)

    def image_features(self, vision: Vision) -> jax.Array:
        """Projected features [B, P, D], a row per patch; class rows are never gathered."""
        return self.projector(self.vision(vision))

    def embed(self, batch: Batch) -> jax.Array:
        """[B, T, D] token embeddings with image features at the placeholders."""
        text = self.language.embed(batch.tokens)
        if batch.vision.patches.shape[1] == 0:
            return text
        return scatter_image(text, self.image_features(batch.vision), batch.image_index)

    def hidden(self, batch: Batch) -> jax.Array:
        """[B, T, D], normalised, what the head reads."""
        positions = batch.positions[..., 0]
        return self.language(self.embed(batch), positions, batch.segment_ids)[0]

    def logits(self, hidden: jax.Array) -> jax.Array:
        """[..., D] -> [..., V] float32."""
        return self.language.head(hidden).astype(jnp.float32)

    def prefill(self, batch: Batch, num_slots: int) -> tuple[jax.Array, Cache]:
        """Runs prompts, one a row, and leaves room for `num_slots` more tokens.

        Returns:
          logits [B, V] after each row's last token, and the cache of T + num_slots slots.
        """
        positions = batch.positions[..., 0]
        hidden, kept = self.language(self.embed(batch), positions, batch.segment_ids)
        last = batch.segment_ids.astype(bool).sum(-1) - 1
        room = ((0, 0), (0, 0), (0, num_slots), (0, 0), (0, 0))
        keys, values = (jnp.pad(leaf, room) for leaf in kept)
        filled = jnp.pad((batch.segment_ids > 0).astype(jnp.int32), ((0, 0), (0, num_slots)))
        hidden = jnp.take_along_axis(hidden, last[:, None, None], axis=1)[:, 0]
        return self.logits(hidden), Cache(keys, values, filled)

    def step(
        self, tokens: jax.Array, positions: jax.Array, cache: Cache, slot: jax.Array
    ) -> tuple[jax.Array, Cache]:
        """One token a row: tokens [B], positions [B], written at `slot` -> logits [B, V]."""
        x = self.language.embed(tokens[:, None])
        hidden, cache = self.language.step(x, positions[:, None], cache, slot)
        return self.logits(hidden[:, 0]), cache


def scatter_image(text: jax.Array, image: jax.Array, image_index: jax.Array) -> jax.Array:
    """Puts image features where the prompt has image placeholders.

        image_index   . . 0 1 2 .
        result        t t i i i t

    Args:
      text: [B, T, D].
      image: [B, P, D].
      image_index: [B, T] int32, row of `image`, negative for text.

    Returns:
      [B, T, D] in the dtype of `text`.

    Source: same result as transformers' `masked_scatter` in LlavaModel.forward.
    """
    rows = jnp.take_along_axis(image, jnp.maximum(image_index, 0)[..., None], axis=1)
    return jnp.where((image_index >= 0)[..., None], rows.astype(text.dtype), text)
