"""The files of a Hugging Face checkpoint directory, checked before anything is read from them."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

from safetensors import SafetensorError, safe_open

from vsfa_jax.core.errors import WeightsError

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a checkpoint's file.

    Raises:
      WeightsError: the file is absent or is not a JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError(
            f"{path}: not found; a Hugging Face checkpoint directory has it"
        ) from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise WeightsError(f"{path}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise WeightsError(f"{path}: found a {type(value).__name__}, wanted a JSON object")
    return value


def tensor_files(directory: Path) -> dict[str, Path]:
    """Which file holds each tensor: checkpoint key -> file, every file opened and validated.

    Raises:
      WeightsError: no safetensors, a pickle instead, an index entry outside the directory, a
        damaged file, or an index that names what its files do not hold.
    """
    index, single = directory / "model.safetensors.index.json", directory / "model.safetensors"
    if index.exists():
        weight_map = read_json(index).get("weight_map", {})
        names = sorted(set(weight_map.values()))
        for name in names:
            if PurePosixPath(name).name != name:
                raise WeightsError(f"{index}: file name {name!r} leaves the directory")
    elif single.exists():
        names, weight_map = [single.name], None
    else:
        pickles = [p.name for pattern in _PICKLES for p in sorted(directory.glob(pattern))]
        found = f"found {pickles}, which may run code when read" if pickles else "found none"
        raise WeightsError(f"{directory}: wanted model.safetensors; {found}")
    held = {key: directory / name for name in names for key in _keys(directory / name)}
    if weight_map is not None and set(weight_map) != set(held):
        odd = sorted(set(weight_map) ^ set(held))[:3]
        raise WeightsError(f"{index}: disagrees with its files about {odd}")
    return held


def _keys(path: Path) -> list[str]:
    try:
        with safe_open(path, "np") as file:
            return list(file.keys())
    except FileNotFoundError:
        raise WeightsError(f"{path}: not found, though the index names it") from None
    except SafetensorError as error:
        raise WeightsError(f"{path}: not a whole safetensors file: {error}") from error
