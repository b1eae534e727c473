"""Where a model lies: a directory, or the name of a repository on the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from vsfa_jax.core.errors import WeightsError

_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_FILES = ("*.json", "*.safetensors", "*.jinja", "merges.txt", "vocab.txt", "tokenizer.model")


def resolve(path: str | Path, revision: str = "", weights: bool = True) -> Path:
    """A directory as it is; a hub name's files, downloaded or from the cache.

    Args:
      path: a directory, or "owner/name".
      revision: branch, tag or commit of a hub name; "" is the newest.
      weights: whether its safetensors are wanted too.

    Returns:
      The directory; a hub name's is called by its commit.

    Raises:
      WeightsError: there is neither, or the hub cannot be reached and its cache has no such files.
    """
    directory = Path(path)
    if directory.is_dir():
        return directory
    if not _NAME.fullmatch(str(path)):
        raise WeightsError(
            f"model.path: {path} is not a directory; wanted a checkpoint's, or a hub name "
            "like owner/name"
        )
    files = [name for name in _FILES if weights or "safetensors" not in name]
    try:
        found = huggingface_hub.snapshot_download(
            str(path), revision=revision or None, allow_patterns=files
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError, OSError) as error:
        raise WeightsError(
            f"model.path: {path} is no directory here, and the hub did not give it: {error}"
        ) from error
    return Path(found)


def commit_of(directory: Path) -> str:
    """The commit of a hub name's directory, or "" for any other."""
    return directory.name if directory.parent.name == "snapshots" else ""
