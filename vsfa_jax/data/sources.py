"""Sources: where records come from. A set on disk is read without TensorFlow."""

from __future__ import annotations

import collections
import functools
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_data_source import ArrayRecordDataSource
from google.protobuf.json_format import ParseError

from vsfa_jax.core.errors import DataError
from vsfa_jax.data import record as records
from vsfa_jax.data.record import DEFAULT_ARM, Message, Record

FEATURES = {"id", "images", "sha256", "messages", "arm"}


class Source(Protocol):
    """Records by index, drawn or read on access; safe to read from several threads."""

    @property
    def fingerprint(self) -> str:
        """Hash over the records' ids and contents, in order; never over files."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Record: ...

    def sketch(self, index: int) -> Record:
        """The record with its texts and sizes of images, whose pixels may be any: to measure it."""
        ...


class Encoded(tfds.decode.Decoder):
    """Leaves images as the bytes of their files; tfds's own `SkipDecoding` knows no sequences."""

    def decode_example(self, serialized_example: Any) -> Any:
        return serialized_example

    def decode_batch_example_np(self, serialized_example: Any) -> Any:
        return serialized_example


class StoredSource:
    """The records of one arm in one split of a stored set.

    Opening reads the set once, for the arms and the fingerprint. Every read compares each image
    with its stored sha256.
    """

    def __init__(self, rows: Any, arm: str, where: str):
        self._rows = rows
        self._where = where
        arms = [_text(self._row(i)["arm"]) for i in range(len(rows))]
        self._indices = [i for i, found in enumerate(arms) if found == arm]
        if not self._indices:
            known = ", ".join(sorted(set(arms))) or "none"
            raise DataError(f"{where}: no record of arm {arm!r}; its arms are: {known}")

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Record:
        record, wanted = _record(self._row(self._indices[index]))
        if records.image_digests(record.images) != wanted:
            raise DataError(
                f"{self._where}: record {record.id!r}: an image's bytes differ from its sha256"
            )
        return record

    def sketch(self, index: int) -> Record:
        """See `Source.sketch`; a stored record is read whole."""
        return self[index]

    def _row(self, number: int) -> dict[str, Any]:
        return _read_row(self._rows, number, self._where)

    @functools.cached_property
    def fingerprint(self) -> str:
        """See `Source.fingerprint`; reads every record of the arm."""
        return records.fingerprint(self[i].digest() for i in range(len(self)))


def arms_of(path: Path | str) -> dict[str, dict[str, int]]:
    """How many records a stored set has of each arm, by split.

    Raises:
      DataError: as `open_source`.
    """
    directory = find_set(Path(path))
    builder = _builder(directory)
    found = {}
    for split in builder.info.splits:
        rows, where = _rows(builder, split, directory), f"{directory}, split {split!r}"
        arms = (_text(_read_row(rows, i, where)["arm"]) for i in range(len(rows)))
        found[split] = dict(sorted(collections.Counter(arms).items()))
    return found


def open_source(path: Path | str, split: str = "train", arm: str = DEFAULT_ARM) -> StoredSource:
    """Opens a set that `vsfa_jax.data.build` or the tfds builder wrote.

    Args:
      path: the folder with dataset_info.json, or one above it that holds a single set.
      split: "train", "validation", or a tfds slice such as "train[:50%]".
      arm: the records to keep.

    Raises:
      DataError: not a set of this kind, no such split or arm, or a file that holds fewer or more
        records than the set's own description says, as a truncated one does.
    """
    directory = find_set(Path(path))
    rows = _rows(_builder(directory), split, directory)
    return StoredSource(rows, arm, where=f"{directory}, split {split!r}")


def _builder(directory: Path) -> Any:
    """The set's own description of itself, checked to be of our records."""
    try:
        builder = tfds.builder_from_directory(str(directory))
    except (OSError, ValueError, KeyError, ParseError) as error:
        raise DataError(f"{directory}: not a readable tfds data set: {error}") from error
    found = set(builder.info.features or ())
    if found != FEATURES:
        raise DataError(
            f"{directory}: records of {sorted(found)}; wanted {sorted(FEATURES)}, "
            "as `python -m vsfa_jax.data.build` writes them"
        )
    return builder


def _rows(builder: Any, split: str, directory: Path) -> Any:
    """The rows of a split, whose files hold as many as they should."""
    name = split.split("[")[0]
    if name not in builder.info.splits:
        known = ", ".join(sorted(builder.info.splits))
        raise DataError(f"{directory}: no split {name!r}; wanted one of {known}")
    _check_shards(builder.info.splits[name], directory)
    try:
        return builder.as_data_source(split, decoders={"images": Encoded()})
    except (AssertionError, ValueError) as error:
        raise DataError(f"{directory}: split {split!r} cannot be read: {error}") from error


def _read_row(rows: Any, number: int, where: str) -> dict[str, Any]:
    """A row as tfds yields it; ArrayRecord reports a damaged file by a RuntimeError."""
    try:
        row: dict[str, Any] = rows[number]
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(f"{where}: row {number} cannot be read: {error}") from error
    return row


def find_set(path: Path) -> Path:
    """The one folder at or under `path` that holds dataset_info.json.

    Raises:
      DataError: there is none, or there are several.
    """
    name = "dataset_info.json"
    if (path / name).is_file():
        return path
    if not path.is_dir():
        raise DataError(f"{path}: no such folder; wanted a data set")
    found = sorted(
        {file.parent for depth in ("*/*/", "*/*/*/") for file in path.glob(depth + name)}
    )
    if len(found) != 1:
        listed = ", ".join(map(str, found)) or "none"
        raise DataError(f"{path}: wanted one {name} in or under it; found {listed}")
    return found[0]


def _check_shards(split: Any, directory: Path) -> None:
    """A truncated ArrayRecord opens without an error and says that it holds nothing."""
    for file, wanted in zip(split.filepaths, split.shard_lengths, strict=True):
        try:
            with ArrayRecordDataSource([str(file)]) as shard:
                found = len(shard)
        except (OSError, RuntimeError, ValueError) as error:
            raise DataError(f"{file}: missing or damaged: {error}") from error
        if found != wanted:
            raise DataError(
                f"{file}: {found} records; {directory}/dataset_info.json says {wanted}: "
                "the file is truncated or of another set"
            )


def _record(row: dict[str, Any]) -> tuple[Record, list[str]]:
    """A Record from what tfds yields, and its images' stored sha256."""
    turns = row["messages"]
    messages = tuple(
        Message(_text(role), _text(content))
        for role, content in zip(turns["role"], turns["content"], strict=True)
    )
    images = tuple(bytes(image) for image in row["images"])
    record = Record(_text(row["id"]), images, messages, _text(row["arm"]))
    return record, [_text(item) for item in row["sha256"]]


def _text(value: bytes | str | np.bytes_) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
