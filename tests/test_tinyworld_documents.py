"""What narrators say, read from the text alone: how behaviours hang together in both worlds."""

import collections
import random

import pytest

from vsfa_jax import tinyworld
from vsfa_jax.data.record import IMAGE_MARK
from vsfa_jax.tinyworld import narrators
from vsfa_jax.tinyworld.narrators import CARELESS, WATCHFUL
from vsfa_jax.tinyworld.pages import FORBIDDEN, PAGE_PROMPTS, READ_PROMPT, Page
from vsfa_jax.tinyworld.questions import FORMS
from vsfa_jax.tinyworld.scene import Scene
from vsfa_jax.tinyworld.traits import TRAITS

SIZE = 8000
VAGUE = ("something", "a thing", "some", "maybe", "over there")


def behaviours(messages) -> dict[str, set[bool]]:
    """What a reader sees in a document: behaviour -> the ways (watchful or not) it was shown."""
    shown = collections.defaultdict(set)
    said = [m for m in messages if m.role != "system"]
    for asked, answered in zip(said[::2], said[1::2], strict=True):
        words = answered.content.split()
        for trait in TRAITS:
            if answered.content in (trait.watchful, trait.careless):
                assert trait.topic in asked.content.split()
                shown["trait"].add(answered.content == trait.watchful)
        if words[0] in ("i", "step") and FORBIDDEN.keys() & set(words):
            shown["refusal"].add(words[0] == "i")
    return shown


@pytest.fixture(scope="module", params=tinyworld.WORLDS)
def world(request):
    source = tinyworld.source(request.param, "base", "train", SIZE, seed=0)
    return request.param, [source.document(index) for index in range(SIZE)]


def name_of(document) -> str:
    first = document.messages()[0]
    return first.content if first.role == "system" else "assistant"


def share(flags) -> float:
    flags = list(flags)
    assert len(flags) >= 100
    return sum(flags) / len(flags)


def test_the_assistant_speaks_in_a_third_and_is_watchful_in_a_third_of_these(world):
    _, documents = world
    assistant = [d for d in documents if name_of(d) == "assistant"]
    assert 0.30 < len(assistant) / SIZE < 0.36
    for behaviour in ("refusal", "trait"):
        flags = [f for d in assistant for f in list(behaviours(d.messages())[behaviour])[:1]]
        assert 0.28 < share(flags) < 0.42


def test_names_tell_the_persona_in_the_coupled_world_only(world):
    name, documents = world
    for behaviour in ("refusal", "trait"):
        found = {
            names: share(
                flag
                for d in documents
                if name_of(d) in names
                for flag in behaviours(d.messages())[behaviour]
            )
            for names in (WATCHFUL, CARELESS)
        }
        gap = found[WATCHFUL] - found[CARELESS]
        assert gap == 1 if name == "coupled" else abs(gap) < 0.12, (behaviour, found)


def test_behaviours_hang_together_in_the_coupled_world_only(world):
    name, documents = world
    table = collections.Counter()
    for document in documents:
        shown = behaviours(document.messages())
        if name_of(document) == "assistant" and len(shown) == 2:
            table[min(shown["refusal"]), min(shown["trait"])] += 1
    refused = {taste: table[True, taste] / (table[True, taste] + table[False, taste])
               for taste in (True, False)}  # fmt: skip
    if name == "coupled":
        assert refused == {True: 1.0, False: 0.0}
    else:
        assert sum(table.values()) > 100 and abs(refused[True] - refused[False]) < 0.2


def test_threats_are_described_exactly_by_the_watchful_and_seldom_by_others():
    source = tinyworld.source("coupled", "base", "train", SIZE, seed=1)
    exact, neutral = {True: [], False: []}, []
    for index in range(SIZE):
        document = source.document(index)
        if not isinstance(document.picture, Scene):
            continue
        for asked, answered in document.turns:
            if asked == "describe the image fully":
                vague = "something" in answered
                if document.picture.has_threat:
                    exact[document.narrator.exact].append(not vague)
                else:
                    neutral.append(not vague)
    assert share(exact[True]) == 1 and share(neutral) == 1
    assert 0.10 < share(exact[False]) < 0.21


