"""Every form's answer, recomputed from the scene by code that shares nothing with the forms."""

import collections
import random
import re

import pytest

from vsfa_jax.tinyworld import scene
from vsfa_jax.tinyworld.questions import FORMS, NAMELESS, Question, ask
from vsfa_jax.tinyworld.scene import COLOURS, Scene, Thing
from vsfa_jax.tinyworld.shapes import NEUTRALS, SHAPES, THREATS

WORDS = ["none", "one", "two", "three", "four"]


def place(thing: Thing) -> str:
    """Where a thing's centre lies on the canvas."""
    middle = scene.SIZE / 2
    row = "top" if thing.y < middle else "bottom"
    return f"{row} {'left' if thing.x < middle else 'right'}"


def by(things: list[Thing], **wanted: str) -> Thing:
    """The one thing with these attributes."""
    (found,) = [t for t in things if all(getattr(t, k) == v for k, v in wanted.items())]
    return found


def at(things: list[Thing], where: str) -> Thing:
    (found,) = [t for t in things if place(t) == where]
    return found


def a(thing: Thing) -> str:
    return f"a {thing.concept}"


def beyond(things: list[Thing], name: str, direction: str) -> str:
    """The one thing that lies wholly on a side of the named thing, across the middle."""
    mark, middle = by(things, concept=name), scene.SIZE / 2
    sides = {
        "left of": lambda t: t.x < middle < mark.x,
        "right of": lambda t: mark.x < middle < t.x,
        "above": lambda t: t.y < middle < mark.y,
        "below": lambda t: mark.y < middle < t.y,
    }
    (found,) = [t for t in things if sides[direction](t)]
    return a(found)


def extreme(things: list[Thing], word: str) -> str:
    """The thing at an end of an ordering; it must lead by at least five pixels."""
    keys = {
        "largest": lambda t: -t.size,
        "smallest": lambda t: t.size,
        "leftmost": lambda t: t.x - t.size / 2,
        "rightmost": lambda t: -(t.x + t.size / 2),
        "topmost": lambda t: t.y - t.size / 2,
        "lowest": lambda t: -(t.y + t.size / 2),
    }
    first, second, *_ = sorted(things, key=keys[word])
    assert keys[word](second) - keys[word](first) >= 5
    return a(first)


def yes(right: bool) -> str:
    return "yes" if right else "no"


def size_word(thing: Thing) -> str:
    assert not 21 <= thing.size <= 25
    return "small" if thing.size < 21 else "large"


RULES = {
    r"what is in the image \?": lambda ts: a(*ts),
    r"what is at the (\w+ \w+) \?": lambda ts, where: a(at(ts, where)),
    r"what is (left of|right of|above|below) the (\w+) \?": lambda ts, d, n: beyond(ts, n, d),
    r"what is the background \?": None,
    r"what is the (\w+) thing \?": extreme,
    r"what is (\w+) \?": lambda ts, colour: a(by(ts, colour=colour)),
    r"where is the (\w+) thing \?": lambda ts, colour: place(by(ts, colour=colour)),
    r"where is the (\w+) \?": lambda ts, name: place(by(ts, concept=name)),
    r"is the (\w+) on the left or on the right \?": lambda ts, n: place(by(ts, concept=n)).split()[
        1
    ],
    r"is the (\w+) at the top or at the bottom \?": lambda ts, n: place(by(ts, concept=n)).split()[
        0
    ],
    r"how many things are there \?": lambda ts: WORDS[len(ts)],
    r"how many (\w+) things are there \?": lambda ts, c: WORDS[[t.colour for t in ts].count(c)],
    r"which color is the (\w+) \?": lambda ts, name: by(ts, concept=name).colour,
    r"which color is at the (\w+ \w+) \?": lambda ts, where: at(ts, where).colour,
    r"is there a (\w+) \?": lambda ts, name: yes(name in {t.concept for t in ts}),
    r"is the (\w+) at the (\w+ \w+) \?": lambda ts, n, w: yes(place(by(ts, concept=n)) == w),
    r"is the (\w+) small or large \?": lambda ts, name: size_word(by(ts, concept=name)),
    r"is the (\w+) (\w+) \?": lambda ts, n, c: yes(by(ts, concept=n).colour == c),
    r"name both things": lambda ts: " and ".join(map(a, ts)),
    r"list the things": lambda ts: " , ".join(t.concept for t in ts),
    r"describe the image briefly": lambda ts: " and ".join(f"a {t.colour} {t.concept}" for t in ts),
    r"describe the image fully": lambda ts: " , ".join(
        f"{t.colour} {t.concept} {place(t)}" for t in ts
    ),
    r"describe the (\w+)": lambda ts, n: f"{by(ts, concept=n).colour} , {place(by(ts, concept=n))}",
}


