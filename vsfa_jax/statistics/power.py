"""The least change that a comparison would have found in four of five repetitions, at p < 0.05."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

from vsfa_jax.statistics.rates import Z95

POWER = 0.8
_Z_POWER = statistics.NormalDist().inv_cdf(POWER)


def least_change(rate: float, cases: float, *, sign: int) -> float | None:
    """Of two rates over different cases, as many each.

    Args:
      rate: of the one, in 0..1.
      cases: of each; of cases that hang together the number that they are worth.
      sign: 1 for a higher rate, -1 for a lower one.

    Returns:
      The size of the change, above 0; None where no rate on that side is far enough.

    Source: Cohen 1988, section 6.2: the arcsine of the root has the same variance at every rate.
    """
    if cases <= 0:
        return None
    here = math.asin(math.sqrt(rate))
    there = here + sign * (Z95 + _Z_POWER) / math.sqrt(2 * cases)
    if not 0 <= there <= math.pi / 2:
        return None
    return abs(math.sin(there) ** 2 - rate)


def least_paired_change(differing: float, pairs: float) -> float | None:
    """Of two rates over the same cases, by McNemar's test.

    Args:
      differing: the share of pairs that differ, in 0..1. A change cannot be larger than that share,
        so it counts as at least the change itself.
      pairs: their number; of cases that hang together the number that they are worth.

    Returns:
      The size of the change, above 0; None where even a change of all pairs would not be found.

    Source: Miettinen 1968 (Biometrics 24:339); Connor 1987 (Biometrics 43:207), equation 3.
    """

    def is_found(change: float) -> bool:
        share = max(differing, change)
        need = Z95 * math.sqrt(share) + _Z_POWER * math.sqrt(max(0.0, share - change**2))
        return change * math.sqrt(pairs) >= need

    return _least(is_found) if pairs > 0 else None


def least_mean_change(spread: float, cases: float) -> float | None:
    """Of a mean of values that are no hits, by their normal approximation.

    Args:
      spread: standard deviation of a value; of a case's change where the same cases are compared,
        and the root of two times a score's where other ones are.
      cases: their number; of cases that hang together the number that they are worth.

    Returns:
      The size of the change; None without cases.
    """
    return (Z95 + _Z_POWER) * spread / math.sqrt(cases) if cases > 0 else None


def _least(is_found: Callable[[float], bool]) -> float | None:
    """The least of 0..1 that `is_found`, which stays so above it."""
    if not is_found(1.0):
        return None
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if is_found(middle) else (middle, high)
    return high
