"""The seal of a checkpoint: what each leaf was when it was saved, and proof that it still is.

A document of every leaf's shape, dtype and sha256, with the caller's meta, and the sha256 of the
document itself. It is JSON, so that any program can check a checkpoint without this one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from vsfa_jax.core.errors import CheckpointError
from vsfa_jax.core.tree import flatten

_FORMAT = 1
_SHOWN = 5  # differences named in one message


class DamagedError(CheckpointError):
    """One step cannot be read, or is not what was saved."""


def digests(tree: Any) -> dict[str, str]:
    """The sha256 of every leaf's bytes, by readable name; the same on any mesh."""
    return {name: _digest(leaf) for name, leaf in flatten(tree).items()}


def seal(step: int, trees: Mapping[str, Any], meta: Mapping[str, Any]) -> dict[str, Any]:
    """The meta item: a document and the digest of its text."""
    document = {"format": _FORMAT, "step": step, "meta": dict(meta)}
    document["leaves"] = {
        name: {
            leaf: {"shape": list(value.shape), "dtype": str(value.dtype), "sha256": _digest(value)}
            for leaf, value in flatten(tree).items()
        }
        for name, tree in trees.items()
    }
    text = json.dumps(document, sort_keys=True, allow_nan=False)
    return {"document": text, "sha256": hashlib.sha256(text.encode()).hexdigest()}


def unseal(sealed: Any, step: int, where: str) -> dict[str, Any]:
    """The document inside; anything else is damaged or was written by another program."""
    if not isinstance(sealed, dict) or set(sealed) != {"document", "sha256"}:
        raise DamagedError(f"{where}: has no meta of this program")
    text = str(sealed["document"])
    if hashlib.sha256(text.encode(errors="replace")).hexdigest() != sealed["sha256"]:
        raise DamagedError(f"{where}: meta is not what was saved (sha256 differs)")
    document = json.loads(text)
    if document["step"] != step:
        raise DamagedError(f"{where}: holds step {document['step']}")
    if document["format"] != _FORMAT:
        raise CheckpointError(f"{where}: format {document['format']}, wanted {_FORMAT}")
    return document


def compare_layout(where: str, tree: Any, saved: Mapping[str, Any]) -> None:
    """Every leaf, both ways, with shape and dtype."""
    wanted = flatten(tree)
    faults = [f"has no {name}" for name in wanted if name not in saved]
    faults += [f"has {name}, which is not wanted" for name in saved if name not in wanted]
    for name in wanted.keys() & saved.keys():
        found = f"{saved[name]['dtype']}{saved[name]['shape']}"
        want = f"{wanted[name].dtype}{list(wanted[name].shape)}"
        if found != want:
            faults.append(f"{name} is {found}, wanted {want}")
    if faults:
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise CheckpointError(f"{where}: " + "; ".join(sorted(faults)[:_SHOWN]) + more)


def _digest(leaf: jax.Array) -> str:
    """Of the whole logical array, whichever way it is split over devices and processes."""
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        leaf = multihost_utils.process_allgather(leaf, tiled=True)
    return hashlib.sha256(np.ascontiguousarray(leaf).view(np.uint8).data).hexdigest()
