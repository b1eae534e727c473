"""What a training set must not hold: prompts and images of the benchmarks it is measured on.

The user names files and folders of their own copies; what a file holds is told by its ending:

    .csv .tsv          columns of prompts by their usual names (FigStep: instruction, question)
    .json .jsonl       values under such keys, however deep (MM-SafetyBench, SPA-VL)
    .parquet           such columns, and images in columns of encoded images (SPA-VL)
    .txt               one prompt a line
    a folder           every image in it and below

Two texts are near when they share most runs of three words, or when one holds nearly all of the
other's; two images when their perceptual hashes differ in few bits.
"""

from __future__ import annotations

import collections
import csv
import dataclasses
import io
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vsfa_jax.core.errors import DataError, ImageError
from vsfa_jax.synth import likeness

SHINGLE_WORDS = 3
LEAST_WORDS = 4  # "What is this?" is nobody's own: shorter prompts are not compared
PROMPT_NAMES = frozenset(
    {
        *("question", "prompt", "instruction", "text", "query", "goal", "behavior", "request"),
        *("changed question", "rephrased question", "rephrased question(sd)", "key phrase"),
        *("jailbreak_query", "redteam_query", "safe_instruction", "unsafe_instruction"),
        *("content", "value", "user", "input"),
    }
)
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
HASH_BYTES = likeness.HASH_BITS // 8
_LONGEST_CELL = 2**24  # characters; images in some sets stand in CSV as base64


@dataclasses.dataclass(frozen=True)
class Found:
    """What a text or an image is near to.

    Attributes:
      name: of the file that holds the other.
      other: its text, or the image's own name.
      nearness: 0 to 1, 1 where they are equal.
    """

    name: str
    other: str
    nearness: float


class KnownTexts:
    """Prompts by their shingles; a lookup costs about as much as the text is long."""

    def __init__(self, prompts: Iterable[tuple[str, str]]):
        """Args: (name of the file, prompt) of each; equal prompts count once."""
        distinct: dict[tuple[str, ...], tuple[str, str]] = {}
        for name, prompt in prompts:
            found = tuple(likeness.words(prompt))
            if len(found) >= LEAST_WORDS:
                distinct.setdefault(found, (name, prompt))
        self._prompts = list(distinct.values())
        self._shingles = [likeness.shingles(text, SHINGLE_WORDS) for _, text in self._prompts]
        self._holding: dict[tuple[str, ...], list[int]] = collections.defaultdict(list)
        for number, shingles in enumerate(self._shingles):
            for shingle in shingles:
                self._holding[shingle].append(number)

    def __len__(self) -> int:
        return len(self._prompts)

    def nearest(self, text: str, least_jaccard: float, least_containment: float) -> Found | None:
        """The prompt that a text is nearest to, if that is near enough.

        Args:
          text: of any length.
          least_jaccard: shared shingles over those of either.
          least_containment: the share of the prompt's shingles that the text has.
        """
        own = likeness.shingles(text, SHINGLE_WORDS)
        shared = collections.Counter(n for one in own for n in self._holding.get(one, ()))
        best: Found | None = None
        for number, count in shared.items():
            size = len(self._shingles[number])
            jaccard = count / (len(own) + size - count)
            contained = count / size
            if jaccard >= least_jaccard or contained >= least_containment:
                nearness = max(jaccard, contained)
                if best is None or nearness > best.nearness:
                    best = Found(*self._prompts[number], nearness)
        return best


class KnownImages:
    """Perceptual hashes of images."""

    def __init__(self, images: Iterable[tuple[str, str, int]]):
        """Args: (name of the folder or file, name of the image, its hash) of each."""
        listed = list(images)
        self._names = [(name, image) for name, image, _ in listed]
        self._hashes = _as_bytes([value for _, _, value in listed])

    def __len__(self) -> int:
        return len(self._names)

    def nearest(self, image_hash: int, most_bits: int) -> Found | None:
        """The image that one with this hash is nearest to, if few enough bits differ.

        Hashes of nearly empty images have few bits set and differ in few: they are near only if
        most of what is set in either is set in both.
        """
        if not self._names:
            return None
        own = _as_bytes([image_hash])
        differ = np.bitwise_count(self._hashes ^ own).sum(axis=1, dtype=np.int64)
        either = np.bitwise_count(self._hashes | own).sum(axis=1, dtype=np.int64)
        differ = np.where((2 * differ < either) | (differ == 0), differ, likeness.HASH_BITS + 1)
        number = int(differ.argmin())
        if differ[number] > most_bits:
            return None
        return Found(*self._names[number], 1 - float(differ[number]) / likeness.HASH_BITS)


@dataclasses.dataclass(frozen=True)
class Known:
    """Prompts and images of benchmarks."""

    texts: KnownTexts
    images: KnownImages


def nothing_known() -> Known:
    """No prompt and no image."""
    return Known(KnownTexts(()), KnownImages(()))


