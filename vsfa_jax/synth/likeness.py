"""How alike two texts or two images are, without a model: shingles, and a perceptual hash."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

import numpy as np
from PIL import Image

T = TypeVar("T")
HASH_BITS = 128
_SIDE = 8
_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """The words of a text in lower case, whatever its punctuation and form of Unicode."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def shingles(text: str, width: int = 2) -> frozenset[tuple[str, ...]]:
    """Every run of `width` words, and the text's own words where it has fewer."""
    found = words(text)
    last = max(1, len(found) - width + 1)
    return frozenset(tuple(found[i : i + width]) for i in range(last)) if found else frozenset()


def jaccard(one: Collection[T], other: Collection[T]) -> float:
    """Size of the intersection over that of the union; 0 where both are empty."""
    first, second = set(one), set(other)
    union = len(first | second)
    return len(first & second) / union if union else 0.0


def containment(part: Collection[T], whole: Collection[T]) -> float:
    """The share of `part` that is in `whole`; 0 for an empty part."""
    inside = set(part)
    return len(inside & set(whole)) / len(inside) if inside else 0.0


def image_hash(image: Image.Image) -> int:
    """A perceptual hash of 128 bits: where a small grey copy gets lighter to the right, and down.

    It hardly changes with the format, the size and slight changes of colour and brightness; it
    does with a crop, a turn and a mirror image.
    """
    bits: list[np.ndarray] = []
    for axis, size in ((1, (_SIDE + 1, _SIDE)), (0, (_SIDE, _SIDE + 1))):
        grey = image.convert("L").resize(size, Image.Resampling.LANCZOS)
        bits.append(np.diff(np.asarray(grey, np.int16), axis=axis) > 0)
    packed = np.packbits(np.concatenate([part.ravel() for part in bits]))
    return int.from_bytes(packed.tobytes(), "big")


def distance(one: int, other: int) -> int:
    """How many of the bits of two hashes differ, 0 to 128."""
    return (one ^ other).bit_count()


def clusters(items: Sequence[T], alike: Callable[[T, T], bool]) -> list[list[int]]:
    """Indices of the items in groups: two are together if a chain of alike ones joins them.

    Groups come in the order of their first items. Every pair is compared.
    """
    root = list(range(len(items)))

    def find(index: int) -> int:
        while root[index] != index:
            root[index] = index = root[root[index]]
        return index

    for second in range(len(items)):
        for first in range(second):
            if find(first) != find(second) and alike(items[first], items[second]):
                low, high = sorted((find(first), find(second)))
                root[high] = low
    found: dict[int, list[int]] = {}
    for index in range(len(items)):
        found.setdefault(find(index), []).append(index)
    return list(found.values())
