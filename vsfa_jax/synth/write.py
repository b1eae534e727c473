"""Stage 6: the set that `train` reads, and what tells a reader how it came about.

OUT/threat_vqa/1.0.0/    the records, as ArrayRecord files that tfds opens
OUT/records.jsonl        the same without pixels: to read, to count, for other programs
OUT/balance.json, .md    what each arm holds
OUT/manifest.json        settings, models, prompts, counts, licences, hashes
OUT/README.md            a card
OUT/croissant.json       metadata in the Croissant format
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from vsfa_jax.core.errors import DataError
from vsfa_jax.core.paths import write_atomic
from vsfa_jax.data import store
from vsfa_jax.data.record import IMAGE_MARK, Message, Record, digest, fingerprint
from vsfa_jax.data.sources import open_source
from vsfa_jax.synth import images
from vsfa_jax.synth.rows import Picture, Slot
from vsfa_jax.synth.stages import hash_file

FOLDER = "threat_vqa/1.0.0"
RECORDS = "records.jsonl"
_DRAFT = ".set."


def write(slots: Sequence[Slot], pictures: Mapping[str, Picture], place: Path, out: Path) -> None:
    """Writes the records of every arm; what stood there before goes in the same move.

    Args:
      slots: what each record says.
      pictures: by id.
      place: the folder of stages, which holds the images.
      out: the folder that the set lies in.

    Raises:
      DataError: an image is not what was checked, or `out` cannot be written.
    """
    tfds.disable_progress_bar()
    parts: dict[str, list[Slot]] = {}
    for slot in slots:
        parts.setdefault(slot.split, []).append(slot)
    target = out / FOLDER
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for left in out.glob(f"{_DRAFT}*"):  # by a killed process
            shutil.rmtree(left)
        with tempfile.TemporaryDirectory(dir=out, prefix=_DRAFT) as draft:
            made = Path(draft) / "set"
            store.write(
                {split: _records(part, pictures, place) for split, part in parts.items()},
                {split: Counter(slot.arm for slot in part) for split, part in parts.items()},
                made,
            )
            shutil.rmtree(target, ignore_errors=True)
            os.replace(made, target)
        lines = [json.dumps(_line(slot, pictures), ensure_ascii=False) for slot in slots]
        write_atomic(out / RECORDS, "\n".join(lines) + "\n")
    except OSError as error:
        raise DataError(f"{out}: cannot be written: {error.strerror}") from error


def record(slot: Slot, image: bytes | None) -> Record:
    """A slot with its image, as a record.

    Raises:
      DataError: nothing could be learned from it.
    """
    shown = () if image is None else (image,)
    made = Record(slot.id, shown, messages(slot), slot.arm)
    made.check()
    return made


def messages(slot: Slot) -> tuple[Message, ...]:
    """What is said; the image comes first."""
    mark = IMAGE_MARK if slot.picture else ""
    return Message("user", mark + slot.question), Message("assistant", slot.answer)


def content_hash(slots: Sequence[Slot], pictures: Mapping[str, Picture]) -> str:
    """sha256 over the contents of all records in the order of their ids: of nothing else."""
    digests = []
    for slot in sorted(slots, key=lambda slot: slot.id):
        shown = [pictures[slot.picture].sha256] if slot.picture else []
        digests.append(digest(slot.id, messages(slot), slot.arm, shown))
    return fingerprint(digests)


def fingerprints(slots: Sequence[Slot], out: Path) -> dict[str, dict[str, str]]:
    """By split and arm the fingerprint that `train` keeps in its manifest, read from the set."""
    found: dict[str, dict[str, str]] = {}
    for split, arm in dict.fromkeys((slot.split, slot.arm) for slot in slots):
        source = open_source(out / FOLDER, split, arm)
        found.setdefault(split, {})[arm] = source.fingerprint
    return found


def files(out: Path) -> dict[str, str]:
    """sha256 of each file of the set, and of its records as text."""
    paths = [*sorted((out / FOLDER).iterdir()), out / RECORDS]
    return {path.relative_to(out).as_posix(): hash_file(path) for path in paths}


def _records(
    slots: Sequence[Slot], pictures: Mapping[str, Picture], place: Path
) -> Callable[[], Iterator[Record]]:
    def read() -> Iterator[Record]:
        for slot in slots:
            shown = images.read(pictures[slot.picture], place) if slot.picture else None
            yield record(slot, shown)

    return read


def _line(slot: Slot, pictures: Mapping[str, Picture]) -> dict[str, Any]:
    """A record as others keep it; the image is a file below `stages`."""
    return {
        "id": slot.id,
        "arm": slot.arm,
        "split": slot.split,
        "kind": slot.kind,
        "image": f"stages/{pictures[slot.picture].file}" if slot.picture else None,
        "messages": [dataclasses.asdict(message) for message in messages(slot)],
    }
