"""The best guess of someone who reads the questions and never sees an image.

It is learned from other cases of the same kind: the most common answer to the very question where
it was asked often enough, else to questions of its category. Accuracy means little where it is
near this guesser's.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable

from vsfa_jax.benchmarks.case import Case

MIN_SEEN = 4  # times that a question must have been asked for its own most common answer to count


def with_guesses(cases: Iterable[Case], others: Iterable[Case]) -> list[Case]:
    """The cases, each VQA one with the guess of someone who has learned from `others`."""
    counts: dict[tuple[str, str], collections.Counter[str]] = collections.defaultdict(
        collections.Counter
    )
    for case in others:
        if case.kind == "vqa":
            counts["category", case.category][case.expected["answer"]] += 1
            counts["question", case.question][case.expected["answer"]] += 1

    def guess(case: Case) -> str | None:
        asked = counts["question", case.question]
        if asked.total() < MIN_SEEN:
            asked = counts["category", case.category]
        # Of equally common answers the first in the alphabet, so that every run guesses the same.
        return min(asked, key=lambda answer: (-asked[answer], answer), default=None)

    return [
        dataclasses.replace(case, blind=guess(case)) if case.kind == "vqa" else case
        for case in cases
    ]
