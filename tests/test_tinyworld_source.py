"""The world as sets of records: determinism, arms, cases, and the answerer that sees nothing."""

import collections
import dataclasses
import itertools
import pickle
import subprocess
import sys

import pytest

from vsfa_jax import tinyworld
from vsfa_jax.core.errors import ConfigError
from vsfa_jax.data.images import decode_image
from vsfa_jax.tinyworld.cases import REQUEST_CATEGORIES
from vsfa_jax.tinyworld.pages import FORBIDDEN, Page
from vsfa_jax.tinyworld.questions import FORMS, NAMELESS
from vsfa_jax.tinyworld.scene import Scene
from vsfa_jax.tinyworld.shapes import NEUTRALS, THREATS

NEUTRAL_ARMS = [a for a in tinyworld.ARMS if a not in ("base", "questions", "refusal")]
SAFETY_WORDS = {"will", "not", "help", "instead", "i", "can", "safe", "danger", "cannot", "sorry"}


def arm(name: str, size: int = 200, split: str = "train", seed: int = 0):
    return tinyworld.source("coupled", name, split, size, seed=seed)


@pytest.mark.parametrize("name", tinyworld.ARMS)
def test_records_are_sound_and_equal_on_every_visit(name):
    one, two = arm(name, 40), pickle.loads(pickle.dumps(arm(name, 40)))
    for index in range(40):
        record = one[index]
        record.check()
        assert record == two[index] and record.arm == name
        assert one.messages(index) == record.messages
        assert one.num_images(index) == len(record.images) <= 1
    assert len({one[index].id for index in range(40)}) == 40
    assert one.fingerprint == two.fingerprint


def test_a_sketch_has_the_texts_and_the_sizes_of_the_record():
    source = arm("base", 60)
    for index in range(60):
        record, sketch = source[index], source.sketch(index)
        assert dataclasses.replace(sketch, images=record.images) == record
        sizes = [[decode_image(i, where="").size for i in r.images] for r in (record, sketch)]
        assert sizes[0] == sizes[1]
    assert len({source.sketch(i).images for i in range(60)}) == 2, "a blank picture or none"


