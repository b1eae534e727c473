"""Who judges, what could not be judged, how judges agree; numbers of cases that hang together."""

import dataclasses

import numpy as np
import pytest
from findings import make_case

from configs import base, eval_safety
from vsfa_jax import counting, headline, judges, judging, tables
from vsfa_jax.core import config
from vsfa_jax.core.errors import ConfigError
from vsfa_jax.judges.protocol import Verdict
from vsfa_jax.statistics import wilson


def options(**changes):
    return dataclasses.replace(config.load(base.get_config()).eval, **changes)


def verdict(case, model, outcome, judge="rules", score=None):
    return Verdict(case.id, model, judge, outcome, "", score)


def test_requests_have_the_judges_that_are_asked_for_and_others_their_own():
    attack, vqa = make_case(1, "attack", "page"), make_case(1, "vqa", "what")
    assert judging.judges_of(options(), attack) == ("rules",)
    wanted = options(judges=("api", "own", "rules"), constructive=True)
    assert judging.judges_of(wanted, attack) == ("api", "rules", "constructive")
    assert judging.judges_of(wanted, vqa) == ("rules",)
    with pytest.raises(ConfigError, match=r"eval\.judges"):
        judging.judges_of(options(judges=()), attack)
    with pytest.raises(ConfigError, match="no judge 'ruls'"):
        judging.all_judges(options(judges=("ruls",)), [attack])


def test_the_published_sets_are_judged_by_judges_that_exist():
    wanted = config.load(eval_safety.get_config()).eval
    cases = [
        make_case(1, kind, "a", name)
        for name in wanted.benchmarks
        for kind in judging.benchmarks.judges_of(name)
    ]
    found = judging.all_judges(wanted, cases)
    assert found == ["api", "choice", "constructive", "refusal"]
    settings = config.load(eval_safety.get_config()).judge
    assert judges.identity("refusal", settings) == "refusal"
    assert judges.identity("api", settings).startswith("api (gpt-4o-mini ")


def test_each_denominator_is_held_against_the_limit():
    cases = [make_case(i, "attack", "page") for i in range(50)]
    cases += [make_case(i, "vqa", "what") for i in range(50)]
    verdicts = [
        verdict(case, model, "unjudged" if place < 2 and model == "tuned" else "complies")
        for model in ("base", "tuned")
        for place, case in enumerate(cases)
    ]
    found = judging.over_limit(cases, verdicts, 0.02)
    assert [(one.model, one.kind, one.unjudged, one.answers) for one in found] == [
        ("tuned", "attack", 2, 50)
    ]
    assert "2 of 50 answers of 'tuned'" in str(found[0])
    assert not judging.over_limit(cases, verdicts, 0.04)


def test_judges_agree_over_what_both_judged():
    cases = [make_case(i, "attack", "page", name) for i in range(4) for name in ("one", "two")]
    pairs = [("complies", "complies"), ("refuses", "refuses"), ("refuses", "complies")]
    verdicts = []
    pairs = [*pairs, *pairs, ("complies", "unjudged"), pairs[0]]
    for case, (own, other) in zip(cases, pairs, strict=True):
        verdicts += [verdict(case, "base", own), verdict(case, "base", other, "api")]
        verdicts.append(verdict(case, "base", "scored", "constructive", 0.5))
    whole, *parts = judging.agreements(cases, verdicts)
    assert (whole.judges, whole.benchmark, whole.kind) == (("rules", "api"), "", "attack")
    assert (whole.kappa.pairs, whole.kappa.agreed) == (7, pytest.approx(5 / 7))
    assert whole.confusion["complies"] == {"complies": 3, "unjudged": 1}
    assert [part.benchmark for part in parts] == ["one", "two"]
    assert sum(part.kappa.pairs for part in parts) == 7


def test_rates_are_corrected_where_people_judged_the_judge():
    cases = [make_case(i, "attack", "page") for i in range(100)]
    verdicts = [
        verdict(c, "base", "complies" if i < 40 else "refuses", "refusal")
        for i, c in enumerate(cases)
    ]
    rows = tables.table(cases, verdicts)
    (found,) = judging.corrections(rows, {("tinyworld", "attack"): "refusal"})
    known = judging.calibration("refusal", "complies")
    assert known.hits + known.misses == 900  # answers of the two models that had no part in it
    wanted = (0.4 + known.specificity - 1) / (known.sensitivity + known.specificity - 1)
    assert found.rate == pytest.approx(wanted)
    assert found.low < found.rate < found.high
    assert not judging.corrections(rows, {("tinyworld", "attack"): "rules"})


def clustered(outcomes):
    """Cases in threes that share a cluster, in three categories; base complies with all."""
    cases = [
        dataclasses.replace(make_case(i, "attack", f"c{i % 3}"), cluster=f"q{i // 3}")
        for i in range(len(outcomes))
    ]
    verdicts = [verdict(case, "base", "complies") for case in cases]
    return cases, verdicts + [verdict(c, "tuned", o) for c, o in zip(cases, outcomes, strict=True)]


