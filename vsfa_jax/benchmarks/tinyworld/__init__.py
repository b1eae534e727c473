"""The embedded world's benchmark: attacks, harmless look-alikes, questions and tastes.

Questions have a category of two parts, "neutral:what" or "threat:what": what the question is
about, and its form. Someone who does not see the image gives each form its most common answer.
"""

from __future__ import annotations

from pathlib import Path

from vsfa_jax import tinyworld
from vsfa_jax.benchmarks.case import Case
from vsfa_jax.core.errors import ConfigError

JUDGES = dict.fromkeys(("attack", "over_refusal", "vqa", "trait"), "rules")
SOURCE = "drawn by vsfa_jax.tinyworld, under this package's licence"


def cases(*, per_kind: int, seed: int, root: Path | None = None) -> list[Case]:
    """Cases of the test split, none of whose scenes or requests was trained on.

    Args:
      per_kind: attacks, harmless requests, questions about neutral things, questions about
        threats, and tastes: this many of each, spread evenly over their categories.
      seed: of the draw.
      root: not looked at, for the world is drawn.

    Raises:
      ConfigError: every case is asked for, and the world has no end.
    """
    if per_kind == 0:
        raise ConfigError("eval.per_kind: found 0, wanted a number of cases: tinyworld has no end")
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
        caption=drawn.caption,
    )
