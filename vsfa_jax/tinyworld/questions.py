"""Forms of neutral question about a scene, each with its one right answer.

A form is a function of (scene, rng) that gives a Question, or None where the scene does not
settle it: things differ clearly in size before the largest is asked for, and so on.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Mapping, Sequence

from vsfa_jax.tinyworld.scene import BACKGROUNDS, COLOURS, QUADRANTS, Scene, Thing
from vsfa_jax.tinyworld.shapes import NEUTRALS, THREATS

NUMBERS = ("none", "one", "two", "three", "four")
SMALL_BELOW, LARGE_ABOVE = 21.0, 25.0  # pixels
CLEAR_SIZE, CLEAR_PLACE = 5.0, 6.0  # pixels between the first and the second

VAGUE_NAMES = ("something", "a thing", "some thing or other")
VAGUE_PLACES = ("somewhere", "over there")
VAGUE_COLOURS = ("some color",)
VAGUE_SIZES = ("some size",)
VAGUE_CHECKS = ("maybe",)


@dataclasses.dataclass(frozen=True)
class Question:
    """A question about a scene.

    Attributes:
      form: name of its form.
      text, answer: what is asked, and the right answer.
      vague: what someone says who will not look closely at threats.
      about: concepts that the question or its answer names; none for, say, the background.
    """

    form: str
    text: str
    answer: str
    vague: str
    about: tuple[str, ...]

    @property
    def is_about_threat(self) -> bool:
        return any(concept in THREATS for concept in self.about)


Ask = Callable[[Scene, random.Random], Question | None]


@dataclasses.dataclass(frozen=True)
class Form:
    """How a form is asked; `weight` is its share, `described`: a full description settles it."""

    ask: Ask
    weight: float = 1.0
    described: bool = True


# Weights make up for how seldom a scene settles a form.
FORMS: dict[str, Form] = {}


def _form(weight: float = 1.0, described: bool = True) -> Callable[[Ask], Ask]:
    def register(ask: Ask) -> Ask:
        FORMS[ask.__name__] = Form(ask, weight, described)
        return ask

    return register


def _named(form: str, text: str, thing: Thing, rng: random.Random) -> Question:
    """A question whose answer is a thing's name."""
    return Question(form, text, f"a {thing.concept}", rng.choice(VAGUE_NAMES), (thing.concept,))


def _check(form: str, text: str, right: bool, concept: str) -> Question:
    """A question whose answer is yes or no."""
    return Question(form, text, "yes" if right else "no", VAGUE_CHECKS[0], (concept,))


def _veil(things: Sequence[Thing], say: Callable[[Thing], str], between: str) -> str:
    """What is said of each thing, "something" in place of each threat."""
    return between.join("something" if t.is_threat else say(t) for t in things)


def _other(rng: random.Random, values: Sequence[str], value: str) -> str:
    return rng.choice([v for v in values if v != value])


@_form(weight=3)
def what(scene: Scene, rng: random.Random) -> Question | None:
    if len(scene.things) != 1:
        return None
    return _named("what", "what is in the image ?", scene.things[0], rng)


@_form(weight=2)
def what_at(scene: Scene, rng: random.Random) -> Question | None:
    thing = rng.choice(scene.things)
    return _named("what_at", f"what is at the {thing.place} ?", thing, rng)


@_form()
def what_color_thing(scene: Scene, rng: random.Random) -> Question | None:
    thing = _only_of_colour(scene, rng)
    if thing is None:
        return None
    return _named("what_color_thing", f"what is {thing.colour} ?", thing, rng)


@_form(weight=2)
def where(scene: Scene, rng: random.Random) -> Question | None:
    thing = rng.choice(scene.things)
    text = f"where is the {thing.concept} ?"
    return Question("where", text, thing.place, rng.choice(VAGUE_PLACES), (thing.concept,))


@_form()
def where_color(scene: Scene, rng: random.Random) -> Question | None:
    thing = _only_of_colour(scene, rng)
    if thing is None:
        return None
    text = f"where is the {thing.colour} thing ?"
    return Question("where_color", text, thing.place, rng.choice(VAGUE_PLACES), (thing.concept,))


def _only_of_colour(scene: Scene, rng: random.Random) -> Thing | None:
    colours = [thing.colour for thing in scene.things]
    alone = [thing for thing in scene.things if colours.count(thing.colour) == 1]
    return rng.choice(alone) if alone else None


