"""Answers of an evaluation that has not come to its end, so that the next one asks only the rest.

    WORKDIR/eval/NAME/answered.jsonl    one JSON line an answer: key, model, case_id, text

A key stands for all that a model's answers follow from. An answer is there once it is written, so
that a kill costs the answers that were being said. Of several processes the first one reads and
writes, and tells the others what it read: the next evaluation may have another number of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from vsfa_jax.core.errors import CheckpointError
from vsfa_jax.core.processes import from_first

FILE = "answered.jsonl"


class Kept:
    """Opens the file of an evaluation's folder, after cutting off half a last line.

    Args:
      directory: of the evaluation; made if need be.
      keys: model -> key, a hash; what is there under other keys is passed over.

    Raises:
      CheckpointError: the folder cannot be written.
    """

    def __init__(self, directory: Path, keys: Mapping[str, str]):
        self.path, self.keys = directory / FILE, keys
        text = self._open() if jax.process_index() == 0 else ""
        self._answers: dict[str, dict[str, str]] = {model: {} for model in keys}
        for row in map(_parse, from_first(text).splitlines()):
            if row is not None and keys.get(row["model"]) == row["key"]:
                self._answers[row["model"]][row["case_id"]] = row["text"]

    def answers(self, model: str) -> dict[str, str]:
        """Case id -> answer."""
        return self._answers[model]

    def add(self, model: str, texts: Mapping[str, str]) -> None:
        """Keeps answers; they are on the disk when this returns.

        Raises:
          CheckpointError: the disk is full.
        """
        self._answers[model] |= texts
        if jax.process_index() > 0:
            return
        about = {"key": self.keys[model], "model": model}
        rows = [{**about, "case_id": case, "text": text} for case, text in texts.items()]
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in rows)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise CheckpointError(f"{self.path}: cannot be written: {error}") from error

    def remove(self) -> None:
        """Ends the keeping: every answer is where it belongs."""
        if jax.process_index() == 0:
            self.path.unlink(missing_ok=True)

    def _open(self) -> str:
        """The whole lines that are there."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+b") as file:
                file.seek(0)
                data = file.read()
                data = data[: data.rfind(b"\n") + 1]
                file.truncate(len(data))
        except OSError as error:
            raise CheckpointError(f"{self.path.parent}: cannot be written: {error}") from error
        return data.decode(errors="replace")


def _parse(line: str) -> dict[str, Any] | None:
    """A line's answer, or None where it is none."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    names = {"key", "model", "case_id", "text"}
    return row if isinstance(row, dict) and row.keys() >= names else None
