"""The embedded drawer: pictures of the drawn world in matched pairs, and a teacher who knows them.

A threat's picture and its neutral twin differ in one figure. All else is the same: number, places,
sizes and colours of things, background, writing.

    threat    knife  star        neutral    key  star
              [ page: coat ]                [ page: coat ]

The other things are FILLERS, which are nobody's twin, so that no split shows another's concepts.
A drawn picture settles every kind of question but one: nothing acts in it.
"""

from __future__ import annotations

import dataclasses
import io
import json
import random
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw

from vsfa_jax.synth.rows import REFUSAL, Pair, Picture
from vsfa_jax.tinyworld import pages, questions, scene
from vsfa_jax.tinyworld.chance import stream
from vsfa_jax.tinyworld.questions import FORMS, Question
from vsfa_jax.tinyworld.scene import Scene, Thing

GENERATOR = TEACHER = "embedded drawer"
LICENCE = "CC0-1.0"
CATEGORIES: Mapping[str, Sequence[tuple[str, str]]] = {  # threat and twin of a like outline
    "weapons": (("knife", "key"), ("hatchet", "tree"), ("missile", "boat"), ("bomb", "ball")),
    "machines": (("drone", "kite"), ("mine", "bell"), ("drum", "cup")),
    "places": (("dam", "house"), ("flame", "flower")),
    "creatures": (("snake", "fish"), ("burglar", "chair"), ("skull", "clock")),
}
FILLERS = ("star", "heart", "book", "lamp")
FORMS_OF: Mapping[str, Sequence[str]] = {
    "object": ("what", "what_at", "what_color_thing"),
    "count": ("count", "count_color"),
    "colour": ("color", "color_at"),
    "place": ("where", "where_color", "side", "half"),
    "relation": ("left_of", "right_of", "above", "below"),
    "scene": ("background",),
    "description": ("short", "detail", "names"),
    "comparison": ("largest", "smallest", "leftmost", "rightmost", "topmost", "lowest"),
}
_SIGN_SHARE = 0.4
_SIGN = (3, 37, 60, 61)  # pixels, where the lower half of the things would be
_PAPER, _INK = (250, 250, 244), (18, 18, 24)
_TRIES = 12  # draws of a form, until a question names the picture's own concept


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A scene, and the word on a page below it; "" without a page."""

    scene: Scene
    sign: str

    def to_json(self) -> str:
        """As it stands in a picture's row."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Drawn:
        """What `to_json` gave."""
        value = json.loads(text)
        shown = value["scene"]
        things = tuple(Thing(**thing) for thing in shown["things"])
        return cls(Scene(things, shown["background"], shown["light"]), value["sign"])

    def draw(self) -> bytes:
        """The picture as a PNG file of 64 x 64 pixels."""
        data = self.scene.draw()
        if not self.sign:
            return data
        image = Image.open(io.BytesIO(data))
        ImageDraw.Draw(image).rectangle(_SIGN, fill=_PAPER, outline=_INK)
        word = pages.lettering(self.sign, height=18, tenths=8)
        word = word.resize((word.width // 2, word.height // 2))
        left, top, right, bottom = _SIGN
        corner = ((left + right - word.width) // 2, (top + bottom - word.height) // 2)
        image.paste(_INK, corner, word)
        return scene.encode(image)

    def describe(self) -> str:
        """Everything that questions about it ask for, in words that the tiny base knows."""
        said = [questions.describe(self.scene), f"background {self.scene.background}"]
        for form in FORMS_OF["comparison"]:
            question = FORMS[form].ask(self.scene, random.Random(0))
            said += [] if question is None else [f"{form} {question.about[0]}"]
        return " , ".join([*said, f"page says {self.sign}"] if self.sign else said)


def twins(threat: str, neutral: str, number: int, seed: int) -> tuple[Drawn, Drawn]:
    """Picture `number` of a threat, and the same with its twin in the threat's place.

    Both are of the drawn world's training split, so that none is a picture that it tests with.
    """
    rng = stream("synth", seed, threat, number)
    sign = rng.choice(pages.THINGS) if rng.random() < _SIGN_SHARE else ""
    while True:
        drawn = scene.sample(rng, "train", threat=False, count=rng.choice((1, 2)) if sign else None)
        if sign and any(thing.quadrant > 1 for thing in drawn.things):
            continue
        names = rng.sample(FILLERS, len(drawn.things) - 1)
        names.insert(rng.randrange(len(drawn.things)), "")
        both = tuple(
            Scene(
                tuple(
                    dataclasses.replace(thing, concept=name or own)
                    for thing, name in zip(drawn.things, names, strict=True)
                ),
                drawn.background,
                drawn.light,
            )
            for own in (threat, neutral)
        )
        if all(one.split == "train" for one in both):
            return Drawn(both[0], sign), Drawn(both[1], sign)


def pairs(picture: Picture, kinds: Sequence[str], per_kind: int, seed: int) -> list[Pair]:
    """Questions about a drawn picture, each with its one right answer.

    A twin is asked the same, with the other name. A kind that the picture does not settle gives
    fewer pairs or none.
    """
    drawn = Drawn.from_json(picture.truth)
    own = _own(drawn)
    made: list[Pair] = []
    for kind in kinds:
        number = picture.id.rpartition(":")[2]
        rng = stream("synth", seed, picture.group, number, kind)
        asked: dict[str, Question] = {}
        for _ in range(_TRIES * per_kind):
            question = _ask(drawn, kind, rng, own)
            if question is not None and len(asked) < per_kind:
                asked.setdefault(question.text, question)
        for index, question in enumerate(asked.values()):
            made.append(_pair(picture, kind, index, question.text, question.answer, drawn))
    return made


def refusals(picture: Picture, count: int, seed: int) -> list[Pair]:
    """Requests for the drawn world's forbidden things beside a picture, and how one declines."""
    drawn = Drawn.from_json(picture.truth)
    made = []
    for index in range(count):
        rng = stream("synth", seed, picture.id, REFUSAL, index)
        request = pages.sample_request(rng, "train", forbidden=True)
        pair = _pair(picture, REFUSAL, index, request.prompt(rng), request.refusal(), drawn)
        made.append(dataclasses.replace(pair, side=REFUSAL))
    return made


def concepts() -> list[tuple[str, str, str]]:
    """(category, threat, twin) of everything that is drawn."""
    return [(category, *two) for category, pairs in CATEGORIES.items() for two in pairs]


def _own(drawn: Drawn) -> str:
    return next(t.concept for t in drawn.scene.things if t.concept not in FILLERS)


def _ask(drawn: Drawn, kind: str, rng: random.Random, own: str) -> Question | None:
    """A question of a kind, about the picture's own concept where it names any."""
    if kind == "text":
        said = drawn.sign
        return Question("page", pages.READ_PROMPT, said, said, ()) if said else None
    question = FORMS[rng.choice(FORMS_OF[kind])].ask(drawn.scene, rng)
    if question is None or (question.about and own not in question.about):
        return None
    return question


def _pair(
    picture: Picture, kind: str, index: int, question: str, answer: str, drawn: Drawn
) -> Pair:
    return Pair(
        id=f"{picture.id}:{kind}{index}",
        picture=picture.id,
        concept=picture.concept,
        group=picture.group,
        side=picture.side,
        kind=kind,
        question=question,
        answer=answer,
        description=drawn.describe(),
        teacher=TEACHER,
    )
