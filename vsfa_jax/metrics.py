"""metrics.jsonl: one JSON object a line, `step` and numbers; the same scalars for TensorBoard
and, if asked, Weights & Biases.

A killed run may leave half a line and, once resumed, writes some steps again: half a line is cut
off at the next opening, and readers take the last value of each step and name.
"""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from vsfa_jax.core.errors import CheckpointError
from vsfa_jax.tensorboard import ScalarWriter
from vsfa_jax.wandb_run import WandbRun

_FILE = "metrics.jsonl"
_LONGEST_LINE = 1 << 20  # bytes searched for the last whole line


class MetricsWriter:
    """Appends to WORKDIR/metrics.jsonl and WORKDIR/tensorboard. Use as a context manager."""

    def __init__(
        self,
        workdir: str | Path,
        *,
        tensorboard: bool = True,
        wandb_project: str = "",
        home: str | os.PathLike[str] = "",
        enabled: bool = True,
    ) -> None:
        """Opens for appending, after cutting off half a last line.

        Args:
          workdir: made if need be.
          tensorboard: write event files too.
          wandb_project: of Weights & Biases, which gets the numbers too; "" is off.
          home: where the run lies, if `workdir` is a copy of that; names the run there.
          enabled: False writes nothing; in a run of several processes one alone may write.

        Raises:
          CheckpointError: the files cannot be written.
          ConfigError: Weights & Biases is wanted and not installed.
        """
        self._path = Path(workdir) / _FILE
        self._file: io.FileIO | None = None
        self._others: list[ScalarWriter | WandbRun] = []
        if not enabled:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            _repair(self._path)
            self._file = self._path.open("ab", buffering=0)
            if tensorboard:
                self._others.append(ScalarWriter(Path(workdir) / "tensorboard"))
            if wandb_project:
                self._others.append(WandbRun(wandb_project, Path(workdir), str(home)))
        except OSError as error:
            raise CheckpointError(f"{self._path}: cannot be opened ({error})") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def earlier(self) -> list[dict[str, Any]]:
        """What runs before this one wrote, as `read_metrics` gives it; none if nothing is written.

        Raises:
          CheckpointError: a line is no row of metrics.
        """
        return [] if self._file is None else read_metrics(self._path)

    def write(self, step: int, row: Mapping[str, Any]) -> None:
        """Appends one line; it is in the file when this returns.

        Args:
          step: optimizer steps done.
          row: name -> number (Python's, numpy's or a jax scalar) or text. A number is written so
            that it reads back bit for bit; NaN and infinities, for which JSON has no word, as null.

        Raises:
          CheckpointError: the disk is full.
        """
        if self._file is None:
            return
        plain = {name: _plain(value) for name, value in row.items()}
        finite = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in plain.items()
        }
        line = json.dumps({"step": step, **finite}, allow_nan=False) + "\n"
        try:
            data = line.encode()
            while data:  # a nearly full disk takes a part, and says so only the next time
                data = data[self._file.write(data) :]
            numbers = {k: float(v) for k, v in plain.items() if isinstance(v, int | float)}
            for other in self._others:
                other.write(step, numbers)
        except OSError as error:
            raise CheckpointError(f"{self._path}: step {step} not written ({error})") from error

    def close(self) -> None:
        """Closes everything that was opened."""
        if self._file is not None:
            self._file.close()
        for other in self._others:
            other.close()


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """One row a step, in the order of steps; a name written twice at a step has its last value.

    Args:
      path: metrics.jsonl or the workdir that holds it; half a last line is passed over.

    Raises:
      CheckpointError: no such file, or a line that is no JSON object with a `step`.
    """
    path = Path(path)
    path = path / _FILE if path.is_dir() else path
    if not path.exists():
        raise CheckpointError(f"{path}: no such file")
    lines = path.read_bytes().split(b"\n")
    rows: dict[int, dict[str, Any]] = {}
    for number, line in enumerate(lines[:-1], start=1):
        row = _parse(line)
        if row is None:
            raise CheckpointError(f"{path}:{number}: found {line[:80]!r}, wanted a row of metrics")
        rows.setdefault(row["step"], {}).update(row)
    return [rows[step] for step in sorted(rows)]


def _parse(line: bytes) -> dict[str, Any] | None:
    """The row of a line, or None if it is not one."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("step"), int) else None


def _plain(value: Any) -> Any:
    """A Python number for a scalar of numpy or jax; a float32 becomes the double that equals it."""
    if isinstance(value, str | bool | int | float):
        return value
    return np.asarray(value).astype(np.float64).item() if _is_real(value) else value.item()


def _is_real(value: Any) -> bool:
    """True for every float type, bfloat16 among them."""
    return np.asarray(value).dtype.kind not in "biu"


def _repair(path: Path) -> None:
    """Ends the file with its last whole line."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        start = max(0, end - _LONGEST_LINE)
        file.seek(start)
        tail = file.read(end - start)
        whole = tail.rfind(b"\n") + 1
        if whole == len(tail):
            return
        if _parse(tail[whole:]) is None:
            file.truncate(start + whole)
        else:
            file.write(b"\n")
