"""A loaded model with its processor: what a user holds."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
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
_ROUND = 4  # batches that are sorted by length together


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
      buckets: of prompts that were decoded, for which there are programs.
    """

    family: str
    config: Any
    model: Any
    processor: Any
    directory: Path
    mesh: Mesh
    buckets: decode.Buckets = dataclasses.field(default_factory=decode.Buckets)

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
        return [self._text(tokens) for tokens in answers]

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
        seeds = range(len(conversations)) if seeds is None else seeds
        answers: list[list[int]] = [[] for _ in range(len(conversations))]
        for ended in self.stream_tokens(
            conversations, max_new_tokens, decode.Sampling(temperature, top_p), seeds, batch_size
        ):
            for number, tokens in ended.items():
                answers[number] = tokens
        return answers

    def stream(
        self,
        conversations: Sequence[Conversation],
        max_new_tokens: int,
        temperature: float,
        seeds: Sequence[int],
        batch_size: int,
    ) -> Iterator[dict[int, str]]:
        """As `generate`: answers by their conversations' numbers, as soon as they have ended."""
        sampling = decode.Sampling(temperature)
        for ended in self.stream_tokens(conversations, max_new_tokens, sampling, seeds, batch_size):
            yield {number: self._text(tokens) for number, tokens in ended.items()}

    def stream_tokens(
        self,
        conversations: Sequence[Conversation],
        max_new_tokens: int,
        sampling: decode.Sampling,
        seeds: Sequence[int],
        batch_size: int,
        limits: Sequence[int] | None = None,
    ) -> Iterator[dict[int, list[int]]]:
        """Tokens of answers as they end, each conversation's once.

        One process replaces a row that has ended. Several that hold the model together answer
        batch by batch, each of which ends with its longest answer.

        Args:
          conversations: as of `generate`; each is looked at once, shortly before it is asked.
          max_new_tokens: the most tokens of an answer.
          sampling: how tokens are chosen.
          seeds: one a conversation.
          batch_size: as of `generate`.
          limits: the most tokens of each answer, at most `max_new_tokens`; that one for all where
            None.
        """
        shards = rows.num_shards(self.mesh)
        batch_size = -(-batch_size // shards) * shards
        decoding = decode.Decoding(
            batch_size, sampling, max_new_tokens, tuple(self.processor.stop_tokens)
        )
        if jax.process_count() > 1:
            yield from self._batches(conversations, seeds, decoding, limits)
            return
        prompts = (
            decode.Prompt(
                number,
                self.processor.encode(conversations[number], generate=True),
                seeds[number],
                max_new_tokens if limits is None else limits[number],
            )
            for number in range(len(conversations))
        )
        yield from decode.Engine(self.model, self.mesh, decoding, self.buckets).run(prompts)

    def _batches(
        self,
        conversations: Sequence[Conversation],
        seeds: Sequence[int],
        decoding: decode.Decoding,
        limits: Sequence[int] | None,
    ) -> Iterator[dict[int, list[int]]]:
        """As `stream_tokens`, for several processes, of which all go through the same batches.

        `_ROUND` batches are sorted by length together.
        """
        together = _ROUND * decoding.rows
        for start in range(0, len(conversations), together):
            numbers = range(start, min(start + together, len(conversations)))
            yield from self._round(conversations, numbers, seeds, decoding, limits)

    def _round(
        self,
        conversations: Sequence[Conversation],
        numbers: range,
        seeds: Sequence[int],
        decoding: decode.Decoding,
        limits: Sequence[int] | None,
    ) -> Iterator[dict[int, list[int]]]:
        """These conversations of `_batches`, of which this process looks at its own."""
        part, parts = rows.row_share(self.mesh)
        own = numbers[part::parts]
        mine = {
            number: self.processor.encode(conversations[number], generate=True)
            for number in own or numbers[:1]
        }
        order = sorted(mine, key=lambda number: mine[number].lengths)
        asked = order if own else []
        size = decoding.rows // parts  # rows of a batch in this part
        for start in range(0, -(-len(numbers) // parts), size):
            chosen = asked[start : start + size]
            nobody = size - len(chosen)
            padded = [*chosen, *[(chosen or order)[-1]] * nobody]
            batch = decode.collate_prompts([mine[number] for number in padded], rows.longest)
            padded_seeds = np.asarray([seeds[number] for number in padded], np.uint32)
            owners = np.asarray([*chosen, *[-1] * nobody], np.int32)
            placed = rows.place_rows((batch, padded_seeds, owners), self.mesh)
            tokens = decode.generate(
                self.model,
                placed[0],
                seeds=placed[1],
                sampling=decoding.sampling,
                max_new_tokens=decoding.max_new_tokens,
                stop_tokens=decoding.stop_tokens,
                mesh=self.mesh,
            )
            ended = {}
            for number, row in zip(*rows.fetch((placed[2], tokens)), strict=True):
                if number >= 0:
                    stops = np.flatnonzero(np.isin(row, decoding.stop_tokens))
                    limit = len(row) if limits is None else limits[number]
                    ended[int(number)] = row[: min([*stops[:1] + 1, limit])].tolist()
            yield ended

    def _text(self, tokens: Sequence[int]) -> str:
        return str(self.processor.tokenizer.decode(tokens, skip_special_tokens=True)).strip()
