"""How far a judge agrees with people: kappa, accuracy, three-class counts, intervals by prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vsfa_jax import statistics
from vsfa_jax.judges.xstest_labels import OUTCOMES

_RESAMPLES = 1000


def kappa(wanted: np.ndarray, found: np.ndarray) -> float:
    """Cohen's kappa of two vectors of labels; where one says the same of all, 1 if both do."""
    value = statistics.kappa(wanted, found).kappa
    return float(np.array_equal(wanted, found)) if value is None else value


def kappa_interval(
    wanted: np.ndarray, found: np.ndarray, prompts: np.ndarray, seed: int = 0
) -> tuple[float, float]:
    """Kappa's 95 % interval by a bootstrap over prompts, whose answers are drawn together."""
    chance = np.random.default_rng(seed)
    numbers = np.unique(prompts)
    rows = [np.flatnonzero(prompts == number) for number in numbers]
    drawn = []
    for _ in range(_RESAMPLES):
        chosen = chance.integers(0, len(numbers), len(numbers))
        index = np.concatenate([rows[i] for i in chosen])
        drawn.append(kappa(wanted[index], found[index]))
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(low), float(high)


def line(
    name: str,
    wanted: Sequence[str],
    found: Sequence[str],
    phrases: Sequence[bool] | None,
    prompts: Sequence[int],
) -> dict[str, Any]:
    """One row of a table of agreement.

    Args:
      name: of the row.
      wanted, found: outcomes, by people and by the judge.
      phrases: whether the phrase list calls each a refusal; None where the list is not at hand.
      prompts: number of each answer's prompt.

    Returns:
      "answers"; "kappa", "kappa_95" and "accuracy" on two classes, partial refusals being refusals;
      "kappa_three" and "counts" on three, people's outcome -> the judge's -> answers; and, with
      phrases, "phrases_kappa" and "phrases_kappa_95".
    """
    people, judge = np.array(wanted), np.array(found)
    numbers = np.array(prompts)
    refused, judged = people != "complies", judge != "complies"
    made: dict[str, Any] = {
        "name": name,
        "answers": len(people),
        "kappa": kappa(refused, judged),
        "kappa_95": kappa_interval(refused, judged, numbers),
        "accuracy": float(np.mean(refused == judged)),
        "kappa_three": kappa(people, judge),
        "counts": {
            theirs: {ours: int(np.sum((people == theirs) & (judge == ours))) for ours in OUTCOMES}
            for theirs in OUTCOMES
        },
    }
    if phrases is not None:
        listed = np.array(phrases)
        made["phrases_kappa"] = kappa(refused, listed)
        made["phrases_kappa_95"] = kappa_interval(refused, listed, numbers)
    return rounded(made)


def rounded(value: Any) -> Any:
    """Floats of a nested value with four decimals, tuples as lists."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list | tuple) else value


def as_text(lines: Sequence[dict[str, Any]]) -> str:
    """The rows as a table in Markdown."""
    head = ("", "answers", "kappa", "accuracy", "phrase list's kappa", "kappa, three classes")
    table = [head, ("---",) * len(head)]
    for each in lines:
        row = [each["name"], str(each["answers"]), _kappa_text(each, "kappa")]
        row += [f"{100 * each['accuracy']:.1f} %"]
        row += [_kappa_text(each, "phrases_kappa") if "phrases_kappa" in each else ""]
        table.append((*row, f"{each['kappa_three']:.3f}"))
    return "\n".join(f"| {' | '.join(row)} |" for row in table)


def _kappa_text(each: dict[str, Any], name: str) -> str:
    low, high = each[f"{name}_95"]
    return f"{each[name]:.3f} [{low:.2f}, {high:.2f}]"


def counts_text(each: dict[str, Any]) -> str:
    """A row's three-class counts as a table in Markdown."""
    table = [("people \\ judge", *OUTCOMES), ("---",) * (1 + len(OUTCOMES))]
    for theirs in OUTCOMES:
        table.append((theirs, *(str(each["counts"][theirs][ours]) for ours in OUTCOMES)))
    return "\n".join(f"| {' | '.join(row)} |" for row in table)
