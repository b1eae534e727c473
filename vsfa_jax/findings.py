"""What an evaluation found, and the folder that it leaves.

WORKDIR/eval/NAME/answers.jsonl    one line an answer, with what was asked
                  verdicts.jsonl   one line a verdict, an answer's counted one first
                  report.html      for readers
                  table.json       every number; where it is, all the rest is
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vsfa_jax import headline, judging, report, tables
from vsfa_jax.benchmarks.case import Answer, Case
from vsfa_jax.core.errors import CheckpointError
from vsfa_jax.core.paths import write_atomic, write_json
from vsfa_jax.judges.protocol import Verdict

ANSWERS, VERDICTS, TABLE, REPORT = "answers.jsonl", "verdicts.jsonl", "table.json", "report.html"
TITLE = "What fine-tuning did"
FAMILY = "every change of a measure over all categories of a set"


@dataclasses.dataclass(frozen=True)
class Findings:
    """Everything that an evaluation found, in the order of the cases.

    Attributes:
      made: how, for readers: name -> text.
      identity: what must be the same for two evaluations to be compared: name -> hash or text.
      cases, answers, verdicts: an answer's counted verdict comes before its others.
      rows: the table.
      over: what was unjudged beyond the limit.
    """

    made: Mapping[str, str]
    identity: Mapping[str, str]
    cases: Sequence[Case]
    answers: Sequence[Answer]
    verdicts: Sequence[Verdict]
    rows: Sequence[tables.Row]
    over: Sequence[judging.Unjudged]


def write_answers(directory: Path, cases: Sequence[Case], answers: Iterable[Answer]) -> None:
    """Writes answers.jsonl, whole or not at all.

    Raises:
      CheckpointError: the folder cannot be written.
    """
    by_id = {case.id: case for case in cases}
    rows = ({**_about(by_id[a.case_id]), **dataclasses.asdict(a)} for a in answers)
    try:
        write_atomic(directory / ANSWERS, _lines(rows))
    except OSError as error:
        raise CheckpointError(f"{directory}: cannot be written: {error}") from error


def forget_table(directory: Path) -> None:
    """Takes an older table.json away, lest it stand beside newer answers.

    Raises:
      CheckpointError: it cannot be taken away.
    """
    try:
        (directory / TABLE).unlink(missing_ok=True)
    except OSError as error:
        raise CheckpointError(f"{directory}: cannot be written: {error}") from error


def write(directory: Path, found: Findings, steps: Sequence[headline.Point] = ()) -> None:
    """Writes the evaluation's folder, each file whole or not at all, the table last.

    Args:
      directory: of the evaluation.
      found: what is written.
      steps: headlines of the same run's other checkpoints, for the report.

    Raises:
      CheckpointError: the folder cannot be written.
    """
    about = extras(found)
    shown = report.Extras(
        about["agreement"], about["corrected"], tuple(map(str, found.over)), steps
    )
    parts = (found.rows, found.cases, found.answers, found.verdicts)
    page = report.render(TITLE, found.made, *parts, shown)
    write_answers(directory, found.cases, found.answers)
    try:
        write_atomic(directory / VERDICTS, _lines(dataclasses.asdict(v) for v in found.verdicts))
        write_atomic(directory / REPORT, page)
        rows = tables.as_json(found.rows)
        write_json(directory / TABLE, {"made": dict(found.made), **about, "rows": rows})
    except OSError as error:
        raise CheckpointError(f"{directory}: cannot be written: {error}") from error


def extras(found: Findings) -> dict[str, Any]:
    """What table.json has besides `made` and `rows`."""
    judge_of: dict[tuple[str, str], str] = {}
    counted: set[tuple[str, str]] = set()
    sets = {case.id: (case.set_name, case.kind) for case in found.cases}
    for verdict in found.verdicts:
        about = (verdict.case_id, verdict.model)
        if about not in counted:
            counted.add(about)
            judge_of.setdefault(sets[verdict.case_id], verdict.judge)
    return {
        "identity": dict(found.identity),
        "num_cases": len(found.cases),
        "vectors": headline.as_json(headline.vectors(found.rows)),
        "family": {"tests": len(tables.family(found.rows)), "of": FAMILY, "correction": "Holm"},
        "agreement": judging.as_json(judging.agreements(found.cases, found.verdicts)),
        "corrected": judging.as_json(judging.corrections(found.rows, judge_of)),
        "unjudged_over_limit": judging.as_json(found.over),
    }


def read_table(directory: Path) -> dict[str, Any]:
    """table.json of an evaluation.

    Raises:
      CheckpointError: there is none that can be read.
    """
    path = directory / TABLE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {"made": found["made"], "identity": found["identity"], **found}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path}: no evaluation that can be read: {error!r}; wanted the folder of one that "
            "came to its end"
        ) from error


def read_answers(directory: Path, model: str | None = None) -> list[Answer]:
    """What `model` said in the evaluation whose folder this is, or what all did.

    Raises:
      CheckpointError: there is no such evaluation, or its file cannot be read.
    """
    said = [
        Answer(row["case_id"], row["model"], row["text"])
        for row in _read(directory / ANSWERS, ("case_id", "model", "text"))
    ]
    return [answer for answer in said if model in (None, answer.model)]


def read_verdicts(directory: Path) -> list[Verdict]:
    """The verdicts of the evaluation whose folder this is.

    Raises:
      CheckpointError: there is no such evaluation, or its file cannot be read.
    """
    names = [field.name for field in dataclasses.fields(Verdict)]
    return [Verdict(**row) for row in _read(directory / VERDICTS, names)]


def _read(path: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [{name: row[name] for name in names} for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error


def _about(case: Case) -> dict[str, Any]:
    return {
        "benchmark": case.set_name,
        "kind": case.kind,
        "category": case.category,
        "question": case.question,
        "expected": dict(case.expected),
    }


def _lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
