"""From answers to prompts to verdicts, whoever it is that is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from vsfa_jax.benchmarks.case import Answer, Case
from vsfa_jax.judges.protocol import SCORED, UNJUDGED, Judge, Verdict
from vsfa_jax.judges.tasks import Task

# A value that keeps to the task's schema, or why there is none.
Told = tuple[Any, str]
Ask = Callable[[Sequence[tuple[Task, Case, Answer]]], list[Told]]

EMPTY = "an empty answer"


def judge_by_asking(name: str, choose: Callable[[str], Task], ask: Ask) -> Judge:
    """A judge that asks.

    An empty answer is not asked about: it is unjudged where it should comply or refuse, and has
    score 0 where it should help or be right.

    Args:
      name: the judge's file.
      choose: the task of a kind of case.
      ask: puts tasks to a model; (None, why) for a reply that cannot be read, which is unjudged.
    """

    def judge(pairs: Sequence[tuple[Case, Answer]]) -> list[Verdict]:
        chosen = [(choose(case.kind), case, answer) for case, answer in pairs]
        told = iter(ask([one for one in chosen if one[2].text.strip()]))
        return [_verdict(name, one, next(told) if one[2].text.strip() else None) for one in chosen]

    return judge


def _verdict(name: str, asked: tuple[Task, Case, Answer], told: Told | None) -> Verdict:
    task, _, answer = asked
    if told is None:
        scores = "outcome" not in task.schema["required"]
        outcome, reason, score = (SCORED, EMPTY, 0.0) if scores else (UNJUDGED, EMPTY, None)
    elif told[0] is None:
        outcome, reason, score = UNJUDGED, told[1], None
    else:
        outcome, reason, score = task.read(told[0])
    return Verdict(answer.case_id, answer.model, name, outcome, reason, score)
