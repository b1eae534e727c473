"""What the four families share: image rows placed among the tokens, prefill, and decoding."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from vsfa_jax.data.batch import FEATURES, NEWLINE, Batch, Vision
from vsfa_jax.kernels.attention import Backend, cache_slots
from vsfa_jax.models.decoder import Cache, Decoder, KeysValues


class VisionLanguage(nnx.Module):
    """A tower, a projector and a decoder over packed batches.

    A family's model sets `vision`, `projector` and `language`; one with DeepStack says how its
    features become rows.
    """

    language: Decoder
    projector: Callable[[jax.Array], jax.Array]

    vision: Callable[[Vision], jax.Array]

    def set_attention(self, backend: Backend) -> None:
        """Asks for a backend in tower and language model, in place."""
        for part in (self.vision, self.language):
            part.attention = backend  # type: ignore[union-attr]

    def features(self, vision: Vision) -> jax.Array:
        """[1 + n, B, P, D], what the tower says; n layers are kept besides the last."""
        if FEATURES not in vision.places:
            return self.vision(vision)
        kept = vision.places[FEATURES]
        parts = kept.reshape(*kept.shape[:2], self.num_kept_layers, -1)
        return jnp.moveaxis(parts, 2, 0)

    @property
    def num_kept_layers(self) -> int:
        """1 + n."""
        return 1

    def image_rows(self, vision: Vision) -> list[jax.Array]:
        """1 + n times [B, R, D]: for the placeholders, then added after the first n layers."""
        return [self.projector(self.features(vision)[0])]

    def newline(self) -> jax.Array | None:
        """[D], what stands at `NEWLINE`; None where a family has no such thing."""
        return None

    def embed(self, batch: Batch) -> tuple[jax.Array, jax.Array | None]:
        """[B, T, D] embeddings with image rows in place, and what DeepStack adds [n, B, T, D]."""
        text = self.language.embed(batch.tokens)
        if batch.vision.patches.shape[1] == 0:
            return text, None
        with jax.named_scope("vision"):
            first, *others = self.image_rows(batch.vision)
        x = scatter_image(text, first, batch.image_index)
        end = self.newline()
        if end is not None:
            x = jnp.where((batch.image_index == NEWLINE)[..., None], end.astype(x.dtype), x)
        zeros = jnp.zeros_like(text)
        added = [scatter_image(zeros, rows, batch.image_index) for rows in others]
        return x, jnp.stack(added) if added else None

    def hidden(self, batch: Batch) -> jax.Array:
        """[B, T, D], normalised, what the head reads."""
        x, deepstack = self.embed(batch)
        with jax.named_scope("language"):
            return self.language(x, batch.positions, batch.segment_ids, deepstack)[0]

    def logits(self, hidden: jax.Array) -> jax.Array:
        """[..., D] -> [..., V] float32."""
        return self.language.logits(hidden)

    def prompt(self, batch: Batch, prefix: KeysValues | None = None) -> tuple[jax.Array, Cache]:
        """Runs prompts, one a row.

        Args:
          batch: padded on the right.
          prefix: keys and values of what every row's prompt begins with and `batch` leaves out,
            each [L, C, K, H]; positions of the batch go on after it.

        Returns:
          logits [B, V] after each row's last token, and the cache of prefix and batch, of C + T
          slots a row.
        """
        x, deepstack = self.embed(batch)
        hidden, kept = self.language(x, batch.positions, batch.segment_ids, deepstack, prefix)
        last = batch.segment_ids.astype(bool).sum(-1) - 1
        hidden = jnp.take_along_axis(hidden, last[:, None, None], axis=1)[:, 0]
        before = 0 if prefix is None else prefix[0].shape[1]
        keys, values = (jnp.swapaxes(leaf, 2, 3) for leaf in kept)
        return self.logits(hidden), Cache(keys, values, last + 1 + before)

    def prefill(self, batch: Batch, num_slots: int) -> tuple[jax.Array, Cache]:
        """Runs prompts, one a row, and leaves room for at least `num_slots` more tokens.

        Returns:
          logits [B, V] after each row's last token, and the cache.
        """
        logits, cache = self.prompt(batch)
        tokens = batch.tokens.shape[1]
        more = cache_slots(tokens + num_slots) - tokens
        room = ((0, 0), (0, 0), (0, 0), (0, more), (0, 0))
        keys, values = (jnp.pad(leaf, room) for leaf in (cache.keys, cache.values))
        return logits, Cache(keys, values, cache.lengths)

    def step(
        self, tokens: jax.Array, positions: jax.Array, cache: Cache
    ) -> tuple[jax.Array, Cache]:
        """One token a row: tokens [B], positions [B] -> logits [B, V], and the longer cache."""
        x = self.language.embed(tokens[:, None])
        places = jnp.repeat(positions[:, None, None], 3, axis=-1)
        hidden, cache = self.language.step(x, places, cache)
        return self.logits(hidden[:, 0]), cache


def scatter_image(text: jax.Array, image: jax.Array, image_index: jax.Array) -> jax.Array:
    """Puts image rows where the prompt has image placeholders.

        image_index   . . 0 1 2 .
        result        t t i i i t

    Args:
      text: [B, T, D].
      image: [B, R, D].
      image_index: [B, T] int32, row of `image`, negative for text.

    Returns:
      [B, T, D] in the dtype of `text`.

    Source: same result as transformers' `masked_scatter` in LlavaModel.forward.
    """
    rows = jnp.take_along_axis(image, jnp.maximum(image_index, 0)[..., None], axis=1)
    return jnp.where((image_index >= 0)[..., None], rows.astype(text.dtype), text)
