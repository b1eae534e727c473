"""Intervals and tests of rates over independent cases, in closed form.

paired counts        tuned hit   tuned miss
  base hit               a           b          b + c are the cases on which the two differ
  base miss              c           d
"""

from __future__ import annotations

import dataclasses
import math

Z95 = 1.959963984540054  # the normal quantile that leaves 2.5 % above it


@dataclasses.dataclass(frozen=True)
class Interval:
    """An estimate's 95 % interval, both ends included."""

    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Paired:
    """Counts of cases by what two models did on them: both hit, one only, neither."""

    both: int
    only_base: int
    only_tuned: int
    neither: int

    @property
    def total(self) -> int:
        """Number of pairs."""
        return self.both + self.only_base + self.only_tuned + self.neither


def wilson(successes: float, total: float) -> Interval:
    """Wilson's score interval of a rate; (0, 1) where nothing was counted.

    Args:
      successes, total: counts; no whole numbers where cases hang together, and count for less.

    Raises:
      ValueError: successes outside 0..total.

    Source: Wilson 1927; Newcombe 1998 (Stat. Med. 17:857), method 3.
    """
    if not 0 <= successes <= total:
        raise ValueError(f"{successes} successes of {total}")
    if total == 0:
        return Interval(0.0, 1.0)
    rate, square = successes / total, Z95**2
    centre = (rate + square / (2 * total)) / (1 + square / total)
    half = Z95 * math.sqrt(rate * (1 - rate) / total + square / (4 * total**2))
    half /= 1 + square / total
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == total else min(1.0, centre + half)
    return Interval(low, high)


def mcnemar(only_base: int, only_tuned: int) -> float:
    """Exact two-sided p of the pairs that differ being a fair coin's throws; 1 where none differ.

    Source: McNemar 1947, in its exact binomial form.
    """
    total = only_base + only_tuned
    tail = sum(math.comb(total, k) for k in range(min(only_base, only_tuned) + 1))
    return min(1.0, 2 * tail / 2**total)


def paired_difference(counts: Paired) -> tuple[float, Interval]:
    """The tuned rate minus the base rate over the same cases, with its interval.

    Wilson's intervals of both rates, joined with the correlation of the pairs; unlike the textbook
    formula it does not shrink to nothing when few pairs differ.

    Returns:
      The difference in -1..1, and its interval; (0, (-1, 1)) without pairs.

    Source: Newcombe 1998 (Stat. Med. 17:2635), method 10.
    """
    total = counts.total
    if total == 0:
        return 0.0, Interval(-1.0, 1.0)
    base_hits, tuned_hits = counts.both + counts.only_base, counts.both + counts.only_tuned
    base, tuned = base_hits / total, tuned_hits / total
    of_base, of_tuned = wilson(base_hits, total), wilson(tuned_hits, total)
    phi = _correlation(counts)
    below = _join(tuned - of_tuned.low, of_base.high - base, phi)
    above = _join(of_tuned.high - tuned, base - of_base.low, phi)
    difference = tuned - base
    return difference, Interval(difference - below, difference + above)


def _join(first: float, second: float, phi: float) -> float:
    return math.sqrt(max(0.0, first**2 - 2 * phi * first * second + second**2))


def _correlation(counts: Paired) -> float:
    """Phi of the two by two counts, drawn towards zero by half a pair where it is positive."""
    a, b, c, d = counts.both, counts.only_base, counts.only_tuned, counts.neither
    margins = (a + b) * (c + d) * (a + c) * (b + d)
    if margins == 0:
        return 0.0
    product = float(a * d - b * c)
    if product > 0:
        product = max(product - counts.total / 2, 0.0)
    return product / math.sqrt(margins)
