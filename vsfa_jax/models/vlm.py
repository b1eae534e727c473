"""A loaded model with its processor: what a user holds."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from vsfa_jax import decode
from vsfa_jax.data.batch import Batch, Budget, collate
from vsfa_jax.kernels.attention import on_mesh
from vsfa_jax.models import rows

Conversation = Mapping[str, Any]


@functools.partial(jax.jit, static_argnames="mesh")
def _logits(model: Any, batch: Batch, mesh: Mesh) -> jax.Array:
    with on_mesh(mesh):
        return model.logits(model.hidden(batch))


@dataclasses.dataclass(frozen=True)
class Vlm:
    """A vision-language model ready to be asked.

    Attributes:
      family: a name of `models.FAMILIES`.
      config: the family's shapes.
      model: the Flax module, a plain pytree.
      processor: conversations -> examples.
      directory: where it was loaded from.
      mesh: where its parameters lie.
    """

    family: str
    config: Any
    model: Any
    processor: Any
    directory: Path
    mesh: Mesh

    def batch(self, conversations: Sequence[Conversation]) -> Batch:
        """One conversation a row, padded on the right to the longest.

        Raises:
          DataError: marks and images of a conversation differ in number.
        """
        examples = [self.processor.encode(c) for c in conversations]
        budget = Budget(*(max(sizes) for sizes in zip(*(e.lengths for e in examples), strict=True)))
        return collate([[e] for e in examples], budget, examples[0])

    def logits(self, batch: Batch) -> jax.Array:
        """[B, T, V] float32."""
        return _logits(self.model, batch, mesh=self.mesh)

    def generate(
        self,
        conversations: Sequence[Conversation],
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
        batch_size: int = 32,
        top_p: float = 1.0,
    ) -> list[str]:
        """Answers of the assistant; greedy at temperature 0, else sampled by each one's seed.

        Of several processes all must call it alike, and all get every answer; each looks only at
        the conversations whose rows it holds.

        Args:
          conversations: each ends with a user's message.
          max_new_tokens: the most tokens of an answer.
          temperature: of sampling.
          seeds: one a conversation; the same seed and prompt give the same answer in any batch.
          batch_size: prompts decoded together, rounded up to what the mesh can share.
          top_p: of sampling, the probability that the tokens drawn from hold; 1 is all tokens.
        """
        answers = self.generate_tokens(
            conversations, max_new_tokens, temperature, seeds, batch_size, top_p
        )
        decode_text = self.processor.tokenizer.decode
        return [decode_text(tokens, skip_special_tokens=True).strip() for tokens in answers]

    def generate_tokens(
        self,
        conversations: Sequence[Conversation],
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
        batch_size: int = 32,
        top_p: float = 1.0,
    ) -> list[list[int]]:
        """As `generate`: an answer's tokens, with its stop token if it came to one."""
        count = len(conversations)
        seeds = list(range(count)) if seeds is None else list(seeds)
        part, parts = rows.row_share(self.mesh)
        mine = {
            i: self.processor.encode(conversations[i], generate=True)
            for i in (range(part, count, parts) or range(count)[:1])
        }
        order = sorted(mine, key=lambda i: mine[i].lengths)
        own = order if part < count else []
        shards = rows.num_shards(self.mesh)
        size = -(-batch_size // shards) * shards // parts  # rows of a batch in this part
        answers: list[list[int]] = [[] for _ in range(count)]
        for start in range(0, -(-count // parts), size):
            chosen = own[start : start + size]
            padded = chosen + [(chosen or order)[-1]] * (size - len(chosen))
            numbers = np.asarray(chosen + [-1] * (size - len(chosen)), np.int32)
            batch = decode.collate_prompts([mine[i] for i in padded], rows.longest)
            placed = rows.place_rows(
                (batch, np.asarray([seeds[i] for i in padded], np.uint32), numbers), self.mesh
            )
            tokens = decode.generate(
                self.model,
                placed[0],
                seeds=placed[1],
                sampling=decode.Sampling(temperature, top_p),
                max_new_tokens=max_new_tokens,
                stop_tokens=self.processor.stop_tokens,
                mesh=self.mesh,
            )
            for i, row in zip(*rows.fetch((placed[2], tokens)), strict=True):
                if i >= 0:
                    stops = np.flatnonzero(np.isin(row, self.processor.stop_tokens))
                    answers[i] = row[: stops[0] + 1 if len(stops) else len(row)].tolist()
        return answers
