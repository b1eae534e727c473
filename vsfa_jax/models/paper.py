"""The written-out configs of the paper's models, for work without a checkpoint at hand.

    models/llava/llava-1.5-7b/config.json
    models/llava/llava-1.5-7b/preprocessor_config.json
    models/llava/llava-1.5-7b/hub.json                     its name on the Hugging Face hub

A checkpoint's own files always win. Some published config.json leave shapes to the defaults of a
library's classes; only on request are such keys completed from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vsfa_jax.core.errors import ConfigError
from vsfa_jax.models.checkpoint_files import read_json

_ROOM = Path(__file__).parent


def names() -> list[str]:
    """Of the models whose configs are written out."""
    return sorted(path.parent.name for path in _ROOM.glob("*/*/config.json"))


def directory(name: str) -> Path:
    """The folder of a model's written-out configs.

    Raises:
      ConfigError: there is no such model.
    """
    for path in _ROOM.glob("*/*/config.json"):
        if path.parent.name == name:
            return path.parent
    raise ConfigError(f"model.completed_from: found {name!r}, wanted one of {names()}")


def written_out(hub_name: str) -> Path | None:
    """The folder of the model that has this name on the Hugging Face hub, if it is one of ours."""
    for path in _ROOM.glob("*/*/hub.json"):
        if read_json(path)["name"] == hub_name:
            return path.parent
    return None


def complete(raw: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A config.json with the keys it lacks taken from a written-out one, at every depth.

    Raises:
      ConfigError: there is no such model.
    """
    return _merge(read_json(directory(name) / "config.json"), raw)


def _merge(written: Mapping[str, Any], raw: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**written, **raw}
    for key, value in written.items():
        if isinstance(value, Mapping) and isinstance(raw.get(key), Mapping):
            merged[key] = _merge(value, raw[key])
    return merged
