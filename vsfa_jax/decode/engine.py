"""Answers prompts with a fixed number of rows, each of which takes the next when it has answered.

Prompts go in by groups of like lengths. While the device lets the rows speak, the host looks at the
next prompts; images are looked at once a run, and what prompts begin with alike is run once. Every
shape is of a bucket, so that after each bucket's first group nothing is compiled.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from vsfa_jax.data.batch import Budget, Example, Vision, collate
from vsfa_jax.decode import prefix, slots
from vsfa_jax.decode.buckets import Buckets, bucket
from vsfa_jax.decode.images import Images
from vsfa_jax.decode.queue import Prompt, Queue
from vsfa_jax.decode.sampling import Sampling
from vsfa_jax.kernels.attention import cache_slots

_GROUPS = 8  # of prompts, that the rows are filled by
_AHEAD = 4  # prompts that are looked at ahead, a row
_PARTS = 4  # of buckets of tokens
_LEAST_TOKENS, _LEAST_FEATURES = 16, 64  # the smallest; features' padding costs next to nothing
IMAGE_BYTES = 2**30  # of features that are kept for the next prompts with the same image


@dataclasses.dataclass(frozen=True)
class Decoding:
    """How a run decodes.

    Attributes:
      rows: that speak at a time, a multiple of the mesh's shares.
      sampling: how tokens are chosen.
      max_new_tokens: M, the most tokens of an answer.
      stop_tokens: each ends an answer; there is at least one.
    """

    rows: int
    sampling: Sampling
    max_new_tokens: int
    stop_tokens: tuple[int, ...]


class Engine:
    """One run over prompts.

    Args:
      model: has `features(vision)`, `prompt(batch, prefix)` and `step(tokens, positions, cache)`.
      mesh: of this process's devices, that the model lies on.
      decoding: how.
      buckets: of earlier runs, whose programs are there already.
      image_bytes: features of images that are kept, besides those of prompts that wait.
    """

    def __init__(
        self,
        model: Any,
        mesh: Mesh,
        decoding: Decoding,
        buckets: Buckets | None = None,
        image_bytes: int = IMAGE_BYTES,
    ):
        self.model, self.mesh, self.decoding = model, mesh, decoding
        self._shares = mesh.shape["data"] * mesh.shape["fsdp"]
        self.group = -(-max(decoding.rows // _GROUPS, 1) // self._shares) * self._shares
        self._buckets = buckets or Buckets()
        self.images = Images(self._look, self.group, self._buckets, image_bytes)
        self._sharding = NamedSharding(mesh, PartitionSpec(slots.ROWS))
        self._slots: slots.Slots | None = None
        self._holder: list[int | None] = [None] * decoding.rows
        self._head: Example | None = None
        self._prefix: slots.KeysValues | None = None

    def run(self, prompts: Iterator[Prompt]) -> Iterator[dict[int, list[int]]]:
        """Answers every prompt.

        Yields:
          Tokens of the answers that ended together, by the number of their prompts.
        """
        queue = Queue(prompts, _AHEAD * self.decoding.rows)
        self._expect(queue)
        self._find_prefix(queue)
        ready = self._ready(queue)
        while True:
            while ready is not None and len(free := self._free()) >= len(ready[0]):
                self._insert(*ready, free)
                ready = self._ready(queue) if len(self._free()) >= self.group else None
            if not self._speak():
                return
            ready = ready or self._ready(queue)  # while the device is busy
            yield self._collect()

    def _expect(self, queue: Queue) -> None:
        for prompt in queue.fill(self.group):
            self.images.expect(prompt.number, prompt.example)

    def _find_prefix(self, queue: Queue) -> None:
        """Runs what the first prompts begin with alike; later ones may begin otherwise."""
        examples = [prompt.example for prompt in queue.waiting]
        if length := prefix.common_length(examples):
            self._head = prefix.head(examples[0], length)
            rows = [[self._head]] * self._shares
            batch = collate(rows, Budget(length, 0), self._head)
            cache = slots.prompt(self.model, self._place(batch), None, mesh=self.mesh).cache
            keys, values = (cached[:, 0].swapaxes(1, 2) for cached in (cache.keys, cache.values))
            self._prefix = keys, values

    def _ready(self, queue: Queue) -> tuple[list[Prompt], slots.Prompted] | None:
        """The next group, run as far as its answers' first tokens."""
        self._expect(queue)
        if not (chosen := queue.take(self.group)):
            return None
        examples = self.images.replace([p.number for p in chosen], [p.example for p in chosen])
        before = None
        if self._head is not None and all(prefix.begins_with(e, self._head) for e in examples):
            before = self._prefix
            examples = [prefix.tail(e, len(self._head.tokens)) for e in examples]
        padded = [[e] for e in [*examples, *[examples[-1]] * (self.group - len(examples))]]
        batch = self._place(collate(padded, self._budget(examples), examples[0]))
        return chosen, slots.prompt(self.model, batch, before, mesh=self.mesh)

    def _budget(self, examples: Sequence[Example]) -> Budget:
        """A bucket that fits them."""
        tokens, patches = (max(sizes) for sizes in zip(*(e.lengths for e in examples), strict=True))
        sizes = bucket(tokens, _LEAST_TOKENS, _PARTS), bucket(patches, _LEAST_FEATURES, 1)
        return Budget(*self._buckets.choose(("prompt", self.group), sizes))

    def _insert(self, chosen: list[Prompt], group: slots.Prompted, free: list[int]) -> None:
        """Gives each prompt of a group a free row."""
        self._make_room(chosen, group)
        rows = free[: len(chosen)]
        for row, prompt in zip(rows, chosen, strict=True):
            self._holder[row] = prompt.number
        nowhere = self.group - len(chosen)
        places = np.asarray([*rows, *[self.decoding.rows] * nowhere], np.int32)
        seeds, limits = (
            np.asarray([*numbers, *[1] * nowhere])
            for numbers in ([p.seed for p in chosen], [p.limit for p in chosen])
        )
        filled = slots.insert(
            self._slots,
            group,
            places,
            seeds.astype(np.uint32),
            limits.astype(np.int32),
            mesh=self.mesh,
        )
        self._slots = slots.settled(filled, self.mesh)

    def _make_room(self, chosen: list[Prompt], group: slots.Prompted) -> None:
        """Makes rows long enough for these prompts and any answers to them."""
        longest = max(len(prompt.example.tokens) for prompt in chosen)
        wanted = bucket(longest + self.decoding.max_new_tokens, _LEAST_TOKENS, _PARTS)
        num_keys = cache_slots(max(wanted, group.cache.keys.shape[3]))
        if self._slots is None:
            made = slots.empty(
                group,
                rows=self.decoding.rows,
                num_keys=num_keys,
                num_tokens=self.decoding.max_new_tokens,
                mesh=self.mesh,
            )
        elif num_keys > self._slots.cache.keys.shape[3]:
            made = slots.lengthen(self._slots, num_keys=num_keys, mesh=self.mesh)
        else:
            return
        self._slots = slots.settled(made, self.mesh)

    def _speak(self) -> bool:
        """Starts the rows until a group's worth is free; False where no row has a prompt."""
        free = len(self._free())
        active = self.decoding.rows - free
        if not active:
            return False
        wanted = self.group - free if free < self.group else self.group
        said = slots.advance(
            self.model,
            self._slots,
            np.int32(min(wanted, active)),
            sampling=self.decoding.sampling,
            stop_tokens=self.decoding.stop_tokens,
            mesh=self.mesh,
        )
        self._slots = slots.settled(said, self.mesh)
        return True

    def _collect(self) -> dict[int, list[int]]:
        """Takes the answers that have ended, and frees their rows."""
        assert self._slots is not None
        state = self._slots
        done, steps, tokens = jax.device_get((state.done, state.steps, state.tokens))
        ended = {}
        for row, number in enumerate(self._holder):
            if number is not None and done[row]:
                ended[number] = tokens[row, : steps[row]].tolist()
                self._holder[row] = None
        return ended

    def _free(self) -> list[int]:
        return [row for row, number in enumerate(self._holder) if number is None]

    def _look(self, vision: Vision) -> jax.Array:
        return slots.look(self.model, self._place(vision), mesh=self.mesh)

    def _place(self, tree: Any) -> Any:
        """Rows of numpy arrays on the mesh."""
        return jax.device_put(tree, self._sharding)
