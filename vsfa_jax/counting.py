"""From what each case came to, to a rate or a mean score with its intervals, and to a change.

A case counts towards a rate where it was judged; a pair counts towards a change where both answers
were. What could not be judged is in no denominator, and its number stands beside the rate.

    cases                    interval of a rate              interval and test of a change
    each alone, hit or miss  Wilson                          Newcombe; McNemar, exact
    some hang together       bootstrap of clusters, joined   bootstrap of clusters, joined with
                             with Wilson's of the cases      the central limit theorem's; flips
                             that they are worth             of whole clusters' signs
    scores                   the same, joined with the central limit theorem's

"Joined" is the wider of both on each side, for a bootstrap alone is too narrow where hits are rare.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

from vsfa_jax.statistics import (
    Clusters,
    Interval,
    Paired,
    bootstrap,
    by_cluster,
    clustered_mean,
    design_effect,
    least_change,
    least_mean_change,
    least_paired_change,
    mcnemar,
    paired_difference,
    sign_flips,
    wilson,
)

Values = Mapping[str, float | None]  # case id -> hit 1, miss 0, a score between; None unjudged


@dataclasses.dataclass(frozen=True)
class Rate:
    """One model's rate or mean score.

    Attributes:
      hits: answers with the measure's outcome, or the sum of the scores.
      judged: answers with any outcome but "unjudged"; the denominator.
      partial: judged answers that were "partial", in no numerator; None of several seeds' mean.
      unjudged: answers that no outcome could be given to, in no denominator.
      rate: hits / judged, None where nothing was judged.
      low, high: its 95 % interval.
      clusters: groups of cases that hang together; as many as cases where none do.
      worth: independent cases that would tell as much, at most `judged`.
      bootstrap_low, bootstrap_high: the interval by drawing clusters alone; None where nothing was
        judged.
    """

    hits: float
    judged: int
    partial: int | None
    unjudged: int
    rate: float | None
    low: float
    high: float
    clusters: int
    worth: float
    bootstrap_low: float | None
    bootstrap_high: float | None


@dataclasses.dataclass(frozen=True)
class Change:
    """One model minus another over the cases on which both answers were judged.

    Attributes:
      pairs: their number.
      only_base, only_other: pairs in which one of the two alone hit, or scored more.
      difference: of the rates over the pairs, None without pairs.
      low, high: its 95 % interval.
      bootstrap_low, bootstrap_high: by drawing clusters alone; None without pairs.
      p: of its test against no change.
      p_holm: corrected for the table's family of tests; None outside it.
      least: the least change, of these cases, that has four chances in five to be found; None where
        none has.
      least_unpaired: the same, if each model had been asked other cases, as many: the easier of a
        rise and a fall.
    """

    pairs: int
    only_base: int
    only_other: int
    difference: float | None
    low: float
    high: float
    bootstrap_low: float | None
    bootstrap_high: float | None
    p: float
    p_holm: float | None
    least: float | None
    least_unpaired: float | None


def rate_of(values: Values, cluster_of: Mapping[str, str], partial: int | None = 0) -> Rate:
    """Counts one model's answers.

    Args:
      values: of every case that was answered.
      cluster_of: case id -> its cluster.
      partial: how many of the misses were partial.
    """
    judged = {case: value for case, value in values.items() if value is not None}
    cases = by_cluster(list(judged.values()), [cluster_of[case] for case in judged])
    hits = float(cases.sums.sum())
    worth = _worth(cases)
    interval = _interval_of_rate(list(judged.values()), cases, worth)
    drawn = bootstrap(cases) if judged else None
    return Rate(
        hits=int(hits) if hits.is_integer() else hits,
        judged=len(judged),
        partial=partial,
        unjudged=len(values) - len(judged),
        rate=cases.mean if judged else None,
        low=interval.low,
        high=interval.high,
        clusters=len(cases.sums),
        worth=worth,
        bootstrap_low=drawn.low if drawn else None,
        bootstrap_high=drawn.high if drawn else None,
    )


def change_of(base: Values, other: Values, cluster_of: Mapping[str, str]) -> Change:
    """Compares two models case by case; arguments as of `rate_of`."""
    pairs = {
        case: (of_base, of_other)
        for case, of_base in base.items()
        if of_base is not None and (of_other := other.get(case)) is not None
    }
    moved = [after - before for before, after in pairs.values()]
    cases = by_cluster(moved, [cluster_of[case] for case in pairs])
    drawn = bootstrap(cases) if pairs else None
    fewer, more = sum(move < 0 for move in moved), sum(move > 0 for move in moved)
    difference, interval, p = _difference(list(pairs.values()), cases, fewer, more)
    least, least_unpaired = _least_changes(list(pairs.values()), list(pairs), cases, cluster_of)
    return Change(
        pairs=len(pairs),
        only_base=fewer,
        only_other=more,
        difference=difference if pairs else None,
        low=interval.low,
        high=interval.high,
        bootstrap_low=drawn.low if drawn else None,
        bootstrap_high=drawn.high if drawn else None,
        p=p,
        p_holm=None,
        least=least,
        least_unpaired=least_unpaired,
    )


def _worth(cases: Clusters) -> float:
    """Independent cases that would tell as much of a rate."""
    total = float(cases.counts.sum())
    return total if total == len(cases.sums) else total / design_effect(cases)


def _interval_of_rate(values: Sequence[float], cases: Clusters, worth: float) -> Interval:
    """Of hits and misses, or of scores."""
    if not _are_hits(values):
        found = _joined(bootstrap(cases), clustered_mean(cases)[1])
        return Interval(max(0.0, found.low), min(1.0, found.high))
    alone = wilson(cases.mean * worth, worth)
    return alone if len(cases.sums) == len(values) else _joined(bootstrap(cases), alone)


def _difference(
    pairs: Sequence[tuple[float, float]], cases: Clusters, fewer: int, more: int
) -> tuple[float, Interval, float]:
    """The difference with its interval and its p."""
    if _are_hits(value for pair in pairs for value in pair) and len(cases.sums) == len(pairs):
        both = sum(before == after == 1 for before, after in pairs)
        counts = Paired(both, fewer, more, len(pairs) - both - fewer - more)
        return (*paired_difference(counts), mcnemar(fewer, more))
    mean, interval = clustered_mean(cases)
    return mean, _joined(bootstrap(cases), interval), sign_flips(cases.sums)


def _least_changes(
    pairs: Sequence[tuple[float, float]],
    names: Sequence[str],
    moves: Clusters,
    cluster_of: Mapping[str, str],
) -> tuple[float | None, float | None]:
    """The least change that could be found, over the same cases and over others."""
    if len(pairs) < 2:
        return None, None
    moved = [after - before for before, after in pairs]
    of_base = [before for before, _ in pairs]
    base = by_cluster(of_base, [cluster_of[name] for name in names])
    worth = len(pairs) / _spread_of_clusters(moved, moves)
    if _are_hits(value for pair in pairs for value in pair):
        sides = [least_change(base.mean, _worth(base), sign=sign) for sign in (-1, 1)]
        differing = sum(move != 0 for move in moved) / len(pairs)
        easier = min((side for side in sides if side is not None), default=None)
        return least_paired_change(differing, worth), easier
    apart = math.sqrt(2) * statistics.stdev(of_base)
    return (
        least_mean_change(statistics.stdev(moved), worth),
        least_mean_change(apart, _worth(base)),
    )


def _are_hits(values: Iterable[float]) -> bool:
    return all(value in (0, 1) for value in values)


def _joined(one: Interval, other: Interval) -> Interval:
    return Interval(min(one.low, other.low), max(one.high, other.high))


def _spread_of_clusters(moved: Sequence[float], cases: Clusters) -> float:
    """How many times clustering multiplies the variance of the mean change, at least 1."""
    num = len(cases.sums)
    if num < 2 or num == len(moved):
        return 1.0
    alone = sum((move - cases.mean) ** 2 for move in moved) / len(moved) ** 2
    residuals = cases.sums - cases.mean * cases.counts
    together = num / (num - 1) * float(residuals @ residuals) / len(moved) ** 2
    return max(1.0, together / alone) if alone else len(moved) / num
