"""How many tokens a text has, by the tokenizer that arms are balanced with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tokenizers import Tokenizer

from vsfa_jax.core.errors import DataError
from vsfa_jax.synth.stages import hash_file
from vsfa_jax.tinyworld import resolve_model

WORDS = "words"
_FILE = "tokenizer.json"


def counter(name: str) -> Callable[[str], int]:
    """Text -> number of tokens, special ones not counted.

    Args:
      name: "words" counts what stands between blanks; else a checkpoint's folder, or
        "tinyworld/coupled".

    Raises:
      DataError: no tokenizer there.
    """
    if name == WORDS:
        return lambda text: len(text.split())
    path = _path(name)
    tokenizer = Tokenizer.from_file(str(path))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def fingerprint(name: str) -> str:
    """What the counts depend on."""
    return name if name == WORDS else hash_file(_path(name))


def _path(name: str) -> Path:
    path = Path(resolve_model(name)) / _FILE
    if not path.is_file():
        raise DataError(
            f"arms.tokenizer: no file {path}; wanted 'words', 'tinyworld/coupled' or the folder of "
            "a checkpoint"
        )
    return path