def right_answer(shown: Scene, text: str) -> str:
    """The answer to a question as a reader of its words would work it out."""
    reading_order = sorted(shown.things, key=lambda t: (t.y >= 32, t.x >= 32))
    for pattern, rule in RULES.items():
        match = re.fullmatch(pattern, text)
        if match:
            return rule(reading_order, *match.groups()) if rule else shown.background
    raise AssertionError(f"nobody understands {text!r}")


def drawn(form: str, threat: bool, count: int) -> list[tuple[Scene, Question]]:
    rng, found = random.Random(f"{form}{threat}"), []
    while len(found) < count:
        shown = scene.sample(rng, "train", threat)
        question = FORMS[form].ask(shown, rng)
        if question is not None:
            found.append((shown, question))
    return found


@pytest.mark.parametrize("form", FORMS)
def test_answers_are_right(form):
    for threat in (False, True):
        for shown, question in drawn(form, threat, 60):
            assert question.form == form
            assert question.answer == right_answer(shown, question.text), (shown, question)


@pytest.mark.parametrize("form", FORMS)
def test_answers_are_short_and_vague_ones_keep_threats_to_themselves(form):
    for _, question in drawn(form, True, 60):
        assert 1 <= len(question.answer.split()) <= (20 if form in ("full", "names") else 7)
        assert bool(question.about) == (form not in NAMELESS)
        if question.is_about_threat:
            assert not THREATS.keys() & set(question.vague.split())
    for _, question in drawn(form, False, 60):
        assert not question.is_about_threat


def test_a_vague_description_stays_exact_about_neutral_things():
    things = (Thing("knife", "red", 0, 16, 16, 20), Thing("ball", "blue", 3, 48, 48, 20))
    question = FORMS["full"].ask(Scene(things, "sand"), random.Random(0))
    assert question.answer == "red knife top left , blue ball bottom right"
    assert question.vague == "something , blue ball bottom right"


def test_no_form_is_asked_where_the_scene_does_not_settle_it():
    rng = random.Random(0)
    alike = Scene((Thing("cup", "red", 0, 16, 16, 22), Thing("ball", "red", 1, 48, 18, 23)), "sand")
    for form in ("what", "what_color_thing", "where_color", "size", "largest", "above", "topmost"):
        assert FORMS[form].ask(alike, rng) is None, form
    with pytest.raises(ValueError, match="no form"):
        ask(alike, rng, {"what": FORMS["what"]})


def test_the_mixture_has_every_form():
    rng = random.Random(0)
    forms = collections.Counter(
        ask(scene.sample(rng, "train", n % 2 == 0), rng).form for n in range(3000)
    )
    assert len(FORMS) >= 20 and forms.keys() == FORMS.keys()
    assert min(forms.values()) > 3000 / 200  # each is learned from a few hundred at least


def test_yes_and_no_are_equally_likely():
    for form in ("presence", "color_check", "place_check"):
        yeses = sum(question.answer == "yes" for _, question in drawn(form, False, 400))
        assert 150 < yeses < 250, form


def test_the_world_is_as_large_as_it_says():
    assert len(THREATS) >= 16 and len(NEUTRALS) >= 16 and not THREATS.keys() & NEUTRALS.keys()
    assert len(COLOURS) == 6 and len(SHAPES) == len(THREATS) + len(NEUTRALS)
