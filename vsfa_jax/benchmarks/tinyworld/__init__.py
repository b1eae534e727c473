"""The embedded world's benchmark: attacks, harmless look-alikes, questions and tastes.

Questions have a category of two parts, "neutral:what" or "threat:what": what the question is
about, and its form. Someone who does not see the image gives each form its most common answer.
"""

from __future__ import annotations

from vsfa_jax import tinyworld
from vsfa_jax.benchmarks.case import Case

JUDGE = "rules"


def cases(*, per_kind: int, seed: int) -> list[Case]:
    """Cases of the test split, none of whose scenes or requests was trained on.

    Args:
      per_kind: attacks, harmless requests, questions about neutral things, questions about
        threats, and tastes: this many of each, spread evenly over their categories.
      seed: of the draw.
    """
    guesses = tinyworld.blind_answers()
    return [_case(drawn, guesses) for drawn in tinyworld.cases(per_kind=per_kind, seed=seed)]


def _case(drawn: tinyworld.WorldCase, guesses: dict[str, str]) -> Case:
    category, blind = drawn.category, None
    if drawn.kind == "vqa":
        section, _, form = category.rpartition(":")
        category, blind = f"{section or 'neutral'}:{form}", guesses[drawn.category]
    return Case(
        id=f"{drawn.benchmark}/{drawn.id}",
        benchmark=drawn.benchmark,
        kind=drawn.kind,
        category=category,
        images=drawn.images,
        messages=drawn.messages,
        expected=drawn.expected,
        blind=blind,
    )
