"""Where a run lies: a folder of this machine, or one in a cloud that is worked on in a copy.

    home      gs://bucket/run       the run; its checkpoints are read and written there
    folder    /tmp/vsfa_jax-3k1x    its small files, in a folder of each process's own that goes
                                    with the process

Every process brings the small files when it starts; the first alone sends back what it changed.
Features of a frozen tower, and the files of Weights & Biases, stay on the machine.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import fsspec.config
import jax
from absl import logging
from etils import epath

from vsfa_jax.core.errors import CheckpointError, ConfigError, StorageError, UserError

EVERY_S = 60.0  # what a loop lets pass between two of its sendings
CHECKPOINTS = "checkpoints"
_STAY = (CHECKPOINTS, "vision_cache", "wandb")


class Workdir:
    """A run's place. Where it is in a cloud, use as a context manager.

    Attributes:
      home: of the run.
      folder: of its small files; `home` itself where that is of this machine.
    """

    def __init__(self, home: str | os.PathLike[str]) -> None:
        """Looks at the path, not at what is there.

        Args:
          home: a folder, or a URL such as gs://BUCKET/FOLDER.

        Raises:
          ConfigError: a scheme that etils.epath does not know.
        """
        self._is_remote = is_url(home)
        try:
            self.home = epath.Path(home)
        except KeyError as error:
            raise ConfigError(
                f"--workdir: found {home}, wanted a folder, or gs://BUCKET/FOLDER"
            ) from error
        self.folder = Path(self.home)
        self._sent: dict[str, tuple[int, int]] = {}  # name -> size, time of change; as in `home`
        self._sent_at = 0.0
        self._is_whole = False  # what was brought half must not go back

    @classmethod
    def of(cls, place: str | os.PathLike[str] | Workdir) -> Workdir:
        """The place itself, or the one at this path."""
        return place if isinstance(place, Workdir) else cls(place)

    def __str__(self) -> str:
        return str(self.home)

    def __enter__(self) -> Self:
        """Makes the folder of the copy."""
        if self._is_remote:
            # A listing that was remembered would hide what another process has written since.
            fsspec.config.conf.setdefault("gs", {})["use_listings_cache"] = False
            self.folder = Path(tempfile.mkdtemp(prefix="vsfa_jax-"))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Sends what was changed, and removes the copy."""
        if not self._is_remote:
            return
        try:
            self.send()
        except (UserError, StorageError) as second:
            if error is None:
                raise
            logging.error("%s", second)  # must not hide why the run ended
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def bring(self) -> None:
        """Copies the small files from `home`, where the folder is a copy.

        Raises:
          ConfigError: the package that reaches this storage is not installed.
          CheckpointError: `home` may not be read.
          StorageError: the storage does not answer.
        """
        if not self._is_remote:
            return
        with _faults(self.home):
            for name, source in _small_files(self.home):
                target = self.folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source.read_bytes())
                self._sent[name] = _state(target)
            if (self.home / CHECKPOINTS).exists():  # seen by who asks whether a run has begun
                (self.folder / CHECKPOINTS).mkdir(exist_ok=True)
        self._is_whole = True

    def send(self, every_s: float = 0.0) -> None:
        """Copies to `home` what was changed here, in the order in which it was, on process 0 alone.

        Args:
          every_s: does nothing where less time has gone by since it was done.

        Raises:
          CheckpointError: `home` may not be written.
          StorageError: the storage does not answer.
        """
        if not self._is_whole or jax.process_index() > 0:
            return
        if self._sent_at and time.monotonic() - self._sent_at < every_s:
            return
        states = {name: _state(path) for name, path in _small_files(epath.Path(self.folder))}
        changed = [name for name, state in states.items() if self._sent.get(name) != state]
        with _faults(self.home):
            for name in sorted(changed, key=lambda name: states[name][1]):
                target = self.home / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes((self.folder / name).read_bytes())
                self._sent[name] = states[name]
            for name in self._sent.keys() - states.keys():
                (self.home / name).unlink(missing_ok=True)
                del self._sent[name]
        self._sent_at = time.monotonic()


def is_url(place: str | os.PathLike[str]) -> bool:
    """Whether a path is one of another machine's, as gs://BUCKET/FOLDER is."""
    return "://" in str(place)


def _small_files(root: epath.Path, prefix: str = "") -> Iterator[tuple[str, epath.Path]]:
    """(name from the top, path) of what is copied; nothing where there is no such folder."""
    if not root.exists():
        return
    for path in sorted(root.iterdir()):
        name = f"{prefix}{path.name}"
        if name in _STAY or path.name.startswith(".") or path.name.endswith(".tmp"):
            continue
        if path.is_dir():
            yield from _small_files(path, f"{name}/")
        else:
            yield name, path


def _state(path: str | os.PathLike[str]) -> tuple[int, int]:
    found = Path(path).stat()
    return found.st_size, found.st_mtime_ns


@contextlib.contextmanager
def _faults(home: epath.Path) -> Iterator[None]:
    """What storage of another machine raises, in our words."""
    try:
        yield
    except ImportError as error:
        raise ConfigError(
            f"--workdir: found {home}, but the package that reaches it is not there ({error}); "
            "for gs://: pip install 'vsfa_jax[gcs]'"
        ) from error
    except (PermissionError, FileNotFoundError, FileExistsError, NotADirectoryError) as error:
        raise CheckpointError(f"{home}: cannot be used: {error}") from error
    except OSError as error:
        raise StorageError(f"{home}: the storage does not answer: {error}") from error