def read_known(paths: Sequence[Path]) -> Known:
    """Reads the user's copies of benchmarks; see the module's text for their forms.

    Raises:
      DataError: one is missing, of another form, damaged, or holds neither prompt nor image.
    """
    texts: list[tuple[str, str]] = []
    images: list[tuple[str, str, int]] = []
    for path in paths:
        before = len(texts) + len(images)
        if path.is_dir():
            images += _folder_images(path)
        else:
            texts += ((path.name, text) for text in read_prompts(path))
            if path.suffix.lower() == ".parquet":
                images += _parquet_images(path)
        if len(texts) + len(images) == before:
            raise DataError(
                f"{path}: no prompt and no image in it; wanted columns or keys of "
                f"{', '.join(sorted(PROMPT_NAMES))}, lines of text, or a folder of images"
            )
    return Known(KnownTexts(texts), KnownImages(images))


def read_prompts(path: Path) -> list[str]:
    """The prompts of one file, by the form that its ending names.

    Raises:
      DataError: it cannot be read, or its ending is another.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _parquet_prompts(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 at byte {error.start}") from error
    if suffix == ".txt":
        return [line.strip() for line in text.splitlines() if line.strip()]
    if suffix in (".csv", ".tsv"):
        return _table_prompts(path, text, "\t" if suffix == ".tsv" else ",")
    if suffix in (".json", ".jsonl"):
        return list(_json_prompts(path, text, lines=suffix == ".jsonl"))
    raise DataError(f"{path}: ending {suffix!r}; wanted .csv .tsv .json .jsonl .parquet or .txt")


def _table_prompts(path: Path, text: str, delimiter: str) -> list[str]:
    csv.field_size_limit(min(_LONGEST_CELL, sys.maxsize))
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        return [
            value
            for row in rows
            for name, value in row.items()
            if _is_prompt(name) and isinstance(value, str) and value.strip()
        ]
    except csv.Error as error:
        raise DataError(f"{path}, line {rows.line_num}: no CSV: {error}") from error


def _json_prompts(path: Path, text: str, *, lines: bool) -> Iterator[str]:
    parts = text.splitlines() if lines else [text]
    for number, part in enumerate(parts, start=1):
        if part.strip():
            try:
                yield from _walk(json.loads(part))
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}, line {number}: no JSON: {error}") from error


def _walk(value: Any, named: bool = True) -> Iterator[str]:
    """Texts under a prompt's name, and those of a list without any names."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _walk(inner, named=_is_prompt(name))
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner, named)
    elif isinstance(value, str) and named and value.strip():
        yield value


def _is_prompt(name: object) -> bool:
    return isinstance(name, str) and name.strip().casefold() in PROMPT_NAMES


def _parquet(path: Path) -> Any:
    """An open Parquet file; imported here, for the leak guard alone is wanted without pyarrow."""
    from vsfa_jax.benchmarks.parquet import open_parquet

    return open_parquet(path)


def _parquet_prompts(path: Path) -> list[str]:
    file = _parquet(path)
    names = [name for name in file.schema_arrow.names if _is_prompt(name)]
    return list(_walk(file.read(columns=names).to_pylist())) if names else []


def _parquet_images(path: Path) -> list[tuple[str, str, int]]:
    """Hashes of the images in columns of structs with `bytes`, a group of rows at a time."""
    file = _parquet(path)
    columns = [
        field.name
        for field in file.schema_arrow
        if {"bytes", "path"} <= {part.name for part in _parts(field.type)}
    ]
    found: list[tuple[str, str, int]] = []
    for batch in file.iter_batches(batch_size=64, columns=columns) if columns else ():
        for row in batch.to_pylist():
            for name, image in row.items():
                if image and image.get("bytes"):
                    where = f"{path}, column {name!r}, image {len(found) + 1}"
                    found.append((path.name, where, hash_of(image["bytes"], where)))
    return found


def _parts(kind: Any) -> Sequence[Any]:
    """Fields of an Arrow struct; none of any other type."""
    return [kind.field(i) for i in range(kind.num_fields)] if kind.num_fields else []


def _folder_images(folder: Path) -> list[tuple[str, str, int]]:
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    found = []
    for path in paths:
        if path.is_file() and path.resolve().is_relative_to(folder.resolve()):
            name = path.relative_to(folder).as_posix()
            found.append((folder.name, name, hash_of(path.read_bytes(), str(path))))
    return found


def hash_of(data: bytes, where: str) -> int:
    """The perceptual hash of an encoded image.

    Raises:
      DataError: it cannot be decoded.
    """
    from vsfa_jax.data.images import decode_image

    try:
        return likeness.image_hash(decode_image(data, where=where))
    except ImageError as error:
        raise DataError(f"{error}; a benchmark's image that cannot be compared") from error


def _as_bytes(hashes: Sequence[int]) -> np.ndarray:
    """[N, 16] uint8."""
    data = b"".join(value.to_bytes(HASH_BYTES, "big") for value in hashes)
    return np.frombuffer(data, np.uint8).reshape(-1, HASH_BYTES)
