"""Intervals and tests, against scipy and against exact coverage."""

import math

import numpy as np
import pytest
from scipy import stats

from vsfa_jax.statistics import (
    Interval,
    Paired,
    clustered_mean,
    mcnemar,
    paired_difference,
    wilson,
)


@pytest.mark.parametrize(("hits", "total"), [(0, 1), (0, 10), (3, 10), (10, 10), (443, 1000)])
def test_wilson_is_scipys(hits, total):
    wanted = stats.binomtest(hits, total).proportion_ci(method="wilson")
    found = wilson(hits, total)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=1e-12)
    assert found.low <= hits / total <= found.high


def test_wilson_of_nothing_says_nothing():
    assert wilson(0, 0) == Interval(0.0, 1.0)


@pytest.mark.parametrize(("hits", "total"), [(-1, 5), (6, 5)])
def test_wilson_refuses_impossible_counts(hits, total):
    with pytest.raises(ValueError, match="successes"):
        wilson(hits, total)


@pytest.mark.parametrize(("b", "c"), [(0, 1), (1, 5), (12, 3), (40, 40), (900, 1100)])
def test_mcnemar_is_scipys_binomial_test(b, c):
    assert mcnemar(b, c) == pytest.approx(stats.binomtest(b, b + c).pvalue, rel=1e-9)
    assert mcnemar(b, c) == mcnemar(c, b)


def test_a_clustered_mean_covers_the_truth_as_often_as_it_says():
    rng, covered = np.random.default_rng(0), 0
    for _ in range(400):
        chance = rng.beta(2, 3, 300)  # of each cluster; four draws of one cluster hang together
        values = rng.binomial(4, chance) / 4
        mean, interval = clustered_mean(values.tolist())
        assert mean == pytest.approx(values.mean())
        covered += interval.low <= 0.4 <= interval.high
    assert 0.92 < covered / 400 < 0.98
    assert clustered_mean([]) == (0.0, Interval(-1.0, 1.0))
    mean, still = clustered_mean([0.0] * 120)
    assert mean == 0 and still.high == -still.low == wilson(0, 120).high


def test_mcnemar_without_differing_pairs():
    assert mcnemar(0, 0) == 1.0


def test_difference_has_the_sign_of_the_change():
    difference, interval = paired_difference(Paired(40, 30, 5, 25))
    assert difference == pytest.approx(-0.25)
    assert -1 < interval.low < difference < interval.high < 0


def test_difference_turns_round_with_the_models():
    _, one = paired_difference(Paired(40, 30, 5, 25))
    _, other = paired_difference(Paired(40, 5, 30, 25))
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))


def test_difference_does_not_vanish_without_differing_pairs():
    for counts in (Paired(0, 0, 0, 20), Paired(20, 0, 0, 0)):
        difference, interval = paired_difference(counts)
        assert difference == 0.0
        assert interval.low < -0.05
        assert interval.high > 0.05


def test_difference_without_pairs():
    assert paired_difference(Paired(0, 0, 0, 0)) == (0.0, Interval(-1.0, 1.0))


def test_difference_nears_the_textbook_interval_in_large_samples():
    counts = Paired(30_000, 12_000, 9_000, 29_000)
    difference, interval = paired_difference(counts)
    n, b, c = counts.total, counts.only_base, counts.only_tuned
    half = 1.959964 * math.sqrt(b + c - (b - c) ** 2 / n) / n
    assert (interval.low, interval.high) == pytest.approx(
        (difference - half, difference + half), abs=2e-4
    )


@pytest.mark.parametrize(
    "chances", [(0.4, 0.2, 0.1, 0.3), (0.05, 0.3, 0.05, 0.6), (0.7, 0.1, 0.1, 0.1)]
)
def test_difference_covers_the_truth_as_often_as_it_says(chances):
    """Every table of 24 pairs, weighted by its exact probability."""
    n = 24
    truth = chances[2] - chances[1]
    tables = np.array(
        [
            (a, b, c, n - a - b - c)
            for a in range(n + 1)
            for b in range(n + 1 - a)
            for c in range(n + 1 - a - b)
        ]
    )
    weights = stats.multinomial.pmf(tables, n, chances)
    intervals = [paired_difference(Paired(*map(int, row)))[1] for row in tables]
    covered = sum(
        weight
        for weight, found in zip(weights, intervals, strict=True)
        if found.low <= truth <= found.high
    )
    assert 0.93 <= covered <= 0.985
