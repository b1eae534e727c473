"""Judges: one file each, found by its name; a file has `judge(case, answer) -> Verdict`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Mapping

from vsfa_jax.benchmarks.case import Answer, Case
from vsfa_jax.core.errors import ConfigError
from vsfa_jax.judges.protocol import OUTCOMES, UNJUDGED, Judge, Verdict


def names() -> list[str]:
    """Every judge that is there."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name != "protocol")


def find(name: str) -> Judge:
    """A judge.

    Raises:
      ConfigError: there is no such file.
    """
    if name not in names():
        raise ConfigError(f"no judge {name!r}; wanted one of {', '.join(names())}")
    judge: Judge = importlib.import_module(f"{__name__}.{name}").judge
    return judge


def judge_all(
    cases: Iterable[Case], answers: Iterable[Answer], judge_of: Mapping[str, str]
) -> list[Verdict]:
    """A verdict for every answer.

    Args:
      cases: those that were answered.
      answers: of any model.
      judge_of: benchmark -> name of its judge.

    Raises:
      ValueError: a judge gave an outcome that its kind of case does not have.
    """
    by_id = {case.id: case for case in cases}
    judges = {benchmark: find(name) for benchmark, name in judge_of.items()}
    verdicts = []
    for answer in answers:
        case = by_id[answer.case_id]
        verdict = judges[case.benchmark](case, answer)
        if verdict.outcome not in OUTCOMES[case.kind]:
            raise ValueError(f"{verdict}: wanted one of {OUTCOMES[case.kind]}")
        verdicts.append(verdict)
    return verdicts


__all__ = ["OUTCOMES", "UNJUDGED", "Judge", "Verdict", "find", "judge_all", "names"]
