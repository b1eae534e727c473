"""Benchmarks: one folder each, found by its name.

A folder has

    JUDGES    kind -> the file of `vsfa_jax/judges/` that judges it
    SOURCE    where the set is published, and its licence, in a line
    cases     (per_kind, seed, root) -> list of Case, the same for the same arguments everywhere;
              per_kind 0 is every case; the user's copy lies at `root / <name of the folder>`
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

from vsfa_jax.benchmarks.case import KINDS, Answer, Case
from vsfa_jax.core import members
from vsfa_jax.core.errors import ConfigError


def names() -> list[str]:
    """Every benchmark that is there."""
    return sorted(found.name for found in pkgutil.iter_modules(__path__) if found.ispkg)


def find(name: str) -> ModuleType:
    """A benchmark's module.

    Raises:
      ConfigError: there is no such folder; the nearest is named.
    """
    return members.find(__name__, name, names(), "eval.benchmarks: no benchmark")


def judges_of(name: str) -> Mapping[str, str]:
    """Kind of case -> the judge that a benchmark names for it."""
    found: Mapping[str, str] = find(name).JUDGES
    return found


def load(
    wanted: Sequence[str], *, per_kind: int, seed: int, root: Path | None = None
) -> list[Case]:
    """The cases of several benchmarks, one after the other.

    Args:
      wanted: their names.
      per_kind: cases of each kind, spread over its categories; 0 is every case.
      seed: of the draw.
      root: the folder that holds the user's copy of each set under its name.

    Raises:
      ConfigError: a benchmark is unknown, named twice, or none is named.
      DataError: a set is not there, or cannot be used.
    """
    if not wanted or len(set(wanted)) != len(wanted):
        raise ConfigError(f"eval.benchmarks: found {tuple(wanted)}, wanted names, each once")
    draw = {"per_kind": per_kind, "seed": seed, "root": root}
    return [case for name in wanted for case in find(name).cases(**draw)]


__all__ = ["KINDS", "Answer", "Case", "find", "judges_of", "load", "names"]
