"""Segments of an example's patches: an image, or a tile of one.

A tower's segments do not see each other, so what it says of one it says in any company, and equal
ones need be looked at once.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator

import numpy as np

from vsfa_jax.data.batch import FEATURES, Example


@dataclasses.dataclass(frozen=True)
class Segment:
    """One segment of an example as an example of its own.

    Attributes:
      key: a hash of all that the tower reads.
      example: no text, the segment's patches.
    """

    key: str
    example: Example

    @property
    def length(self) -> int:
        """Its patches."""
        return len(self.example.patches)


def segments(example: Example) -> Iterator[Segment]:
    """In their order; none of an example without images."""
    if not len(example.patches):
        return
    ends = np.flatnonzero(np.diff(example.patch_segments, append=-1)) + 1
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        here = slice(start, end)
        places = {}
        digest = hashlib.sha256(example.patches[here].tobytes())
        for name, place in sorted(example.patch_places.items()):
            part = place[here]
            if name.endswith("_ids"):
                part = (part - part.min() + 1).astype(part.dtype)
            digest.update(name.encode() + part.tobytes())
            places[name] = part
        one = dataclasses.replace(
            example,
            tokens=example.tokens[:0],
            trained=example.trained[:0],
            positions=example.positions[:0],
            image_index=example.image_index[:0],
            patches=example.patches[here],
            patch_segments=np.ones(end - start, np.int32),
            patch_places=places,
        )
        yield Segment(digest.hexdigest(), one)


def with_features(example: Example, features: np.ndarray) -> Example:
    """The example with what the tower says of its patches, [p, ...], in place of their pixels."""
    return dataclasses.replace(
        example,
        patches=np.zeros((len(example.patches), 0), np.float32),
        patch_places={**example.patch_places, FEATURES: features},
    )
