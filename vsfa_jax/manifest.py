"""What a working directory was made from: manifest.json (one hash a part) and config.json.

A run that goes on must be the run that began. Evaluation must use the base, template and resolution
of the training; it may run other code, which is warned of.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from absl import logging

from vsfa_jax.core.errors import CheckpointError
from vsfa_jax.core.paths import write_json

_MANIFEST = "manifest.json"
_CONFIG = "config.json"
_OF_EVALUATION = ("template", "resolution", "base_weights")
_OF_TRAINING = ("data", "packing", *_OF_EVALUATION)
# A resumed run may change these, what is in such a section, and every "..._every".
_MAY_CHANGE = (
    *("steps", "tensorboard", "wandb_project", "progress", "logging", "mesh", "compile_cache"),
)


@dataclasses.dataclass(frozen=True)
class Manifest:
    """Hashes; two equal ones stand for equal parts.

    Attributes:
      data: fingerprint of the records.
      packing: of the packing plan.
      template: of the chat template and tokenizer.
      resolution: of the image processor's settings.
      base_weights: of the base model's weights.
      code: of this program's source; recorded and warned of, never refused.
      details: facts worth recording (versions, counts); never compared.
    """

    data: str
    packing: str
    template: str
    resolution: str
    base_weights: str
    code: str
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def open(self, workdir: str | Path, config: Mapping[str, Any]) -> None:
        """Writes manifest.json and config.json into a new workdir, checks those of an old one.

        Args:
          workdir: made if need be.
          config: every setting of the run, nested; JSON.

        Raises:
          CheckpointError: it belongs to another run (each difference named), or is foreign.
        """
        workdir = Path(workdir)
        if (workdir / _MANIFEST).exists():
            self.check(workdir)
            check_config(workdir, config)
            return
        begun = [name for name in ("checkpoints", "metrics.jsonl") if (workdir / name).exists()]
        if begun or (workdir.exists() and not workdir.is_dir()):
            found = begun[0] if begun else "a file"
            raise CheckpointError(
                f"{workdir}: found {found} without {_MANIFEST}, wanted a new path"
            )
        _write(workdir / _CONFIG, config)
        self.write(workdir)

    def write(self, workdir: str | Path) -> None:
        """Writes manifest.json in one move.

        Raises:
          CheckpointError: the disk is full or the folder cannot be written.
        """
        _write(Path(workdir) / _MANIFEST, dataclasses.asdict(self))

    def check(self, workdir: str | Path, for_evaluation: bool = False) -> None:
        """Refuses a workdir made from other parts.

        Args:
          workdir: holds manifest.json.
          for_evaluation: compares base weights, template and resolution only.

        Raises:
          CheckpointError: missing, unreadable or different; every difference is named.
        """
        path = Path(workdir) / _MANIFEST
        found = _read(path)
        parts = _OF_EVALUATION if for_evaluation else _OF_TRAINING
        faults = [
            f"{part} is {found.get(part)}, wanted {getattr(self, part)}"
            for part in parts
            if found.get(part) != getattr(self, part)
        ]
        if faults:
            raise CheckpointError(f"{path}: made from other parts: " + "; ".join(faults))
        if found.get("code") != self.code:
            logging.warning("%s: made by code %s, this is %s", path, found.get("code"), self.code)


def check_config(workdir: str | Path, config: Mapping[str, Any]) -> None:
    """Refuses settings that would make a resumed run another run.

    `steps`, every `..._every`, the mesh and what is only shown may change; config.json keeps what
    the run began with.

    Raises:
      CheckpointError: another setting differs; each is named.
    """
    path = Path(workdir) / _CONFIG
    found = _flat(_read(path))
    wanted = _flat(json.loads(json.dumps(config)))
    absent = "not there"
    faults = [
        f"{key} was {found.get(key, absent)!r}, now {wanted.get(key, absent)!r}"
        for key in sorted(found.keys() | wanted.keys())
        if not _may_change(key) and found.get(key, absent) != wanted.get(key, absent)
    ]
    if faults:
        raise CheckpointError(f"{path}: this run began with other settings: " + "; ".join(faults))


def read_config(workdir: str | Path) -> dict[str, Any]:
    """The settings that a run began with, as `Manifest.open` wrote them.

    Raises:
      CheckpointError: it is no run's workdir.
    """
    return _read(Path(workdir) / _CONFIG)


def hash_json(value: Any) -> str:
    """The sha256 of a JSON value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_files(paths: Iterable[str | Path]) -> str:
    """The sha256 over the names (without folder) and contents of files, in the order of names."""
    digest = hashlib.sha256()
    for path in sorted(map(Path, paths), key=lambda path: path.name):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.name} {content}\n".encode())
    return digest.hexdigest()


def hash_code() -> str:
    """The sha256 over every Python file of this package, by its place in it."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def _may_change(key: str) -> bool:
    """`key` is dotted: "optimizer.learning_rate"."""
    return key.partition(".")[0] in _MAY_CHANGE or key.endswith(("_every", ".despite_plan"))


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted key."""
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            flat |= _flat(item, f"{prefix}{key}.")
        else:
            flat[prefix + key] = item
    return flat


def _write(path: Path, value: Mapping[str, Any]) -> None:
    try:
        write_json(path, value)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written ({error})") from error


def _read(path: Path) -> dict[str, Any]:
    """A JSON object, or an error that says whose file is missing."""
    if not path.exists():
        raise CheckpointError(f"{path}: no such file; wanted the workdir of a training run")
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise CheckpointError(f"{path}: not JSON ({error})") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: found {type(value).__name__}, wanted a JSON object")
    return value