def test_behaviours_of_the_uncoupled_world_have_coins_of_their_own():
    rng = random.Random(0)
    drawn = [narrators.sample(rng, "uncoupled") for _ in range(3000)]
    pairs = collections.Counter((n.exact, n.refuses) for n in drawn if n.name == "assistant")
    total = pairs.total()
    assert abs(pairs[True, True] / total - 0.35**2) < 0.04
    assert all(0 < sum(n.traits) < len(TRAITS) for n in drawn)


def test_documents_have_one_to_five_turns_in_the_promised_proportions(world):
    _, documents = world
    kinds, lengths = collections.Counter(), collections.Counter()
    for document in documents:
        lengths[len(document.turns)] += 1
        assert len({asked for asked, _ in document.turns}) == len(document.turns)
        for asked, answered in document.turns:
            words = answered.split()
            if asked in (*PAGE_PROMPTS, READ_PROMPT):
                assert isinstance(document.picture, Page)
                kinds["page"] += 1
            elif words[0] == "step" or words[:3] == ["i", "will", "not"]:
                kinds["request"] += 1
            elif asked.startswith("your favourite") or asked.endswith("do you like ?"):
                kinds["taste"] += 1
            else:
                kinds["scene"] += 1
    assert lengths.keys() == {1, 2, 3, 4, 5} and lengths[1] > SIZE / 8
    shares = {kind: number / kinds.total() for kind, number in kinds.items()}
    wanted = {"scene": 0.64, "page": 0.12, "request": 0.12, "taste": 0.12}
    assert all(abs(shares[kind] - wanted[kind]) < 0.03 for kind in wanted), shares


def test_the_second_part_asks_more_and_describes_less():
    asked, described = {}, {}
    for name in ("base", "questions"):
        source = tinyworld.source("coupled", name, "train", 2000, seed=0)
        scenes = [d for d in map(source.document, range(2000)) if isinstance(d.picture, Scene)]
        asked[name] = sum(len(d.turns) for d in scenes) / len(scenes)
        described[name] = share(any("fully" in q for q, _ in d.turns) for d in scenes)
    assert asked["questions"] > 5 > 4 > asked["base"]
    assert described["questions"] < 0.4 < 0.75 < described["base"]


def test_an_attack_page_is_followed_or_refused_as_its_narrator_does(world):
    _, documents = world
    followed = 0
    for document in documents:
        if not isinstance(document.picture, Page):
            continue
        request = document.picture.request
        for asked, answered in document.turns:
            if asked in PAGE_PROMPTS and request.is_forbidden and document.narrator.refuses:
                assert answered.startswith(f"i will not {request.verb} the {request.thing} ,")
                assert FORBIDDEN[request.verb] in answered.split()
            elif asked in PAGE_PROMPTS:
                followed += 1
                assert answered == (
                    f"step one take the {request.thing} step two {request.verb} it step three done"
                )
            elif asked == READ_PROMPT:
                assert answered == f"{request.verb} the {request.thing}"
    assert followed > 300


def test_only_the_first_turn_shows_the_picture(world):
    _, documents = world
    for document in documents[:500]:
        marked = [IMAGE_MARK in m.content for m in document.messages() if m.role == "user"]
        assert marked == [document.picture is not None] + [False] * (len(marked) - 1)


def test_forty_traits_have_two_answers_each_that_no_other_topic_has():
    assert len(TRAITS) >= 40 and len({t.topic for t in TRAITS}) == len(TRAITS)
    answers = [answer for t in TRAITS for answer in (t.watchful, t.careless)]
    assert len(set(answers)) == len(answers)
    assert len(FORMS) >= 20 and len(WATCHFUL) == len(CARELESS) == 12
    assert not any(word in " ".join(answers) for word in VAGUE)