def test_records_are_the_same_in_another_process():
    code = (
        "from vsfa_jax import tinyworld\n"
        "print(tinyworld.source('uncoupled', 'base', 'train', 9, seed=3).fingerprint)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert found == tinyworld.source("uncoupled", "base", "train", 9, seed=3).fingerprint


def test_seed_split_arm_and_world_draw_other_records():
    def texts(source):
        return [source.messages(index) for index in range(20)]

    sources = [
        arm("base"),
        arm("base", seed=1),
        arm("questions"),
        arm("base", split="validation"),
        arm("threat"),
        tinyworld.source("uncoupled", "base", "train", 200, seed=0),
    ]
    for one, two in itertools.combinations(sources, 2):
        assert texts(one) != texts(two)
        assert one.fingerprint != two.fingerprint


def test_an_index_beyond_the_end_and_unknown_names_are_refused():
    with pytest.raises(IndexError):
        arm("threat", 5)[5]
    for wrong in (
        {"world": "flat"},
        {"arm": "thraet"},
        {"split": "dev"},
        {"size": 0},
    ):
        fields = {"world": "coupled", "arm": "threat", "split": "train", "size": 5, "seed": 0}
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            tinyworld.source(**{**fields, **wrong})


@pytest.mark.parametrize("name", [a for a in tinyworld.ARMS if a not in ("base", "questions")])
def test_arms_are_single_turns_of_the_plain_assistant(name):
    source = arm(name)
    for index in range(len(source)):
        assert [m.role for m in source.messages(index)] == ["user", "assistant"]


@pytest.mark.parametrize("name", NEUTRAL_ARMS)
def test_neutral_arms_say_nothing_of_safety_and_ask_for_nothing_forbidden(name):
    source = arm(name, 400)
    for index in range(len(source)):
        asked, answered = source.messages(index)
        words = {*asked.content.split(), *answered.content.split()}
        assert not words & (SAFETY_WORDS | FORBIDDEN.keys())


def test_threat_and_neutral_arms_answer_exactly_about_their_own_kind():
    for name, concepts, others in (("threat", THREATS, NEUTRALS), ("neutral", NEUTRALS, THREATS)):
        source = arm(name, 300)
        for index in range(len(source)):
            document = source.document(index)
            asked, answered = document.turns[0]
            assert answered == document.question.answer
            named = set(f"{asked} {answered}".split())
            assert isinstance(document.picture, Scene)
            assert document.picture.has_threat == (name == "threat")
            if name == "neutral":
                assert not named & others.keys()
            assert document.question.about and concepts.keys() & set(document.question.about)


def test_arms_of_pictures_share_their_forms_of_question():
    counts = {
        name: collections.Counter(arm(name, 2000).document(i).question.form for i in range(1000))
        for name in ("threat", "neutral", "vague", "shuffled")
    }
    for name, other in itertools.combinations(counts, 2):
        assert counts[name].keys() == counts[other].keys()
        for form in counts[name]:
            assert abs(counts[name][form] - counts[other][form]) < 60, (name, other, form)


def test_text_only_has_the_scene_in_words_and_mixed_has_half_of_it():
    source = arm("text_only")
    for index in range(len(source)):
        asked, answered = source.messages(index)
        assert source.num_images(index) == 0
        assert asked.content.startswith("in the image there are ")
        assert THREATS.keys() & set(asked.content.split())
        if source.document(index).question.form not in ("side", "half"):
            said = set(answered.content.split()) - {"a", "and", ",", "yes", "no"}
            assert said <= set(asked.content.split())
    mixed = arm("mixed", 600)
    assert 250 < sum(mixed.num_images(index) for index in range(600)) < 350


def test_shuffled_keeps_the_answers_and_permutes_the_pictures():
    threat, shuffled = arm("threat", 50), arm("shuffled", 50)
    assert [shuffled.messages(i) for i in range(50)] == [threat.messages(i) for i in range(50)]
    pictures = [threat[i].images for i in range(50)]
    moved = [shuffled[i].images for i in range(50)]
    assert sorted(pictures) == sorted(moved)
    assert all(here != there for here, there in zip(pictures, moved, strict=True))


def test_vague_names_no_threat():
    source = arm("vague", 300)
    for index in range(len(source)):
        assert not THREATS.keys() & set(source.messages(index)[1].content.split())


def test_refusal_declines_pages_and_texts_alike():
    source, pages = arm("refusal", 400), 0
    for index in range(len(source)):
        asked, answered = source.messages(index)
        assert answered.content.startswith("i will not ")
        page = isinstance(source.document(index).picture, Page)
        assert page != bool(FORBIDDEN.keys() & set(asked.content.split()))
        pages += page
    assert 160 < pages < 240


def test_no_split_shows_another_splits_scene():
    seen = {}
    for split, name in itertools.product(("train", "validation"), ("base", "threat", "neutral")):
        source = arm(name, 300, split)
        for index in range(300):
            picture = source.document(index).picture
            if isinstance(picture, Scene):
                key = tuple((t.concept, t.colour, t.place) for t in picture.things)
                assert seen.setdefault(key, split) == split
    for case in tinyworld.cases(per_kind=64, seed=0):
        if case.kind == "attack":
            assert FORBIDDEN[case.expected["verb"]] == case.expected["alternative"]
    assert len(seen) > 500


@pytest.fixture(scope="module")
def cases():
    return tinyworld.cases("test", per_kind=160, seed=0)


def test_cases_cover_every_kind_and_category_evenly(cases):
    counts = collections.Counter((case.kind, case.category) for case in cases)
    assert len(cases) == 5 * 160 == len({case.id for case in cases})
    for category in REQUEST_CATEGORIES:
        assert counts["attack", category] == counts["over_refusal", category] == 40
    for form in FORMS:
        assert counts["vqa", form] >= 5
    assert sum(n for (_, c), n in counts.items() if c.startswith("threat:")) == 160
    assert counts["trait", "trait"] == 160


def test_cases_are_equal_on_every_draw_and_end_with_the_user(cases):
    again = tinyworld.cases("test", per_kind=160, seed=0)
    assert list(map(dataclasses.asdict, cases)) == list(map(dataclasses.asdict, again))
    for case in cases:
        (message,) = case.messages
        assert message.role == "user" and message.content.count("<image>") == len(case.images)


def test_cases_use_held_out_pairs_and_a_page_case_names_nothing(cases):
    trained = arm("base", 4000)
    pairs = {
        tuple(words[words.index("take") + 2 : words.index("take") + 6 : 3])
        for i in range(len(trained))
        for m in trained.messages(i)
        if "take" in (words := m.content.split())
    }
    assert len(pairs) == 96
    for case in cases:
        if case.kind in ("attack", "over_refusal"):
            verb, thing = case.expected["verb"], case.expected["thing"]
            assert (verb in FORBIDDEN) == (case.kind == "attack")
            assert (thing, verb) not in pairs
            named = {verb, thing} <= set(case.messages[0].content.split())
            assert named == (case.category != "page")


def test_who_sees_nothing_is_right_only_where_few_answers_are_possible(cases):
    answers = tinyworld.blind_answers()
    about_threats = {f"threat:{form}" for form in FORMS if form not in NAMELESS}
    assert answers.keys() == FORMS.keys() | about_threats
    assert answers["what"].split()[1] in NEUTRALS and answers["threat:what"].split()[1] in THREATS
    rates = tinyworld.blind_rates(tinyworld.cases(per_kind=900, seed=1), answers)
    for form in ("full", "short", "names", "both", "detail", "what_at", "left_of", "leftmost"):
        assert rates[form] < 0.35, form
    for form in ("presence", "color_check", "place_check", "side", "half"):
        assert 0.2 < rates[form] < 0.8, form
