"""A folder of the user's own images: what is in it, and why a file is not taken.

    FOLDER/threat/knives/1.jpg      side threat, group "knives"
    FOLDER/neutral/knives/a.png     its matched neutral picture: the same group
    FOLDER/threat/2.jpg             in no folder of its side: group "2", the file's name
    FOLDER/3.jpg                    without the two folders every picture is a threat's

Archives are never opened, links that lead out of the folder never followed.
"""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from vsfa_jax.core.errors import DataError
from vsfa_jax.synth.rows import NEUTRAL, SIDES, THREAT, Failed

MAX_IMAGE_BYTES = 256 * 2**20
_ARCHIVES = {  # first bytes, and where they stand
    b"PK\x03\x04": 0,
    b"PK\x05\x06": 0,
    b"\x1f\x8b": 0,
    b"BZh": 0,
    b"\xfd7zXZ\x00": 0,
    b"7z\xbc\xaf\x27\x1c": 0,
    b"Rar!\x1a\x07": 0,
    b"\x28\xb5\x2f\xfd": 0,
    b"ustar": 257,
}


@dataclasses.dataclass(frozen=True)
class Found:
    """A file that may be an image.

    Attributes:
      name: relative to the folder, with slashes.
      side, group: see the module's drawing.
    """

    name: str
    side: str
    group: str


def scan(folder: Path) -> tuple[list[Found], list[Failed]]:
    """Every file in and below the folder by name, and what cannot be read as a file of it.

    Raises:
      DataError: no such folder, or nothing in it.
    """
    if not folder.is_dir():
        raise DataError(f"images.path: {folder} is not a folder")
    found, failed = [], []
    has_sides = any((folder / side).is_dir() for side in SIDES)
    for path in sorted(_walk(folder)):
        name = path.relative_to(folder).as_posix()
        reason = _refuse(path, folder)
        side = name.partition("/")[0] if has_sides else THREAT
        if reason is not None:
            failed.append(Failed(name, "", *reason))
        elif side not in SIDES:
            message = f"beside the folders {THREAT} and {NEUTRAL}; wanted in one of them"
            failed.append(Failed(name, "", "in no side's folder", message))
        else:
            inner = Path(name.partition("/")[2] if has_sides else name)
            group = inner.parent if inner.parent != Path() else inner.with_suffix("")
            found.append(Found(name, side, group.as_posix()))
    if not found and not failed:
        raise DataError(f"images.path: nothing in {folder}; wanted images")
    return found, failed


def read(folder: Path, name: str) -> bytes | Failed:
    """The bytes of a file that `scan` found, or why it is not taken."""
    path = folder / name
    try:
        refused = _refuse(path, folder)
        if refused is not None:  # it changed since it was found
            return Failed(name, "", *refused)
        data = path.read_bytes()
    except OSError as error:
        return Failed(name, "", "unreadable", f"{name}: {error.strerror}")
    if any(data[at : at + len(start)] == start for start, at in _ARCHIVES.items()):
        return Failed(name, "", "archive", f"{name}: an archive; unpack it yourself")
    return data


def _walk(folder: Path) -> Iterator[Path]:
    """Files and links; links to folders are not followed."""
    for place, folders, files in os.walk(folder, followlinks=False):
        folders[:] = sorted(folders)
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        for name in (*files, *links):
            yield Path(place) / name


def _refuse(path: Path, folder: Path) -> tuple[str, str] | None:
    """A reason to count by and what was found, for what must not be read."""
    try:
        if not path.resolve().is_relative_to(folder.resolve()):
            return "link out of the folder", f"{path.name}: leads to {path.resolve()}"
        found = path.stat()
    except (OSError, RuntimeError) as error:  # a link to itself
        return "unreadable", f"{path.name}: {error}"
    if not stat.S_ISREG(found.st_mode):
        return "not a file", f"{path.name}: a folder's link, a pipe or a device; wanted a file"
    if not 0 < found.st_size <= MAX_IMAGE_BYTES:
        message = f"{path.name}: {found.st_size} bytes; wanted 1 to {MAX_IMAGE_BYTES}"
        return "empty" if not found.st_size else "too large", message
    return None
