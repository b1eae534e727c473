"""Who judges what in an evaluation, what could not be judged, and how far judges agree."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vsfa_jax import benchmarks, judges
from vsfa_jax.benchmarks.case import Case
from vsfa_jax.core.config import Eval
from vsfa_jax.core.errors import ConfigError
from vsfa_jax.judges.protocol import UNJUDGED, Verdict
from vsfa_jax.statistics import Calibration, Kappa, corrected, kappa
from vsfa_jax.tables import BLIND, CONSTRUCTIVE, REQUESTS, Row

UNSEEN = "unseen models"  # line of a calibration
OWN = "own"  # in eval.judges: the judge that the benchmark names


def judges_of(options: Eval, case: Case) -> tuple[str, ...]:
    """The judges of a case, the counted one first.

    Raises:
      ConfigError: none is asked for.
    """
    own = benchmarks.judges_of(case.benchmark)[case.kind]
    if case.kind not in REQUESTS:
        return (own,)
    if not options.judges:
        raise ConfigError("eval.judges: found none, wanted at least one, e.g. ('own',)")
    wanted = [own if name == OWN else name for name in options.judges]
    return tuple(dict.fromkeys([*wanted, *([CONSTRUCTIVE] if options.constructive else [])]))


def all_judges(options: Eval, cases: Iterable[Case]) -> list[str]:
    """Every judge that is wanted.

    Raises:
      ConfigError: one does not exist.
    """
    kinds = {(case.benchmark, case.kind): case for case in cases}
    wanted = {name for case in kinds.values() for name in judges_of(options, case)}
    for name in sorted(wanted):
        judges.find(name)
    return sorted(wanted)


@dataclasses.dataclass(frozen=True)
class Unjudged:
    """Answers of a model to a set's cases of a kind that a judge could not judge."""

    model: str
    benchmark: str
    kind: str
    judge: str
    unjudged: int
    answers: int

    def __str__(self) -> str:
        share = f"{self.unjudged} of {self.answers} answers of {self.model!r}"
        return f"{share} to {self.benchmark} ({self.kind}) unjudged by {self.judge}"


def over_limit(cases: Sequence[Case], verdicts: Iterable[Verdict], limit: float) -> list[Unjudged]:
    """Where a larger share than `limit` is unjudged; each rate's denominator is looked at."""
    by_id = {case.id: case for case in cases}
    outcomes: dict[tuple[str, str, str, str], list[str]] = {}
    for verdict in verdicts:
        case = by_id[verdict.case_id]
        about = (verdict.model, case.set_name, case.kind, verdict.judge)
        outcomes.setdefault(about, []).append(verdict.outcome)
    counts = {about: (found.count(UNJUDGED), len(found)) for about, found in outcomes.items()}
    return [
        Unjudged(*about, *count) for about, count in counts.items() if count[0] > limit * count[1]
    ]


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Two judges on the same answers of all models.

    Attributes:
      judges: the counted one first.
      benchmark: name of the set, "" for all.
      kind: of the cases.
      kappa: over answers that both judged.
      confusion: first judge's outcome -> second's -> answers, unjudged ones too.
    """

    judges: tuple[str, str]
    benchmark: str
    kind: str
    kappa: Kappa
    confusion: Mapping[str, Mapping[str, int]]


def agreements(cases: Sequence[Case], verdicts: Iterable[Verdict]) -> list[Agreement]:
    """Of every two judges of attacks and harmless requests, over all sets and in each."""
    by_id = {case.id: case for case in cases}
    said: dict[tuple[str, str], dict[str, str]] = {}
    for verdict in verdicts:
        counts = verdict.model != BLIND and verdict.judge != CONSTRUCTIVE
        if counts and by_id[verdict.case_id].kind in REQUESTS:
            of_answer = said.setdefault((verdict.case_id, verdict.model), {})
            of_answer[verdict.judge] = verdict.outcome
    groups: dict[tuple[str, str, str, str], list[tuple[str, str]]] = {}
    for (case_id, _), of_answer in said.items():
        case = by_id[case_id]
        for one, other in itertools.combinations(of_answer, 2):
            for name in dict.fromkeys(("", case.set_name)):
                about = (one, other, name, case.kind)
                groups.setdefault(about, []).append((of_answer[one], of_answer[other]))
    found = [
        Agreement((one, other), name, kind, _kappa(pairs), _confusion(pairs))
        for (one, other, name, kind), pairs in groups.items()
    ]
    return sorted(found, key=lambda a: (a.judges, a.kind, a.benchmark))


def _kappa(pairs: Sequence[tuple[str, str]]) -> Kappa:
    judged = [pair for pair in pairs if UNJUDGED not in pair]
    return kappa([one for one, _ in judged], [other for _, other in judged])


def _confusion(pairs: Sequence[tuple[str, str]]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for one, other in pairs:
        row = counts.setdefault(one, {})
        row[other] = row.get(other, 0) + 1
    return counts


@dataclasses.dataclass(frozen=True)
class Corrected:
    """A rate as people would have judged it, by how a judge did where people judged.

    It holds as far as the judge errs on these answers as on those: on other kinds of answers that
    is an assumption.
    """

    benchmark: str
    measure: str
    model: str
    judge: str
    sensitivity: float
    specificity: float
    rate: float
    low: float
    high: float


def corrections(rows: Sequence[Row], judge_of: Mapping[tuple[str, str], str]) -> list[Corrected]:
    """Of every rate of requests over a whole set whose counted judge has a calibration.

    Args:
      rows: the table.
      judge_of: (name of the set, kind) -> its counted judge.
    """
    found = []
    for row in rows:
        kind = row.measure.kinds[0]
        judge = judge_of.get((row.benchmark, kind))
        if row.depth or judge is None or row.measure.kinds != (kind,) or kind not in REQUESTS:
            continue
        known = calibration(judge, row.measure.outcome)
        if known is None:
            continue
        for model, rate in row.rates.items():
            made = corrected(rate.rate or 0.0, rate.worth if rate.judged else 0, known)
            if made is not None:
                about = (row.benchmark, row.measure.name, model, judge)
                right = (known.sensitivity, known.specificity)
                found.append(Corrected(*about, *right, made[0], made[1].low, made[1].high))
    return found


@functools.cache
def calibration(judge: str, outcome: str) -> Calibration | None:
    """How often a judge saw an outcome that people saw, from JUDGE_calibration.json beside it.

    Of that file's line "unseen models": answers of models that had no part in making the judge, as
    people's outcome -> the judge's -> answers.
    """
    path = Path(judges.__path__[0]) / f"{judge}_calibration.json"
    if not path.exists():
        return None
    lines = json.loads(path.read_text(encoding="utf-8"))["lines"]
    counts = next(line["counts"] for line in lines if line["name"] == UNSEEN)
    hits = sum(counts[outcome].values())
    others = [row for people, row in counts.items() if people != outcome]
    misses = sum(sum(row.values()) for row in others)
    seen = sum(row.get(outcome, 0) for row in others)
    return Calibration(hits, counts[outcome].get(outcome, 0), misses, misses - seen)


def as_json(found: Iterable[Any]) -> list[dict[str, Any]]:
    """Rows of table.json, of any class of this file."""
    return [dataclasses.asdict(row) for row in found]
