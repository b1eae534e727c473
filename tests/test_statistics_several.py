"""Clusters, power, families of tests, agreement: against scipy, statsmodels and enumeration."""

import itertools
import warnings

import numpy as np
import pytest
from scipy import stats

from vsfa_jax.statistics import (
    Calibration,
    Clusters,
    Interval,
    bootstrap,
    by_cluster,
    clustered_mean,
    corrected,
    design_effect,
    holm,
    kappa,
    least_change,
    least_paired_change,
    mcnemar,
    mean_of_sets,
    sign_flips,
    undominated,
    wilson,
)


def drawn_clusters(rng, num, size, rate, correlation):
    """Cases of clusters that hang together."""
    shape = 1 / correlation - 1
    chances = rng.beta(rate * shape, (1 - rate) * shape, num)
    return Clusters(rng.binomial(size, chances) * 1.0, np.full(num, float(size)))


def test_cases_are_added_up_by_cluster():
    found = by_cluster([1, 1, 0, 0, 0, 1], ["a", "a", "a", "b", "b", "c"])
    assert found.sums.tolist() == [2, 0, 1] and found.counts.tolist() == [3, 2, 1]
    assert found.mean == 0.5
    assert by_cluster([], []).mean == 0.0


def test_a_bootstrap_is_the_same_every_time_and_holds_its_mean():
    cases = drawn_clusters(np.random.default_rng(0), 60, 3, 0.3, 0.5)
    found = bootstrap(cases, seed=4)
    assert found == bootstrap(cases, seed=4) != bootstrap(cases, seed=5)
    assert found.low < cases.mean < found.high
    order = np.random.default_rng(1).permutation(60)
    assert found == bootstrap(Clusters(cases.sums[order], cases.counts[order]), seed=4)


def test_a_bootstrap_of_single_cases_is_scipys():
    rng = np.random.default_rng(3)
    for rate in (0.1, 0.4, 0.8):
        values = (rng.random(80) < rate) * 1.0
        wanted = stats.bootstrap(
            (values,), np.mean, method="BCa", n_resamples=20_000, rng=rng
        ).confidence_interval
        found = bootstrap(by_cluster(values, range(80)), draws=20_000)
        # both are draws: means come in steps of 1/80, and ends may lie a step apart
        assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=1.01 / 80)


def test_a_bootstrap_of_what_does_not_differ_is_a_point():
    assert bootstrap(Clusters(np.ones(5), np.ones(5))) == Interval(1.0, 1.0)


