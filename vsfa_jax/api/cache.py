"""Replies that were paid for, in one SQLite file: what is in it is never paid for again.

    replies     key, model, title, made, request, reply, usd

A reply is a row as the service sent it, with the request beside it, so that what is read from it
can be read anew. A row is on the disk before anyone sees the reply (write-ahead log, synchronous
FULL), so that neither a killed process nor a lost machine pays twice. Several processes may share
the file.
"""

from __future__ import annotations

import dataclasses
import datetime
import sqlite3
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from vsfa_jax.api.request import Request
from vsfa_jax.core.errors import CacheError

VERSION = 1  # of the table; an older file is refused, never rewritten
_OTHERS_S = 60.0  # patience for another process that writes
_TABLE = """
CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY, model TEXT NOT NULL, title TEXT NOT NULL, made TEXT NOT NULL,
    request TEXT NOT NULL, reply BLOB NOT NULL, usd REAL
) WITHOUT ROWID
"""


@dataclasses.dataclass(frozen=True)
class Row:
    """A reply's bytes as the service sent them, and what they cost, if that was known."""

    reply: bytes
    usd: float | None


class Cache:
    """Opens the file, which is made if need be; usable from several threads.

    Args:
      path: of the file.

    Raises:
      CacheError: it cannot be written, or is no such file.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(self.path, timeout=_OTHERS_S, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise CacheError(f"{self.path}: cannot be opened: {error}") from error
        try:
            self._begin()
        except CacheError:
            self._base.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def get(self, key: str) -> Row | None:
        """What is kept under a request's key, if anything.

        Raises:
          CacheError: the file is damaged.
        """
        try:
            with self._lock:
                found = self._base.execute(
                    "SELECT reply, usd FROM replies WHERE key = ?", (key,)
                ).fetchone()
        except sqlite3.Error as error:
            raise CacheError(f"{self.path}: cannot be read: {error}") from error
        return None if found is None else Row(bytes(found[0]), found[1])

    def put(
        self, key: str, request: Request, reply: bytes, *, title: str, usd: float | None
    ) -> None:
        """Keeps a reply; it is on the disk when this returns. What is there already stays.

        Raises:
          CacheError: the disk is full, or the file cannot be written.
        """
        made = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        model = str(request.fields["model"])
        row = (key, model, title, made, request.body, reply, usd)
        try:
            with self._lock, self._base:
                self._base.execute("INSERT OR IGNORE INTO replies VALUES (?,?,?,?,?,?,?)", row)
        except sqlite3.Error as error:
            raise CacheError(
                f"{self.path}: a paid reply cannot be kept: {error}; what was kept before is "
                "there, and the same command goes on once the file can be written"
            ) from error

    def __len__(self) -> int:
        """The number of replies."""
        with self._lock:
            return int(self._base.execute("SELECT count(*) FROM replies").fetchone()[0])

    def usd(self) -> float:
        """US dollars that its replies cost, those without a known price left out."""
        with self._lock:
            return float(self._base.execute("SELECT total(usd) FROM replies").fetchone()[0])

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._base.close()

    def _begin(self) -> None:
        """Makes or checks the table."""
        try:
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = FULL")
            found = self._base.execute("PRAGMA user_version").fetchone()[0]
            if found not in (0, VERSION):
                raise CacheError(f"{self.path}: found version {found}, wanted {VERSION}")
            with self._base:
                self._base.execute(_TABLE)
                self._base.execute(f"PRAGMA user_version = {VERSION}")
        except sqlite3.Error as error:
            raise CacheError(f"{self.path}: cannot be used: {error}") from error
