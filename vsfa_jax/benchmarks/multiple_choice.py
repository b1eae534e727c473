"""Questions with lettered options: their prompt, and what the judge of choices needs to know."""

from __future__ import annotations

import string
from collections.abc import Sequence

from vsfa_jax.core.errors import DataError

LETTERS = string.ascii_uppercase
INSTRUCTION = "Answer with the option's letter from the given choices directly."


def lettered(question: str, options: Sequence[str]) -> str:
    """A question, its options with letters, a line each, and the request for a letter."""
    lines = [f"({letter}) {option}" for letter, option in zip(LETTERS, options, strict=False)]
    return "\n".join([question, *lines, INSTRUCTION])


def expected_choice(options: Sequence[str], answer: int, where: str) -> dict[str, str]:
    """What is expected of a case: "answer", a letter, and each letter's option.

    Args:
      options: their texts.
      answer: which of them is right, from 0.
      where: what to call the question in an error.

    Raises:
      DataError: fewer than two options, more than there are letters, or no such answer.
    """
    if not 2 <= len(options) <= len(LETTERS):
        raise DataError(f"{where}: {len(options)} options; wanted 2 to {len(LETTERS)}")
    if not 0 <= answer < len(options):
        raise DataError(f"{where}: the answer is option {answer} of {len(options)} from 0 on")
    return {
        "answer": LETTERS[answer],
        **dict(zip(LETTERS, options, strict=False)),
    }
