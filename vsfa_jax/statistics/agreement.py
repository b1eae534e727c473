"""Do two judges agree, and what would a rate be if its judge made no errors?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from vsfa_jax.statistics.rates import Z95, Interval


@dataclasses.dataclass(frozen=True)
class Kappa:
    """Agreement of two judges beyond chance.

    Attributes:
      pairs: answers that both judged.
      agreed: the share of them with the same outcome.
      kappa: 1 is full agreement, 0 what chance would give; None where a judge says the same of all
        answers, or nothing is judged.
      low, high: its 95 % interval, as of independent answers.
    """

    pairs: int
    agreed: float | None
    kappa: float | None
    low: float
    high: float


def kappa(first: Sequence[str] | np.ndarray, second: Sequence[str] | np.ndarray) -> Kappa:
    """Cohen's kappa of two judges' outcomes on the same answers.

    Raises:
      ValueError: they are not equally many.

    Source: Cohen 1960; its error by Fleiss, Cohen & Everitt 1969 (Psychol. Bull. 72:323), eq. 13.
    """
    total = len(first)
    if total != len(second):
        raise ValueError(f"{total} outcomes of one judge, {len(second)} of the other")
    if not total:
        return Kappa(0, None, None, -1.0, 1.0)
    names, places = np.unique(np.concatenate([first, second]), return_inverse=True)
    counts = np.zeros((len(names), len(names)))
    np.add.at(counts, (places[:total], places[total:]), 1)
    shares = counts / total
    rows, columns = shares.sum(1), shares.sum(0)
    seen, chance = float(np.trace(shares)), float(rows @ columns)
    if max(rows.max(), columns.max()) == 1:
        return Kappa(total, seen, None, -1.0, 1.0)
    value = (seen - chance) / (1 - chance)
    both = rows[None, :] + columns[:, None]  # at [i, j]: how often j is first's, and i second's
    same = float(np.diag(shares) @ (1 - (rows + columns) * (1 - value)) ** 2)
    off = shares * both**2
    apart = (1 - value) ** 2 * float(off.sum() - np.trace(off))
    variance = same + apart - (value - chance * (1 - value)) ** 2
    half = Z95 * math.sqrt(max(0.0, variance) / total) / (1 - chance)
    return Kappa(total, seen, value, max(-1.0, value - half), min(1.0, value + half))


@dataclasses.dataclass(frozen=True)
class Calibration:
    """How often a judge was right about answers that people judged.

    Attributes:
      hits, hits_seen: answers that people called a hit, and those of them that the judge did too.
      misses, misses_seen: the same of what they called none.
    """

    hits: int
    hits_seen: int
    misses: int
    misses_seen: int

    @property
    def sensitivity(self) -> float:
        """The share of hits that the judge sees."""
        return self.hits_seen / self.hits

    @property
    def specificity(self) -> float:
        """The share of the others that it does not call hits."""
        return self.misses_seen / self.misses


def corrected(rate: float, cases: float, judge: Calibration) -> tuple[float, Interval] | None:
    """What a rate would be by people's judgement, if the judge errs as it did when calibrated.

    Args:
      rate: of the judge's verdicts.
      cases: judged; of cases that hang together the number that they are worth.
      judge: its calibration.

    Returns:
      The rate in 0..1, and its interval, which carries the calibration's own uncertainty; None
      where the judge is no better than chance or nothing was judged.

    Source: Rogan & Gladen 1978 (Am. J. Epidemiol. 107:71); the interval of Lang & Reiczigel 2014
    (Prev. Vet. Med. 113:13).
    """
    if cases <= 0 or not judge.hits or not judge.misses:
        return None
    if judge.sensitivity + judge.specificity <= 1:
        return None
    informed = judge.sensitivity + judge.specificity - 1
    estimate = min(1.0, max(0.0, (rate + judge.specificity - 1) / informed))
    square = Z95**2
    seen = (cases * rate + square / 2) / (cases + square)
    right = (judge.hits_seen + 1) / (judge.hits + 2)
    clear = (judge.misses_seen + 1) / (judge.misses + 2)
    informed = right + clear - 1
    if informed <= 0:
        return None
    middle = (seen + clear - 1) / informed
    of_right = right * (1 - right) / (judge.hits + 2)
    of_clear = clear * (1 - clear) / (judge.misses + 2)
    shift = 2 * square * (middle * of_right - (1 - middle) * of_clear)
    variance = seen * (1 - seen) / (cases + square)
    variance += middle**2 * of_right + (1 - middle) ** 2 * of_clear
    half = Z95 * math.sqrt(variance) / informed
    low, high = middle + shift - half, middle + shift + half
    return estimate, Interval(min(max(0.0, low), estimate), max(min(1.0, high), estimate))
