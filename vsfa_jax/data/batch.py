"""Example: one encoded conversation. Batch: packed rows of examples, with static shapes.

    row of tokens    a a a a b b b b b . .      segment_ids  1 1 1 1 2 2 2 2 2 0 0
    row of patches   a a a b b b b b b .        vision.segment_ids names images: 1 1 1 2 2 2 3 3 3 0

Letters: B rows, T tokens of a row, P patches of a row, C channels of a flat patch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import jax
import numpy as np

NO_IMAGE, NEWLINE = -1, -2
FEATURES = "features"  # the place that holds a tower's output, computed earlier
Array: TypeAlias = Any  # numpy on the host, jax.Array on the device


@dataclasses.dataclass(frozen=True, order=True)
class Budget:
    """The static shape of a packed row: at most `tokens` (T) and `patches` (P)."""

    tokens: int
    patches: int


@dataclasses.dataclass(frozen=True)
class Example:
    """One encoded conversation of t tokens and p patches, all numpy.

    Attributes:
      id: the record's id, for error messages.
      tokens: [t] int32, transformers' own input_ids, image placeholders expanded.
      trained: [t] bool; True where the token is one that the model must learn to say.
      positions: [t, 3] int32, (M)RoPE positions; three equal columns for text.
      image_index: [t] int32, row of the vision output, `NO_IMAGE` for text, `NEWLINE` for the
        learned end of a row of patches.
      num_rows: rows of the vision output, at most p: fewer where patches are merged.
      patches: [p, C] float32, normalised flat patches; a class token is one row of zeros.
      patch_segments: [p] int32, number of the image or tile within the example, from 1.
      patch_places: what else the family's tower reads of each patch, by name, each [p, ...]; see
        `Vision.places`.
    """

    id: str
    tokens: np.ndarray
    trained: np.ndarray
    positions: np.ndarray
    image_index: np.ndarray
    num_rows: int
    patches: np.ndarray
    patch_segments: np.ndarray
    patch_places: Mapping[str, np.ndarray]

    @property
    def lengths(self) -> tuple[int, int]:
        """(tokens, patches), what packing needs to know."""
        return len(self.tokens), len(self.patches)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Vision:
    """The patch buffer of a batch.

    Attributes:
      patches: [B, P, C] float32.
      segment_ids: [B, P] int32, number of the image or tile within the row, 0 = padding.
      places: what else the family's tower reads of each patch, by name, each [B, P, ...]: rows of
        a position table, coordinates, windows. A name that ends in "_ids" numbers segments, as
        segment_ids does; the other arrays stay as they are when rows are packed.
    """

    patches: Array
    segment_ids: Array
    places: Mapping[str, Array]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Batch:
    """Packed rows.

    Attributes:
      tokens: [B, T] int32.
      targets: [B, T] int32, the next token of the same example; 0 where the weight is 0.
      loss_weights: [B, T] float32, 1 where the target is a trained token.
      segment_ids: [B, T] int32, example number within the row, 0 = padding.
      positions: [B, T, 3] int32.
      image_index: [B, T] int32, row of the vision output, or `NO_IMAGE`, or `NEWLINE`.
      vision: the patch buffer.
    """

    tokens: Array
    targets: Array
    loss_weights: Array
    segment_ids: Array
    positions: Array
    image_index: Array
    vision: Vision


def collate_row(examples: Sequence[Example], budget: Budget, like: Example) -> Batch:
    """Lays examples side by side in one row: a Batch without its leading B axis, in numpy.

    Args:
      examples: may be none.
      budget: the row's shape.
      like: any example of the family; the row's arrays have the shapes and dtypes of its own.

    Raises:
      ValueError: the examples do not fit the budget; packing promised that they do.
    """
    text, patch = budget.tokens, budget.patches
    row = Batch(
        tokens=np.zeros(text, np.int32),
        targets=np.zeros(text, np.int32),
        loss_weights=np.zeros(text, np.float32),
        segment_ids=np.zeros(text, np.int32),
        positions=np.zeros((text, 3), np.int32),
        image_index=np.full(text, NO_IMAGE, np.int32),
        vision=Vision(
            patches=_room(like.patches, patch),
            segment_ids=np.zeros(patch, np.int32),
            places={name: _room(place, patch) for name, place in like.patch_places.items()},
        ),
    )
    t = p = rows = 0
    for number, example in enumerate(examples, start=1):
        length, patches = example.lengths
        if t + length > text or p + patches > patch:
            raise ValueError(f"record {example.id!r}: row of {budget} is over-full")
        here = slice(t, t + length)
        row.tokens[here] = example.tokens
        row.targets[t : t + length - 1] = np.where(example.trained[1:], example.tokens[1:], 0)
        row.loss_weights[t : t + length - 1] = example.trained[1:]
        row.segment_ids[here] = number
        row.positions[here] = example.positions
        row.image_index[here] = example.image_index + np.where(example.image_index < 0, 0, rows)
        _lay_patches(row.vision, example, p)
        t, p, rows = t + length, p + patches, rows + example.num_rows
    return row


def _room(array: np.ndarray, length: int) -> np.ndarray:
    """Zeros of another length."""
    return np.zeros((length, *array.shape[1:]), array.dtype)


def _lay_patches(vision: Vision, example: Example, start: int) -> None:
    """Writes an example's patches from `start` on, its segments numbered after those there."""
    here = slice(start, start + len(example.patches))
    vision.patches[here] = example.patches
    _lay_segments(vision.segment_ids, example.patch_segments, start)
    for name, place in example.patch_places.items():
        if name.endswith("_ids"):
            _lay_segments(vision.places[name], place, start)
        else:
            vision.places[name][here] = place


def _lay_segments(row: np.ndarray, segments: np.ndarray, start: int) -> None:
    row[start : start + len(segments)] = segments + row[:start].max(initial=0)


def collate(rows: Sequence[Sequence[Example]], budget: Budget, like: Example) -> Batch:
    """Stacks packed rows into a Batch of numpy arrays, [B, ...]; `like` is any example."""
    packed = [collate_row(row, budget, like) for row in rows]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *packed)
