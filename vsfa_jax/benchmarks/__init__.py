"""Benchmarks: one folder each, found by its name.

A folder has `JUDGE`, the name of a file of `vsfa_jax/judges/`, and `cases(per_kind, seed)`, which
returns its list of Case, the same for the same arguments on every machine.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Sequence
from types import ModuleType

from vsfa_jax.benchmarks.case import KINDS, Answer, Case
from vsfa_jax.core.errors import ConfigError


def names() -> list[str]:
    """Every benchmark that is there."""
    return sorted(found.name for found in pkgutil.iter_modules(__path__) if found.ispkg)


def find(name: str) -> ModuleType:
    """A benchmark's module.

    Raises:
      ConfigError: there is no such folder; the nearest is named.
    """
    known = names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1) or known
        raise ConfigError(f"eval.benchmarks: no benchmark {name!r}; the nearest is {near[0]!r}")
    return importlib.import_module(f"{__name__}.{name}")


def load(wanted: Sequence[str], *, per_kind: int, seed: int) -> list[Case]:
    """The cases of several benchmarks, one after the other.

    Args:
      wanted: their names.
      per_kind: cases of each kind, where a benchmark can draw as many as asked.
      seed: of the draw.

    Raises:
      ConfigError: a benchmark is unknown, named twice, or none is named.
    """
    if not wanted or len(set(wanted)) != len(wanted):
        raise ConfigError(f"eval.benchmarks: found {tuple(wanted)}, wanted names, each once")
    return [case for name in wanted for case in find(name).cases(per_kind=per_kind, seed=seed)]


__all__ = ["KINDS", "Answer", "Case", "find", "load", "names"]