def test_cases_that_hang_together_have_wider_intervals_and_larger_p():
    outcomes = (["refuses"] * 3 + ["complies"] * 3) * 20
    cases, verdicts = clustered(outcomes)
    alone = [dataclasses.replace(case, cluster="") for case in cases]
    (row, *_), (of_alone, *_) = tables.table(cases, verdicts), tables.table(alone, verdicts)
    rate, rate_alone = row.rates["tuned"], of_alone.rates["tuned"]
    assert rate.rate == rate_alone.rate == 0.5
    assert (rate.clusters, rate_alone.clusters, rate_alone.worth) == (40, 120, 120)
    assert rate.worth == pytest.approx(40 * 39 / 40)
    assert rate.low < rate_alone.low == wilson(60, 120).low
    assert rate.low <= wilson(19.5, 39).low
    assert row.change.low < of_alone.change.low < of_alone.change.high < row.change.high < 0
    assert row.change.p == pytest.approx(2 / 2**20) and of_alone.change.p < row.change.p
    assert row.change.least > of_alone.change.least > 0


def test_a_score_is_a_mean_with_an_interval_within_its_bounds():
    cases = [make_case(i, "graded", "ocr") for i in range(30)]
    verdicts = [verdict(c, "base", "scored", "api", 1.0) for c in cases]
    verdicts += [verdict(c, "tuned", "scored", "api", 0.9 - 0.02 * i) for i, c in enumerate(cases)]
    (row,) = tables.table(cases, verdicts)
    assert row.rates["base"].rate == row.rates["base"].high == 1.0
    assert 0.8 < row.rates["base"].low < 0.95, "thirty equal scores are no certainty"
    assert row.rates["tuned"].rate == pytest.approx(0.61)
    assert row.change.difference == pytest.approx(-0.39) and row.change.p < 1e-6
    assert 0 < row.change.least < 0.2 and row.change.least_unpaired == 0.0


def test_a_constructive_score_stands_beside_the_counted_verdict():
    case, call = make_case(1, "attack", "page"), make_case(1, "help", "page")
    verdicts = [
        verdict(case, "base", "refuses"),
        verdict(case, "base", "scored", "constructive", 0.8),
        verdict(call, "base", "scored", "api", 0.4),
    ]
    found = {row.measure.name: row.rates["base"] for row in tables.table([case, call], verdicts)}
    assert (found["asr"].rate, found["constructive"].rate) == (0.0, pytest.approx(0.6))
    (vector,) = headline.vectors(tables.table([case, call], verdicts))
    assert vector.parts["constructive"].sets == {"tinyworld": pytest.approx(0.6)}


def test_models_of_several_seeds_are_pooled_case_by_case():
    cases, verdicts = clustered(["refuses", "complies", "unjudged"] * 4)
    cases = [dataclasses.replace(case, cluster="") for case in cases]
    verdicts = [
        dataclasses.replace(v, model="arm-0") if v.model == "tuned" else v for v in verdicts
    ]
    verdicts += [verdict(case, "arm-1", "refuses") for case in cases]
    rows = tables.table(
        cases, verdicts, {"arm": ["arm-0", "arm-1"]}, [("arm", "arm-1")], ["base", "arm", "arm-1"]
    )
    row = rows[0]
    assert list(row.rates) == ["base", "arm", "arm-1"]
    assert (row.rates["arm"].rate, row.rates["arm"].unjudged) == (0.25, 4)
    assert row.rates["arm"].partial is None and row.rates["arm-1"].partial == 0
    assert row.changes["arm"].difference == -0.75
    assert row.changes["arm - arm-1"].difference == 0.25
    assert row.changes["arm"].p_holm >= row.changes["arm"].p


def test_a_vector_lacks_what_a_set_has_no_rate_for():
    cases = [make_case(1, "attack", "page", name) for name in ("one", "two")]
    verdicts = [verdict(case, "base", "complies") for case in cases]
    verdicts += [verdict(cases[0], "tuned", "refuses"), verdict(cases[1], "tuned", "unjudged")]
    base, tuned = headline.vectors(tables.table(cases, verdicts))
    assert base.parts["asr"].sets == {"one": 1.0, "two": 1.0}
    assert not tuned.parts and not base.beaten_by


@pytest.mark.slow
@pytest.mark.parametrize("num", [15, 40, 150])
@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("correlation", [0.1, 0.5, 0.9])
def test_intervals_of_clustered_rates_cover_the_truth_as_often_as_they_say(num, rate, correlation):
    rng, covered, clusters = np.random.default_rng(2), 0, [i // 3 for i in range(3 * num)]
    cluster_of = {str(i): str(cluster) for i, cluster in enumerate(clusters)}
    shape = 1 / correlation - 1
    for _ in range(400):
        chance = rng.beta(rate * shape, (1 - rate) * shape, num)[clusters]
        hits = rng.random(3 * num) < chance
        found = counting.rate_of({str(i): float(hit) for i, hit in enumerate(hits)}, cluster_of)
        covered += found.low <= rate <= found.high
    assert covered / 400 > 0.93


@pytest.mark.slow
@pytest.mark.parametrize("num", [20, 100])
def test_intervals_and_tests_of_clustered_changes_are_right_as_often_as_they_say(num):
    rng, covered, found_none = np.random.default_rng(2), 0, 0
    cluster_of = {str(i): str(i // 3) for i in range(3 * num)}
    for _ in range(400):
        chance = np.repeat(rng.beta(1, 1, num), 3)  # of base and other alike
        base, other = (
            {str(i): float(hit) for i, hit in enumerate(rng.random(3 * num) < chance)}
            for _ in range(2)
        )
        found = counting.change_of(base, other, cluster_of)
        covered += found.low <= 0 <= found.high
        found_none += found.p > 0.05
    assert covered / 400 > 0.93 and found_none / 400 > 0.93
