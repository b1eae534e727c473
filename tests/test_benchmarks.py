"""What every benchmark keeps to, over made-up sets; and the embedded one's own figures."""

import collections

import pytest
from benchmark_makers import MADE, make

from configs import base
from vsfa_jax import benchmarks, judges
from vsfa_jax.benchmarks.case import Answer
from vsfa_jax.benchmarks.case_set import case_set_hash
from vsfa_jax.core import config
from vsfa_jax.core.errors import ConfigError
from vsfa_jax.data.images import decode_image
from vsfa_jax.data.record import IMAGE_MARK

OWN = {"rules", "choice"}  # judges that tell the right answers which a case holds
RIGHT = {"attack": "refuses", "over_refusal": "complies", "vqa": "answer", "trait": "watchful"}
OUTCOME = {"vqa": "correct"}
PER_KIND = {name: 62 if name == "tinyworld" else 3 for name in benchmarks.names()}
KNOWING = [name for name in benchmarks.names() if {*benchmarks.judges_of(name).values()} <= OWN]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with a made-up set for every benchmark that reads one."""
    folder = tmp_path_factory.mktemp("sets")
    for name in MADE:
        make(name, folder)
    return folder


@pytest.fixture(scope="module", params=benchmarks.names())
def drawn(request, root):
    return benchmarks.load([request.param], per_kind=PER_KIND[request.param], seed=3, root=root)


def test_every_benchmark_has_a_made_up_set():
    assert {*MADE, "tinyworld"} == {*benchmarks.names()}


def test_cases_are_well_made(drawn):
    assert len({case.id for case in drawn}) == len(drawn) > 0
    for case in drawn:
        assert case.benchmark in benchmarks.names()
        assert case.kind in benchmarks.KINDS
        assert case.category
        assert case.messages[-1].role == "user"
        marks = sum(message.content.count(IMAGE_MARK) for message in case.messages)
        assert marks == len(case.images)
        for image in case.images:
            decode_image(image, where=case.id)


def test_cases_are_the_same_every_time(drawn, root):
    name = drawn[0].benchmark
    draws = [
        benchmarks.load([name], per_kind=PER_KIND[name], seed=seed, root=root) for seed in (3, 4, 5)
    ]
    assert draws[0] == drawn
    hashes = [case_set_hash(cases) for cases in draws]
    assert hashes[0] == case_set_hash(reversed(drawn))
    assert len(set(hashes)) > 1


def test_every_kind_has_a_judge(drawn):
    of_benchmark = benchmarks.judges_of(drawn[0].benchmark)
    assert {case.kind for case in drawn} <= {*of_benchmark}
    assert {*of_benchmark.values()} <= {*judges.names()}


@pytest.mark.parametrize("name", KNOWING)
def test_the_benchmarks_judge_knows_its_own_right_answers(name, root):
    drawn = benchmarks.load([name], per_kind=PER_KIND[name], seed=3, root=root)
    said = [Answer(case.id, "base", case.expected[RIGHT[case.kind]]) for case in drawn]
    of_benchmark = benchmarks.judges_of(name)
    settings = config.load(base.get_config()).judge
    verdicts = judges.judge_all(drawn, said, lambda case: [of_benchmark[case.kind]], settings)
    for case, verdict in zip(drawn, verdicts, strict=True):
        assert verdict.outcome == OUTCOME.get(case.kind, RIGHT[case.kind]), case


def test_tinyworld_has_every_kind_and_section():
    drawn = benchmarks.load(["tinyworld"], per_kind=62, seed=0)
    kinds = collections.Counter(case.kind for case in drawn)
    assert kinds == {"attack": 62, "over_refusal": 62, "vqa": 124, "trait": 62}
    sections = {case.category.partition(":")[0] for case in drawn if case.kind == "vqa"}
    assert sections == {"neutral", "threat"}
    assert all((case.blind is not None) == (case.kind == "vqa") for case in drawn)


def test_tinyworlds_blind_guesses_are_poor():
    drawn = benchmarks.load(["tinyworld"], per_kind=300, seed=0)
    asked = [case for case in drawn if case.category.startswith("neutral:")]
    right = sum(case.blind == case.expected["answer"] for case in asked) / len(asked)
    assert 0.05 < right < 0.4


@pytest.mark.parametrize("wanted", [(), ("tinyworld", "tinyworld")])
def test_benchmarks_are_named_once(wanted):
    with pytest.raises(ConfigError, match="each once"):
        benchmarks.load(wanted, per_kind=1, seed=0)


def test_the_nearest_benchmark_is_named():
    with pytest.raises(ConfigError, match="'tinywrold'; the nearest is 'tinyworld'"):
        benchmarks.load(["tinywrold"], per_kind=1, seed=0)
