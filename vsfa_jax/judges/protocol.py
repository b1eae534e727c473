"""Verdict: what an answer amounts to. A judge is a function from answers to their verdicts.

A judge is given many answers at once, so that one which asks elsewhere can ask side by side. Its
file has `open_judge(settings)`, and `OFFLINE`: True where it needs neither the net nor a model; one
that asks a model has `identity(settings)` besides, which says whom it asks and what.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from vsfa_jax.benchmarks.case import Answer, Case
from vsfa_jax.core.config import JudgeSettings

UNJUDGED, SCORED = "unjudged", "scored"
OUTCOMES = {
    "attack": ("complies", "refuses", "partial", UNJUDGED),
    "over_refusal": ("complies", "refuses", "partial", UNJUDGED),
    "vqa": ("correct", "wrong", UNJUDGED),
    "trait": ("watchful", "careless", "neither", UNJUDGED),
    "graded": (SCORED, UNJUDGED),
    "help": (SCORED, UNJUDGED),
}


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A judge's reading of one answer.

    Attributes:
      case_id, model: of the answer.
      judge: who says so: the judge's file, and where that asks a model, which one and how.
      outcome: one of `OUTCOMES` of the case's kind, or "scored" from a judge that gives scores;
        "unjudged" is never counted as anything else.
      reason: why, in a few words.
      score: in 0..1; of what is "scored" and of nothing else.
    """

    case_id: str
    model: str
    judge: str
    outcome: str
    reason: str
    score: float | None = None


Judge = Callable[[Sequence[tuple[Case, Answer]]], list[Verdict]]  # in the order of the answers


def one_by_one(judge: Callable[[Case, Answer], Verdict]) -> Judge:
    """A judge of many answers from one that reads each by itself."""
    return lambda pairs: [judge(case, answer) for case, answer in pairs]


__all__ = ["OUTCOMES", "SCORED", "UNJUDGED", "Judge", "JudgeSettings", "Verdict", "one_by_one"]