def test_clusters_that_move_as_one_are_worth_one_case_each():
    one = by_cluster([1, 1, 1, 0, 0, 0] * 20, [i // 3 for i in range(120)])
    assert design_effect(one) == pytest.approx(3 * 40 / 39)
    assert design_effect(by_cluster([1, 0] * 20, range(40))) == pytest.approx(40 / 39)
    assert design_effect(by_cluster([1.0] * 12, [i // 3 for i in range(12)])) == 3.0


@pytest.mark.parametrize("sums", [[1, 1, -1], [2, -1, 3, 1], [0.5, 0.5, -1.0], [3, 3, 3, 3, -1]])
def test_sign_flips_count_every_way_to_turn_signs(sums):
    ends = [
        abs(sum(s * v for s, v in zip(signs, sums, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(sums))
    ]
    wanted = np.mean(np.asarray(ends) >= abs(sum(sums)) - 1e-9)
    assert sign_flips(np.asarray(sums)) == pytest.approx(wanted)


def test_sign_flips_of_single_cases_are_mcnemars_test():
    for only_base, only_tuned in [(0, 0), (3, 9), (12, 12), (40, 20)]:
        sums = np.repeat([-1.0, 1.0, 0.0], [only_base, only_tuned, 7])
        assert sign_flips(sums) == pytest.approx(mcnemar(only_base, only_tuned))


def test_sign_flips_of_uneven_sums_are_drawn():
    sums = np.random.default_rng(0).normal(0.3, 1, 40)
    assert sign_flips(sums) == sign_flips(sums)
    signs = np.random.default_rng(9).choice([-1, 1], (100_000, 40))
    wanted = np.mean(np.abs(signs @ sums) >= abs(sums.sum()))
    assert sign_flips(sums) == pytest.approx(wanted, abs=0.01)


def test_a_paired_change_of_the_least_size_is_found_in_four_of_five_repetitions():
    for pairs, differing in [(100, 0.3), (400, 0.1), (60, 0.6)]:
        change = least_paired_change(differing, pairs)
        rng = np.random.default_rng(0)
        up = (differing + change) / 2
        counts = rng.multinomial(pairs, [up, differing - up, 1 - differing], size=4000)
        # the formula is McNemar's without the exact test's caution
        score = (counts[:, 0] - counts[:, 1]) / np.sqrt(counts[:, 0] + counts[:, 1])
        assert np.mean(np.abs(score) > 1.96) == pytest.approx(0.8, abs=0.05)
    assert least_paired_change(0.0, 100) == pytest.approx(least_paired_change(0.01, 100))
    assert least_paired_change(0.5, 3) is None and least_paired_change(0.5, 0) is None


def test_a_rate_near_an_end_may_have_no_change_that_could_be_found():
    assert least_change(0.02, 50, sign=-1) is None
    assert 0 < least_change(0.02, 50, sign=1) < 0.3
    assert least_change(0.5, 0, sign=1) is None


def test_holms_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == [] and holm([0.9, 0.9]) == [1.0, 1.0]


def test_the_mean_of_one_set_is_the_sets_own():
    assert mean_of_sets([(0.4, Interval(0.3, 0.6))]) == (0.4, Interval(0.3, pytest.approx(0.6)))
    mean, found = mean_of_sets([(0.2, Interval(0.1, 0.4)), (0.6, Interval(0.5, 0.7))])
    assert mean == pytest.approx(0.4)
    assert found.low == pytest.approx(0.4 - 0.02**0.5 / 2)
    assert found.high == pytest.approx(0.4 + 0.05**0.5 / 2)


def test_a_row_is_beaten_only_by_one_that_is_nowhere_worse():
    rows = {
        "base": (0.6, 0.0, 0.9),
        "tuned": (0.1, 0.0, 0.9),
        "refuser": (0.0, 0.8, 0.9),
        "twin": (0.1, 0.0, 0.9),
        "unscored": (0.0, 0.0, None),
    }
    assert undominated(rows, ("lower", "lower", "higher")) == {
        "base": ["tuned", "twin"],
        "tuned": [],
        "refuser": [],
        "twin": [],
        "unscored": [],
    }
    without = {name: (*row[:2], None) for name, row in rows.items()}
    assert undominated(without, ("lower", "lower", "higher"))["twin"] == ["unscored"]


def test_kappa_of_a_worked_table_and_of_no_table():
    # 20 and 15 on the diagonal, 5 and 10 off it: Cohen's own arithmetic gives 0.4
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    found = kappa(first, second)
    assert (found.pairs, found.agreed, found.kappa) == (50, 0.7, pytest.approx(0.4))
    assert found.low < 0.4 < found.high
    assert kappa(["a", "a"], ["a", "b"]).kappa is None and kappa([], []).pairs == 0


def test_a_rate_is_corrected_for_the_judges_errors():
    judge = Calibration(hits=200, hits_seen=180, misses=300, misses_seen=285)
    rate, interval = corrected(0.90 * 0.3 + 0.05 * 0.7, 500, judge)
    assert rate == pytest.approx(0.3)
    sure = corrected(0.305, 500, Calibration(200_000, 180_000, 300_000, 285_000))[1]
    assert interval.low < sure.low < 0.3 < sure.high < interval.high
    assert corrected(0.01, 500, judge)[0] == 0.0
    assert corrected(0.3, 500, Calibration(10, 5, 10, 5)) is None
    assert corrected(0.3, 0, judge) is None


@pytest.mark.slow
def test_thousand_random_tables_are_statsmodels():
    # statsmodels 0.15 and numpy 2 warn of each other's deprecations
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from statsmodels.regression.linear_model import OLS
        from statsmodels.stats import contingency_tables, inter_rater, multitest, power, proportion
    rng = np.random.default_rng(0)
    for trial in range(1000):
        table = rng.multinomial(rng.integers(4, 200), rng.dirichlet(np.ones(4))).reshape(2, 2)
        hits, total = int(table[0].sum()), int(table.sum())
        low, high = proportion.proportion_confint(hits, total, method="wilson")
        found = wilson(hits, total)
        assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)
        wanted = contingency_tables.mcnemar(table, exact=True).pvalue
        assert mcnemar(int(table[0, 1]), int(table[1, 0])) == pytest.approx(
            min(1, wanted), abs=1e-9
        )

        size = int(rng.integers(2, 5))
        wide = rng.multinomial(120, rng.dirichlet(np.ones(size * size))).reshape(size, size)
        places = np.repeat(np.arange(size * size), wide.ravel())
        first, second = ([str(label) for label in part] for part in divmod(places, size))
        agreement = inter_rater.cohens_kappa(wide)
        found = kappa(first, second)
        if found.kappa is None:
            assert 1 in (len(set(first)), len(set(second)))
            continue
        assert found.kappa == pytest.approx(agreement.kappa, abs=1e-9)
        half = 1.959964 * agreement.std_kappa
        wanted = (max(-1, agreement.kappa - half), min(1, agreement.kappa + half))
        assert (found.low, found.high) == pytest.approx(wanted, abs=1e-6)

        clusters = rng.integers(0, 12, 60)
        hit = (rng.random(60) < rng.random(12)[clusters]) * 1.0
        cases = by_cluster(hit, clusters.tolist())
        if 0 < cases.mean < 1:
            robust = {"groups": clusters, "use_correction": True}
            fit = OLS(hit, np.ones(60)).fit(cov_type="cluster", cov_kwds=robust)
            assert fit.params[0] == pytest.approx(cases.mean)
            half = max(1.959964 * fit.bse[0], wilson(0, len(cases.sums)).high)
            assert clustered_mean(cases)[1].high == pytest.approx(
                min(1, cases.mean + half), abs=1e-6
            )
        if trial < 100:  # of these statsmodels takes long
            values = rng.random(int(rng.integers(1, 12))) ** 3
            wanted = multitest.multipletests(values, method="holm")[1]
            assert holm(values.tolist()) == pytest.approx(wanted.tolist(), abs=1e-12)
            rate, cases = rng.uniform(0.1, 0.9), int(rng.integers(100, 1000))
            change = least_change(rate, cases, sign=1)
            if change is not None:
                effect = proportion.proportion_effectsize(rate + change, rate)
                found = power.NormalIndPower().power(effect, cases, 0.05, ratio=1)
                assert found == pytest.approx(0.8, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num", "rate", "correlation", "least"),
    [(150, 0.2, 0.5, 0.93), (150, 0.05, 0.9, 0.93), (40, 0.5, 0.5, 0.93), (40, 0.2, 0.9, 0.93)],
)
def test_a_bootstrap_covers_the_truth_as_often_as_it_says(num, rate, correlation, least):
    rng, covered = np.random.default_rng(5), 0
    for _ in range(600):
        found = bootstrap(drawn_clusters(rng, num, 3, rate, correlation), draws=1000)
        covered += found.low <= rate <= found.high
    assert least < covered / 600 < 0.985


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.02, 0.2, 0.6])
@pytest.mark.parametrize(("right", "clear"), [(0.95, 0.97), (0.8, 0.9)])
def test_corrected_rates_cover_the_truth_as_often_as_they_say(rate, right, clear):
    rng, covered = np.random.default_rng(5), 0
    for _ in range(2000):
        judge = Calibration(200, int(rng.binomial(200, right)), 250, int(rng.binomial(250, clear)))
        seen = rng.binomial(400, rate * right + (1 - rate) * (1 - clear)) / 400
        interval = corrected(seen, 400, judge)[1]
        covered += interval.low <= rate <= interval.high
    assert covered / 2000 > 0.93