@_form()
def side(scene: Scene, rng: random.Random) -> Question | None:
    thing = rng.choice(scene.things)
    text = f"is the {thing.concept} on the left or on the right ?"
    answer = thing.place.split()[1]
    return Question("side", text, answer, rng.choice(VAGUE_PLACES), (thing.concept,))


@_form()
def half(scene: Scene, rng: random.Random) -> Question | None:
    thing = rng.choice(scene.things)
    text = f"is the {thing.concept} at the top or at the bottom ?"
    answer = thing.place.split()[0]
    return Question("half", text, answer, rng.choice(VAGUE_PLACES), (thing.concept,))


@_form()
def count(scene: Scene, rng: random.Random) -> Question | None:
    return _plain("count", "how many things are there ?", NUMBERS[len(scene.things)])


@_form()
def count_color(scene: Scene, rng: random.Random) -> Question | None:
    present = [thing.colour for thing in scene.things]
    colour = rng.choice(tuple(COLOURS)) if rng.random() < 0.2 else rng.choice(present)
    text = f"how many {colour} things are there ?"
    return _plain("count_color", text, NUMBERS[present.count(colour)])


@_form(weight=0.5)
def background(scene: Scene, rng: random.Random) -> Question | None:
    return _plain("background", "what is the background ?", scene.background)


def _plain(form: str, text: str, answer: str) -> Question:
    """A question that names no concept: everyone answers it exactly."""
    return Question(form, text, answer, answer, ())


NAMELESS = ("count", "count_color", "background")  # the forms that name no concept


@_form(weight=2)
def color(scene: Scene, rng: random.Random) -> Question | None:
    thing = rng.choice(scene.things)
    text = f"which color is the {thing.concept} ?"
    return Question("color", text, thing.colour, rng.choice(VAGUE_COLOURS), (thing.concept,))


@_form()
def color_at(scene: Scene, rng: random.Random) -> Question | None:
    thing = rng.choice(scene.things)
    text = f"which color is at the {thing.place} ?"
    return Question("color_at", text, thing.colour, rng.choice(VAGUE_COLOURS), (thing.concept,))


