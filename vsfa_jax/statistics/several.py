"""Many tests at once, means of several sets, and which of several rows no other beats."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from vsfa_jax.statistics.rates import Interval


def holm(values: Sequence[float]) -> list[float]:
    """p of each test of a family, corrected so that a false find in the family has 5 % at 0.05.

    Source: Holm 1979 (Scand. J. Statist. 6:65).
    """
    corrected, worst = [1.0] * len(values), 0.0
    order = sorted(range(len(values)), key=lambda place: values[place])
    for rank, place in enumerate(order):
        worst = max(worst, min(1.0, (len(values) - rank) * values[place]))
        corrected[place] = worst
    return corrected


def mean_of_sets(found: Sequence[tuple[float, Interval]]) -> tuple[float, Interval]:
    """The mean of estimates on sets that share no case, each set counting as one.

    Args:
      found: (estimate, its interval), at least one.

    Source: Zou & Donner 2008 (Stat. Med. 27:1693): distances to the limits add up as squares.
    """
    num = len(found)
    mean = sum(estimate for estimate, _ in found) / num
    below = math.sqrt(sum((estimate - of.low) ** 2 for estimate, of in found)) / num
    above = math.sqrt(sum((of.high - estimate) ** 2 for estimate, of in found)) / num
    return mean, Interval(mean - below, mean + above)


def undominated(
    rows: Mapping[str, Sequence[float | None]], better: Sequence[str]
) -> dict[str, list[str]]:
    """Row -> the rows that beat it: nowhere worse and somewhere better.

    Args:
      rows: a vector each, None where it has no number. Two of which only one has a number
        somewhere cannot be compared, so that neither beats the other.
      better: "lower" or "higher" for each component.
    """
    signs = [1 if way == "higher" else -1 for way in better]

    def beats(one: str, other: str) -> bool:
        gains = []
        for first, second, sign in zip(rows[one], rows[other], signs, strict=True):
            if first is None and second is None:
                continue
            if first is None or second is None:
                return False
            gains.append(sign * (first - second))
        return bool(gains) and min(gains) >= 0 and max(gains) > 0

    return {row: [other for other in rows if beats(other, row)] for row in rows}
