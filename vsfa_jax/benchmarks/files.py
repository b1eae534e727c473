"""Reads a benchmark's files from the user's own copy; each fault names its file and its row."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from vsfa_jax.benchmarks.images import ImageFile
from vsfa_jax.core.errors import DataError
from vsfa_jax.data.record import IMAGE_MARK, Message


@dataclasses.dataclass(frozen=True)
class Folder:
    """The user's copy of a set.

    Attributes:
      path: the folder.
      source: where the set is published; part of every error about something that is not there.
    """

    path: Path
    source: str

    @classmethod
    def open(cls, root: Path | None, name: str, source: str) -> Folder:
        """The folder of a set under the root of all sets.

        Raises:
          DataError: no root is given, or it has no folder of that name.
        """
        if root is None:
            raise DataError(
                f"eval.root: not set, wanted the folder that holds {name}; published at {source}"
            )
        if not (root / name).is_dir():
            raise DataError(f"{root / name}: no such folder; {name} is published at {source}")
        return cls(root / name, source)

    def file(self, *choices: str) -> Path:
        """The first of the files that is there.

        Raises:
          DataError: none is there.
        """
        return self._first(choices, "file", Path.is_file)

    def folder(self, *choices: str) -> Path:
        """The first of the folders that is there, likewise."""
        return self._first(choices, "folder", Path.is_dir)

    def files(self, *patterns: str) -> list[Path]:
        """The files of the first pattern that has any, by name.

        Raises:
          DataError: no pattern has any.
        """
        for pattern in patterns:
            if found := sorted(self.path.glob(pattern)):
                return found
        raise self.missing(self.path / patterns[0], "file")

    def image(self, directory: Path, name: str, where: str) -> ImageFile:
        """An image of the set, known to be there and not yet read.

        Args:
          directory: what the name is relative to.
          name: as the set's own files give it, with "/".
          where: the row that names it.

        Raises:
          DataError: the name leads out of the directory, or there is no such file.
        """
        relative = PurePosixPath(name)
        if not name or relative.is_absolute() or ".." in relative.parts:
            raise DataError(f"{where}: image {name!r}; wanted a file's name inside {directory}")
        if not (directory / relative).is_file():
            raise self.missing(directory / relative, f"image of {where}")
        return ImageFile(directory / relative)

    def missing(self, path: Path, what: str) -> DataError:
        """The error about something that is not there."""
        return DataError(f"{path}: no such {what}; the set is published at {self.source}")

    def _first(self, choices: Sequence[str], what: str, there: Any) -> Path:
        for choice in choices:
            if there(self.path / choice):
                return self.path / choice
        others = f" (nor {', '.join(choices[1:])})" if choices[1:] else ""
        raise self.missing(self.path / choices[0], what + others)


@dataclasses.dataclass(frozen=True)
class Row:
    """One entry of a set's file: its fields, read with their type.

    Attributes:
      fields: as they were read.
      where: what to call the row in an error.
    """

    fields: Mapping[str, Any]
    where: str

    def text(self, name: str) -> str:
        """A field's text, stripped.

        Raises:
          DataError: it is not there, no text, or empty.
        """
        found = self.value(name, str).strip()
        if not found:
            raise DataError(f"{self.where}: {name!r} is empty; wanted a text")
        return found

    def optional(self, name: str) -> str:
        """A field's text, or "" where there is none."""
        return "" if self.fields.get(name) is None else self.value(name, str).strip()

    def value(self, name: str, kind: type) -> Any:
        """A field of a given type.

        Raises:
          DataError: it is not there, or of another type.
        """
        if name not in self.fields:
            raise DataError(f"{self.where}: no {name!r}; found {', '.join(map(repr, self.fields))}")
        found = self.fields[name]
        if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
            raise DataError(
                f"{self.where}: {name!r} is {found!r} ({type(found).__name__}); "
                f"wanted {kind.__name__}"
            )
        return found

    def one_of(self, name: str, known: Sequence[str]) -> str:
        """A field's text, one of those that are known.

        Raises:
          DataError: it is another.
        """
        found = self.text(name)
        if found not in known:
            raise DataError(f"{self.where}: {name!r} is {found!r}; wanted {' or '.join(known)}")
        return found


def read_json(path: Path, kind: type) -> Any:
    """A JSON file whose outermost value is a list or a dict.

    Raises:
      DataError: it cannot be read, is no JSON, or holds another value.
    """
    try:
        found = json.loads(read_text(path))
    except ValueError as error:
        raise DataError(f"{path}: no JSON: {error}") from error
    if not isinstance(found, kind):
        raise DataError(f"{path}: holds a {type(found).__name__}; wanted a {kind.__name__}")
    return found


def json_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """(key, row) of a JSON file that holds a dict of rows.

    Raises:
      DataError: as `read_json`, an entry is no dict, or there is none.
    """
    found = read_json(path, dict)
    for key in found or (_none(path),):
        yield key, _row(found[key], f"{path}, {key!r}")


def json_list(path: Path) -> list[Row]:
    """The rows of a JSON file that holds a list of them; faults as of `json_rows`."""
    found = read_json(path, list) or [_none(path)]
    return [_row(fields, f"{path}, entry {number}") for number, fields in enumerate(found, start=1)]


def json_lines(path: Path) -> list[Row]:
    """The rows of a file with a JSON object on each line.

    Raises:
      DataError: it cannot be read, a line is none, or there is no line.
    """
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if line.strip():
            try:
                fields = json.loads(line)
            except ValueError as error:
                raise DataError(f"{path}, line {number}: no JSON: {error}") from error
            rows.append(_row(fields, f"{path}, line {number}"))
    return rows or [_none(path)]


def csv_rows(path: Path) -> list[Row]:
    """The rows of a CSV file with a header.

    Raises:
      DataError: it cannot be read, has no row, or a row has more or fewer fields than the header.
    """
    rows = []
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        for number, fields in enumerate(reader, start=1):
            where = f"{path}, row {number}"
            if None in fields or None in fields.values():
                raise DataError(f"{where}: wanted {len(reader.fieldnames or ())} fields")
            rows.append(Row(fields, where))
    except csv.Error as error:
        raise DataError(f"{path}, row {len(rows) + 1}: no CSV: {error}") from error
    return rows or [_none(path)]


def read_text(path: Path) -> str:
    """A text file, line ends as they are.

    Raises:
      DataError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8: {error}") from error


def ask(text: str, where: str, *, num_images: int = 1) -> tuple[Message, ...]:
    """A question as the user's one turn, its images before it, a line each.

    Raises:
      DataError: the text has an image mark of its own.
    """
    if IMAGE_MARK in text:
        raise DataError(f"{where}: an {IMAGE_MARK} mark in a text; wanted none")
    return (Message("user", f"{IMAGE_MARK}\n" * num_images + text),)


def _none(path: Path) -> NoReturn:
    raise DataError(f"{path}: no entry; wanted one or more")


def _row(fields: Any, where: str) -> Row:
    if not isinstance(fields, dict):
        raise DataError(f"{where}: a {type(fields).__name__}; wanted an object")
    return Row(fields, where)
