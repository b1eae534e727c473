"""Judges: one file each, found by its name; `protocol` says what a file has."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType

from vsfa_jax.benchmarks.case import Answer, Case
from vsfa_jax.core import members
from vsfa_jax.judges.protocol import OUTCOMES, SCORED, UNJUDGED, Judge, JudgeSettings, Verdict


def names() -> list[str]:
    """Every judge that is there: each file of this folder that defines `open_judge`."""
    found = []
    for file in pkgutil.iter_modules(__path__):
        text = Path(__path__[0], f"{file.name}.py").read_text(encoding="utf-8")
        found += [file.name] if "\ndef open_judge(" in text else []  # not all need be imported
    return sorted(found)


def find(name: str) -> ModuleType:
    """A judge's file.

    Raises:
      ConfigError: there is no such file; the nearest is named.
    """
    return members.find(__name__, name, names(), "eval.judges: no judge")


def is_offline(name: str) -> bool:
    """Whether a judge needs neither the net nor a model."""
    return bool(find(name).OFFLINE)


def identity(name: str, settings: JudgeSettings) -> str:
    """Who judges: the judge's name, and whom it asks and what."""
    module = find(name)
    return f"{name} ({module.identity(settings)})" if hasattr(module, "identity") else name


def judge_all(
    cases: Iterable[Case],
    answers: Sequence[Answer],
    judges_of: Callable[[Case], Sequence[str]],
    settings: JudgeSettings,
) -> list[Verdict]:
    """Every wanted judge's verdict on every answer: answer by answer, judges in their order.

    Args:
      cases: those that were answered.
      answers: of any model.
      judges_of: the judges of a case, each once; the first is the one that is counted.
      settings: of judges that ask a model.

    Raises:
      ConfigError: there is no such judge.
      ValueError: a judge gave no verdict, or one that its kind of case does not have.
    """
    by_id = {case.id: case for case in cases}
    wanted = [tuple(judges_of(by_id[answer.case_id])) for answer in answers]
    found: dict[tuple[int, str], Verdict] = {}
    for name in dict.fromkeys(name for of_answer in wanted for name in of_answer):
        places = [i for i, of_answer in enumerate(wanted) if name in of_answer]
        pairs = [(by_id[answers[i].case_id], answers[i]) for i in places]
        judge: Judge = find(name).open_judge(settings)
        for place, pair, verdict in zip(places, pairs, judge(pairs), strict=True):
            _check(name, *pair, verdict)
            found[place, name] = verdict
    return [found[place, name] for place, of_answer in enumerate(wanted) for name in of_answer]


def _check(name: str, case: Case, answer: Answer, verdict: Verdict) -> None:
    about = (verdict.case_id, verdict.model, verdict.judge)
    if about != (answer.case_id, answer.model, name):
        raise ValueError(f"{verdict}: wanted one of judge {name!r} on {answer}")
    if verdict.outcome not in (*OUTCOMES[case.kind], SCORED):
        raise ValueError(f"{verdict}: wanted one of {OUTCOMES[case.kind]}")
    if (verdict.outcome == SCORED) != (verdict.score is not None and 0 <= verdict.score <= 1):
        raise ValueError(f"{verdict}: wanted a score of 0 to 1 where it is scored, else none")


__all__ = [
    "OUTCOMES",
    "SCORED",
    "UNJUDGED",
    "Judge",
    "JudgeSettings",
    "Verdict",
    "find",
    "identity",
    "is_offline",
    "judge_all",
    "names",
]
