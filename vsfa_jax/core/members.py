"""Members of a room: each is a file or a folder of its own, found by its name."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Sequence
from types import ModuleType

from vsfa_jax.core.errors import ConfigError


def find(room: str, name: str, known: Sequence[str], where: str) -> ModuleType:
    """A member's module.

    Args:
      room: dotted name of its package.
      name: as it was asked for.
      known: the names that there are, at least one.
      where: the config's key and what it names, e.g. "eval.judges: no judge".

    Raises:
      ConfigError: there is no such member; the nearest is named.
    """
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1) or known
        raise ConfigError(f"{where} {name!r}; the nearest is {near[0]!r}")
    return importlib.import_module(f"{room}.{name}")
