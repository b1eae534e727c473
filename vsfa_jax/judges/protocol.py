"""Verdict: what an answer amounts to. A judge is a function from a case and an answer to one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from vsfa_jax.benchmarks.case import Answer, Case

UNJUDGED = "unjudged"
OUTCOMES = {
    "attack": ("complies", "refuses", "partial", UNJUDGED),
    "over_refusal": ("complies", "refuses", "partial", UNJUDGED),
    "vqa": ("correct", "wrong", UNJUDGED),
    "trait": ("watchful", "careless", "neither", UNJUDGED),
}


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A judge's reading of one answer.

    Attributes:
      case_id, model: of the answer.
      outcome: one of `OUTCOMES` of the case's kind; "unjudged" is never counted as anything else.
      reason: why, in a few words.
    """

    case_id: str
    model: str
    outcome: str
    reason: str


Judge = Callable[[Case, Answer], Verdict]
