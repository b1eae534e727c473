"""What the prompts of a run begin with alike, such as a system turn: it is run once for all."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from vsfa_jax.data.batch import NO_IMAGE, Example

STEP = 16  # tokens; a shorter beginning costs more programs than it saves


def common_length(examples: Sequence[Example]) -> int:
    """Tokens that all of them begin with, cut to a multiple of `STEP`.

    No image is among them, their positions agree, and every example has a token more.
    """
    if len(examples) < 2:
        return 0
    first, *others = examples
    length = min(len(example.tokens) for example in examples) - 1
    alike = first.image_index[:length] == NO_IMAGE
    for other in others:
        alike &= other.image_index[:length] == NO_IMAGE
        alike &= other.tokens[:length] == first.tokens[:length]
        alike &= (other.positions[:length] == first.positions[:length]).all(-1)
    found = length if alike.all() else int(alike.argmin())
    return found - found % STEP


def head(example: Example, length: int) -> Example:
    """Its first tokens, which name no image."""
    return dataclasses.replace(
        _between(example, 0, length),
        num_rows=0,
        patches=example.patches[:0],
        patch_segments=example.patch_segments[:0],
        patch_places={name: place[:0] for name, place in example.patch_places.items()},
    )


def begins_with(example: Example, head: Example) -> bool:
    """Whether the example begins with the tokens of `head` and goes on."""
    length = len(head.tokens)
    return (
        len(example.tokens) > length
        and np.array_equal(example.tokens[:length], head.tokens)
        and np.array_equal(example.positions[:length], head.positions)
    )


def tail(example: Example, length: int) -> Example:
    """What comes after its first tokens, which name no image."""
    return _between(example, length, len(example.tokens))


def _between(example: Example, start: int, stop: int) -> Example:
    here = slice(start, stop)
    return dataclasses.replace(
        example,
        tokens=example.tokens[here],
        trained=example.trained[here],
        positions=example.positions[here],
        image_index=example.image_index[here],
    )
