"""What a tower says of the images of a run, each of which it looks at once.

Images wait until a prompt with one of them is next; then those of about its size are looked at
with it, so that the tower always has as many as it is compiled for.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence

import jax
import numpy as np

from vsfa_jax.data.batch import Budget, Example, Vision, collate
from vsfa_jax.data.segments import Segment, segments, with_features
from vsfa_jax.decode.buckets import Buckets, bucket

_LEAST_PATCHES, _PARTS = 32, 4  # of buckets


class Images:
    """Features by image, or by tile of one; the same pixels are the same image.

    Args:
      tower: [S, rows, P, D] of a `Vision` of [rows, P], one segment a row.
      rows: of a call.
      buckets: of earlier runs and of this one.
      limit_bytes: features of images that nobody waits for are kept up to this, the last used.
    """

    def __init__(
        self, tower: Callable[[Vision], jax.Array], rows: int, buckets: Buckets, limit_bytes: int
    ):
        self._tower, self._rows, self._limit = tower, rows, limit_bytes
        self._waiting: dict[str, Segment] = {}
        self._features: collections.OrderedDict[str, np.ndarray] = collections.OrderedDict()
        self._wanted: collections.Counter[str] = collections.Counter()
        self._keys: dict[int, list[str]] = {}
        self._buckets = buckets
        self._bytes = self.computed = 0

    def expect(self, number: int, example: Example) -> None:
        """Says that the prompt of this number will be asked for."""
        found = list(segments(example))
        self._keys[number] = [segment.key for segment in found]
        self._wanted.update(self._keys[number])
        for segment in found:
            if segment.key not in self._features:
                self._waiting.setdefault(segment.key, segment)

    def replace(self, numbers: Sequence[int], examples: Sequence[Example]) -> list[Example]:
        """Expected prompts with features in place of pixels; they are expected no more.

        Where none of them has an image they stay as they are.
        """
        keys = [self._keys.pop(number) for number in numbers]
        if not any(keys):
            return list(examples)
        self._compute({key for some in keys for key in some if key in self._waiting})
        replaced = []
        for some, example in zip(keys, examples, strict=True):
            parts = [self._features[key] for key in some]
            replaced.append(with_features(example, np.concatenate(parts or [self._none()])))
        for some in keys:
            self._wanted.subtract(some)
            for key in some:
                self._features.move_to_end(key)
        self._forget()
        return replaced

    def _none(self) -> np.ndarray:
        """[0, S D], features of no image."""
        return next(iter(self._features.values()))[:0]

    def _compute(self, wanted: set[str]) -> None:
        """Looks at waiting images, those wanted among them."""
        while wanted:
            largest = max(wanted, key=lambda key: (self._waiting[key].length, key))
            own = bucket(self._waiting[largest].length, _LEAST_PATCHES, _PARTS)
            (length,) = self._buckets.choose(("look", self._rows), (own,))
            fitting = [key for key, one in self._waiting.items() if one.length <= length]
            fitting.sort(key=lambda key: (key not in wanted, -self._waiting[key].length))
            chosen = fitting[: self._rows]
            self._look([self._waiting.pop(key) for key in chosen], length)
            wanted = wanted.difference(chosen)

    def _look(self, chosen: Sequence[Segment], length: int) -> None:
        """One call of the tower."""
        padded = [*chosen, *[chosen[-1]] * (self._rows - len(chosen))]
        rows = [[segment.example] for segment in padded]
        vision = collate(rows, Budget(0, length), chosen[0].example).vision
        found = np.moveaxis(np.asarray(self._tower(vision)), 0, 2)  # [rows, P, S, D]
        for segment, features in zip(chosen, found, strict=False):
            kept = features[: segment.length].reshape(segment.length, -1)
            self._features[segment.key] = kept
            self._bytes += kept.nbytes
        self.computed += len(chosen)

    def _forget(self) -> None:
        """Drops what nobody waits for, the longest unused first, down to the limit."""
        for key in list(self._features):
            if self._bytes <= self._limit:
                return
            if not self._wanted[key]:
                self._bytes -= self._features.pop(key).nbytes
