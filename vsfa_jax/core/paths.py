"""Files that are either the old or the new one, never a torn mixture."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any


def write_atomic(path: str | Path, content: str | bytes) -> None:
    """Replaces `path` in one move: a temporary file beside it, fsync, rename.

    Args:
      path: the file; its folder is made if need be.
      content: text is written as UTF-8.

    Raises:
      OSError: the disk is full or the folder cannot be written; `path` is as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)
    _sync_folder(path.parent)


def write_json(path: str | Path, value: Any) -> None:
    """Writes JSON with sorted keys, indented by two, so that files compare line by line.

    Raises:
      ValueError: the value holds NaN or an infinity, which JSON has no word for.
      TypeError: the value holds something that JSON cannot say.
    """
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    write_atomic(path, text + "\n")


def _sync_folder(folder: Path) -> None:
    """Makes the rename itself durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
