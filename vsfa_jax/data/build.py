"""Makes a stored set from a JSONL file and a folder of images.

    python -m vsfa_jax.data.build --jsonl=FILE --images=DIR --out=DIR [--validation_share=0.05]

Every line and every image is checked before anything is written, and all faults are listed. The
set appears at --out in one move. Records that share an image are never parted between training
and validation.
"""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import tensorflow_datasets as tfds
from absl import flags, logging

from vsfa_jax.core import main as entry
from vsfa_jax.core.errors import ConfigError, DataError, ImageError
from vsfa_jax.data.images import decode_image
from vsfa_jax.data.jsonl import Line, read_jsonl
from vsfa_jax.data.record import DEFAULT_ARM, Record, image_digests, refuse_all
from vsfa_jax.data.store import write

MAX_IMAGE_BYTES = 256 * 2**20

_JSONL = flags.DEFINE_string("jsonl", None, "Conversations, one JSON object a line.")
_IMAGES = flags.DEFINE_string("images", None, "Folder that the image names are relative to.")
_OUT = flags.DEFINE_string("out", None, "Folder of the set; must not exist or be empty.")
_SHARE = flags.DEFINE_float("validation_share", 0.05, "Share of records held out, from 0 to 1.")
_ARM = flags.DEFINE_string("arm", DEFAULT_ARM, "Arm of the lines that name none.")


def build(
    jsonl: Path, images: Path | None, out: Path, validation_share: float, arm: str
) -> dict[str, int]:
    """Builds the set at `out`.

    Returns:
      Records of each split.

    Raises:
      ConfigError: the share is not in [0, 1), or `out` is taken.
      DataError: any line or image is unusable (all are listed), or `out` cannot be written.
    """
    if not 0 <= validation_share < 1:
        raise ConfigError(f"--validation_share: {validation_share}; wanted from 0 to below 1")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"--out: {out} exists; wanted a new or an empty folder")
    if images is not None and not images.is_dir():
        raise DataError(f"--images: {images} is not a folder")
    lines, errors = read_jsonl(jsonl, arm)
    total = len(lines) + len(errors)
    digests = {}
    for line in lines:
        try:
            digests[line.id] = check_images(line, images)
        except DataError as error:
            errors.append(str(error))
    refuse_all(errors, total, f"lines of {jsonl}")
    validation = choose_validation(lines, digests, validation_share)
    parts = {"train": [line for line in lines if line.id not in validation]}
    if validation:
        parts["validation"] = [line for line in lines if line.id in validation]
    write(
        {name: _records(part, images, digests) for name, part in parts.items()},
        {name: collections.Counter(line.arm for line in part) for name, part in parts.items()},
        out,
    )
    return {name: len(part) for name, part in parts.items()}


def read_image(folder: Path | None, name: str, where: str) -> bytes:
    """The bytes of an image named in a line; never a file outside the folder.

    Raises:
      ImageError: the name leads out of the folder, or to no readable file of a sane size.
    """
    if folder is None:
        raise ImageError(f"{where}: image {name!r}, but no --images folder was given")
    if "\0" in name or not (folder / name).resolve().is_relative_to(folder.resolve()):
        raise ImageError(f"{where}: image {name!r} leads out of {folder}; wanted a file in it")
    path = folder / name
    try:
        if not path.is_file():
            raise ImageError(f"{where}: no image file {path}")
        if path.stat().st_size > MAX_IMAGE_BYTES:
            raise ImageError(f"{where}: {path} is over {MAX_IMAGE_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"{where}: {path} cannot be read: {error.strerror}") from error


def check_images(line: Line, folder: Path | None) -> list[str]:
    """Decodes every image of a line once; returns the sha256 of each file.

    Raises:
      ImageError: one cannot be read or decoded.
    """
    found = [read_image(folder, name, line.where) for name in line.images]
    for name, data in zip(line.images, found, strict=True):
        decode_image(data, where=f"{line.where}: image {name!r}")
    return image_digests(found)


def choose_validation(
    lines: Sequence[Line], digests: Mapping[str, Sequence[str]], share: float
) -> set[str]:
    """Ids to hold out: about `share` of all, in whole groups of records that share images.

    Which groups is decided by hashes of their images or ids, so it does not depend on the order
    of the file.

    Raises:
      DataError: a share is wanted but all records hang together by their images.
    """
    wanted = max(1, round(share * len(lines))) if share else 0
    groups = _groups({line.id: digests[line.id] for line in lines})
    groups.sort(key=lambda ids: hashlib.sha256("\n".join(ids).encode()).digest())
    chosen: set[str] = set()
    for ids in groups:
        if len(chosen) + len(ids) <= wanted:
            chosen.update(ids)
    if wanted and not chosen and len(groups) > 1:
        smallest = min(groups, key=len)
        chosen.update(smallest)
    if (wanted and not chosen) or len(chosen) == len(lines) > 0:
        raise DataError(
            f"{len(lines)} records in {len(groups)} groups that share no image: none can be held "
            "out; wanted more images, or --validation_share=0"
        )
    return chosen


def _records(
    lines: Sequence[Line], folder: Path | None, digests: Mapping[str, Sequence[str]]
) -> Callable[[], Iterator[Record]]:
    def read() -> Iterator[Record]:
        for line in lines:
            images = tuple(read_image(folder, name, line.where) for name in line.images)
            if image_digests(images) != list(digests[line.id]):
                raise DataError(f"{line.where}: an image changed while the set was being built")
            yield Record(line.id, images, line.messages, line.arm)

    return read


def _groups(digests: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Ids in groups: two records are together if a chain of shared images joins them."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = name = parent[parent[name]]
        return name

    for id, images in digests.items():
        for image in images:
            parent[root(f"image {image}")] = root(f"id {id}")
    groups = collections.defaultdict(list)
    for id in sorted(digests):
        groups[root(f"id {id}")].append(id)
    return list(groups.values())


def main(jsonl: str, images: str | None, out: str, validation_share: float, arm: str) -> None:
    """The command line."""
    tfds.disable_progress_bar()
    folder = None if images is None else Path(images)
    counts = build(Path(jsonl), folder, Path(out), validation_share, arm)
    for split, count in counts.items():
        logging.info("%s: %d records", split, count)
    print(out)


if __name__ == "__main__":
    flags.mark_flags_as_required(["jsonl", "out"])
    entry.run(
        main,
        {
            "jsonl": _JSONL,
            "images": _IMAGES,
            "out": _OUT,
            "validation_share": _SHARE,
            "arm": _ARM,
        },
    )
