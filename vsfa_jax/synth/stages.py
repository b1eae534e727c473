"""Stages on disk: one file of rows each, done once for the same settings and inputs.

    stages/images.jsonl        {"stage": "images", "key": "3f..."}     what it was made from
                               {"row": "Picture", ...}                 its rows
                               {"rows": 48, "sha256": "9c..."}         that none is missing
    stages/images.part.jsonl   {"unit": "knife-1:0", "rows": [...]}    of a stage that goes on

A stage works through its units in batches. What a batch made is on the disk before the next one
begins, so that a killed command loses at most a batch; another key makes the stage anew, and with
it whatever follows, for a stage's key holds the digests of the stages before it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from absl import logging

from vsfa_jax.core.errors import ConfigError, DataError
from vsfa_jax.core.paths import write_atomic
from vsfa_jax.synth.rows import Failed, Rejected, Row, from_json, to_json

U = TypeVar("U")
R = TypeVar("R")
_FORMAT = 1  # a change of what stages write makes them all anew


def hash_json(value: Any) -> str:
    """sha256 of a value as canonical JSON."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_file(path: Path) -> str:
    """sha256 of a file's bytes.

    Raises:
      DataError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def data_rows(rows: Iterable[Row], kind: type[R]) -> list[R]:
    """The rows of one kind: neither failures nor rejections are data."""
    return [row for row in rows if isinstance(row, kind)]


def counts(rows: Sequence[Row]) -> dict[str, Any]:
    """How many rows there are of each kind, and of failures and rejections by reason."""
    found: dict[str, Any] = {}
    for row in rows:
        found[type(row).__name__] = found.get(type(row).__name__, 0) + 1
        reasons = row.reasons if isinstance(row, Rejected) else ()
        reasons = (row.reason,) if isinstance(row, Failed) else reasons
        for reason in reasons:
            by_reason = found.setdefault("reasons", {})
            by_reason[reason] = by_reason.get(reason, 0) + 1
    return found


class Stages:
    """The folder of stages.

    Attributes:
      folder: where their files lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keeps other processes out of the folder.

        Raises:
          ConfigError: one is at work in it.
          DataError: it cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / ".lock").open("a")
        except OSError as error:
            raise DataError(f"{self.folder}: cannot be written: {error.strerror}") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigError(f"--out: another process works in {self.folder}") from None
            yield

    def path(self, name: str) -> Path:
        """The file of a stage that is done."""
        return self.folder / f"{name}.jsonl"

    def done(self, name: str, key: str) -> list[Row] | None:
        """The rows of a stage that was done with this key; None where it was not.

        A file that lacks a row, or has another, counts as not done.
        """
        try:
            lines = self.path(name).read_text(encoding="utf-8").splitlines()
            head, *body, end = map(json.loads, lines)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            logging.warning("%s: made anew, for it is damaged: %s", self.path(name), error)
            return None
        if head != {"stage": name, "key": _key(name, key)}:
            return None
        if end != _end(body):
            logging.warning("%s: made anew, for its rows are not those written", self.path(name))
            return None
        return [from_json(row, f"{self.path(name)}, row {n}") for n, row in enumerate(body, 1)]

    def run(
        self,
        name: str,
        key: str,
        units: Mapping[str, U],
        work: Callable[[Sequence[U]], Iterable[list[Row]]],
        batch: int,
        finish: Callable[[list[Row]], list[Row]] = list,
    ) -> list[Row]:
        """A stage's rows: those on disk, or made now from where it stopped.

        Args:
          name: of the stage.
          key: hash of all that its rows depend on.
          units: what is worked off, by id, in the order of the rows.
          work: for each of some units its rows.
          batch: units that are given to `work` together.
          finish: what is done to all rows at the end, such as finding equal ones.

        Raises:
          DataError: the folder cannot be written; what was made before stays.
        """
        rows = self.done(name, key)
        if rows is not None:
            (self.folder / f"{name}.part.jsonl").unlink(missing_ok=True)  # killed just before
            logging.info("%s: as before, %s", name, counts(rows))
            return rows
        try:
            made = self._units(name, key)
            missing = [unit for unit in units if unit not in made]
            if made:
                logging.info("%s: %d of %d units are there", name, len(made), len(units))
            with self._part(name, key) as part:
                for start in range(0, len(missing), batch):
                    some = missing[start : start + batch]
                    found = dict(zip(some, work([units[u] for u in some]), strict=True))
                    part(found)
                    made |= found
            rows = finish([row for unit in units for row in made[unit]])
            self._write(name, key, rows)
        except OSError as error:
            raise DataError(
                f"{self.folder}: cannot be written: {error.strerror}; once it can, the same "
                "command goes on"
            ) from error
        logging.info("%s: %s", name, counts(rows))
        return rows

    def _units(self, name: str, key: str) -> dict[str, list[Row]]:
        """What the part file holds for this key; a torn last line is cut off."""
        path = self.folder / f"{name}.part.jsonl"
        if not path.exists():
            return {}
        whole, made = 0, {}
        with path.open("rb") as file:
            for number, line in enumerate(file):
                try:
                    value = json.loads(line)
                except ValueError:
                    break
                if not line.endswith(b"\n"):
                    break
                if number == 0:
                    if value != {"stage": name, "key": _key(name, key)}:
                        break
                else:
                    where = f"{path}, line {number + 1}"
                    made[value["unit"]] = [from_json(row, where) for row in value["rows"]]
                whole += len(line)
        os.truncate(path, whole)
        return made

    @contextlib.contextmanager
    def _part(self, name: str, key: str) -> Iterator[Callable[[Mapping[str, list[Row]]], None]]:
        """Appends units to the part file; they are on the disk when the call returns."""
        path = self.folder / f"{name}.part.jsonl"
        self.folder.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:

            def put(lines: Sequence[Mapping[str, Any]]) -> None:
                for line in lines:
                    file.write(json.dumps(line, ensure_ascii=True).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())

            if file.tell() == 0:
                put([{"stage": name, "key": _key(name, key)}])
            yield lambda found: put(
                [{"unit": unit, "rows": list(map(to_json, rows))} for unit, rows in found.items()]
            )

    def _write(self, name: str, key: str, rows: Sequence[Row]) -> None:
        """Writes the stage's file in one move, and drops its part."""
        body = list(map(to_json, rows))
        lines = [{"stage": name, "key": _key(name, key)}, *body, _end(body)]
        text = "".join(json.dumps(line, ensure_ascii=True) + "\n" for line in lines)
        write_atomic(self.path(name), text)
        (self.folder / f"{name}.part.jsonl").unlink(missing_ok=True)


def digest(rows: Iterable[Row]) -> str:
    """sha256 over rows, in order."""
    return hash_json(list(map(to_json, rows)))


def _key(name: str, key: str) -> str:
    return hash_json([_FORMAT, name, key])


def _end(body: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"rows": len(body), "sha256": hash_json(body)}