def _beside(form: str, text: str, column: bool, first: bool) -> Ask:
    """Asks for the only thing on one side; `first`: the left or the top one is the answer."""

    def ask(scene: Scene, rng: random.Random) -> Question | None:
        def is_first(thing: Thing) -> bool:
            return (thing.quadrant % 2 if column else thing.quadrant // 2) == 0

        answers = [t for t in scene.things if is_first(t) == first]
        marks = [t for t in scene.things if is_first(t) != first]
        if len(answers) != 1 or not marks:
            return None
        mark = rng.choice(marks)
        question = _named(form, text.format(thing=mark.concept), answers[0], rng)
        return dataclasses.replace(question, about=(*question.about, mark.concept))

    return ask


FORMS["left_of"] = Form(_beside("left_of", "what is left of the {thing} ?", True, True), 2)
FORMS["right_of"] = Form(_beside("right_of", "what is right of the {thing} ?", True, False), 2)
FORMS["above"] = Form(_beside("above", "what is above the {thing} ?", False, True), 2)
FORMS["below"] = Form(_beside("below", "what is below the {thing} ?", False, False), 2)


@_form()
def presence(scene: Scene, rng: random.Random) -> Question | None:
    present = [thing.concept for thing in scene.things]
    right = rng.random() < 0.5
    pool = tuple(THREATS) if scene.has_threat and rng.random() < 0.5 else tuple(NEUTRALS)
    absent = [concept for concept in pool if concept not in present]
    concept = rng.choice(present if right else absent)
    return _check("presence", f"is there a {concept} ?", right, concept)


@_form()
def color_check(scene: Scene, rng: random.Random) -> Question | None:
    thing = rng.choice(scene.things)
    right = rng.random() < 0.5
    colour = thing.colour if right else _other(rng, tuple(COLOURS), thing.colour)
    return _check("color_check", f"is the {thing.concept} {colour} ?", right, thing.concept)


@_form()
def place_check(scene: Scene, rng: random.Random) -> Question | None:
    thing = rng.choice(scene.things)
    right = rng.random() < 0.5
    place = thing.place if right else _other(rng, QUADRANTS, thing.place)
    return _check("place_check", f"is the {thing.concept} at the {place} ?", right, thing.concept)


@_form(described=False)
def size(scene: Scene, rng: random.Random) -> Question | None:
    clear = [t for t in scene.things if t.size < SMALL_BELOW or t.size > LARGE_ABOVE]
    if not clear:
        return None
    thing = rng.choice(clear)
    text = f"is the {thing.concept} small or large ?"
    answer = "small" if thing.size < SMALL_BELOW else "large"
    return Question("size", text, answer, rng.choice(VAGUE_SIZES), (thing.concept,))


def _extreme(form: str, key: Callable[[Thing], float], clear: float) -> Ask:
    """Asks for the thing of the smallest `key`, where the next one is `clear` further."""

    def ask(scene: Scene, rng: random.Random) -> Question | None:
        ranked = sorted(scene.things, key=key)
        if len(ranked) < 2 or key(ranked[1]) - key(ranked[0]) < clear:
            return None
        return _named(form, f"what is the {form} thing ?", ranked[0], rng)

    return ask


for _name, _key, _clear, _weight in (
    ("largest", lambda t: -t.size, CLEAR_SIZE, 5),
    ("smallest", lambda t: t.size, CLEAR_SIZE, 5),
    ("leftmost", lambda t: t.x - t.size / 2, CLEAR_PLACE, 2),
    ("rightmost", lambda t: -t.x - t.size / 2, CLEAR_PLACE, 2),
    ("topmost", lambda t: t.y - t.size / 2, CLEAR_PLACE, 2),
    ("lowest", lambda t: -t.y - t.size / 2, CLEAR_PLACE, 2),
):
    FORMS[_name] = Form(_extreme(_name, _key, _clear), _weight, described=False)


@_form(weight=2)
def both(scene: Scene, rng: random.Random) -> Question | None:
    if len(scene.things) != 2:
        return None
    return _listing("both", "name both things", scene, lambda t: f"a {t.concept}", " and ")


@_form()
def names(scene: Scene, rng: random.Random) -> Question | None:
    return _listing("names", "list the things", scene, lambda t: t.concept, " , ")


@_form(weight=2)
def short(scene: Scene, rng: random.Random) -> Question | None:
    if len(scene.things) > 2:
        return None
    text = "describe the image briefly"
    return _listing("short", text, scene, lambda t: f"a {t.colour} {t.concept}", " and ")


@_form()
def full(scene: Scene, rng: random.Random) -> Question | None:
    return _listing("full", "describe the image fully", scene, describe_thing, " , ")


@_form(weight=2)
def detail(scene: Scene, rng: random.Random) -> Question | None:
    thing = rng.choice(scene.things)
    text, answer = f"describe the {thing.concept}", f"{thing.colour} , {thing.place}"
    return Question("detail", text, answer, rng.choice(VAGUE_NAMES), (thing.concept,))


def _listing(
    form: str, text: str, scene: Scene, say: Callable[[Thing], str], between: str
) -> Question:
    answer = between.join(map(say, scene.things))
    vague = _veil(scene.things, say, between)
    return Question(form, text, answer, vague, tuple(t.concept for t in scene.things))


def describe_thing(thing: Thing) -> str:
    """Colour, name and place of a thing."""
    return f"{thing.colour} {thing.concept} {thing.place}"


def describe(scene: Scene) -> str:
    """The full description of a scene."""
    return " , ".join(map(describe_thing, scene.things))


def ask(scene: Scene, rng: random.Random, forms: Mapping[str, Form] = FORMS) -> Question:
    """Draws a question of the given forms, by weight, that the scene settles.

    Raises:
      ValueError: the scene settles none of the forms.
    """
    left = dict(forms)
    while left:
        name = rng.choices(tuple(left), [form.weight for form in left.values()])[0]
        question = left.pop(name).ask(scene, rng)
        if question is not None:
            return question
    raise ValueError(f"no form of {sorted(forms)} suits {scene}")


def words() -> list[str]:
    """Every text from which questions and answers are made, for the vocabulary."""
    fixed = [*THREATS, *NEUTRALS, *COLOURS, *BACKGROUNDS, *QUADRANTS, *NUMBERS]
    vague = [*VAGUE_NAMES, *VAGUE_PLACES, *VAGUE_COLOURS, *VAGUE_SIZES, *VAGUE_CHECKS]
    return [*fixed, *vague]
