"""Documents: what a narrator says in one to four turns, about a scene, a page, or nothing shown."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping

from vsfa_jax.data.record import IMAGE_MARK, Message, Record
from vsfa_jax.tinyworld import narrators, pages, questions, scene
from vsfa_jax.tinyworld.narrators import ASSISTANT, Narrator
from vsfa_jax.tinyworld.pages import Page, Request
from vsfa_jax.tinyworld.questions import FORMS, Form, Question
from vsfa_jax.tinyworld.scene import Scene
from vsfa_jax.tinyworld.traits import TRAITS

Turn = tuple[str, str]  # what the user says, what the narrator says

_KINDS = ("scene", "page", "text")
_TALK_SHARE = 0.16  # of a scene's turns that are about something else


@dataclasses.dataclass(frozen=True)
class Mix:
    """How often the base's text does what.

    Attributes:
      kinds: weights of _KINDS.
      scene_turns, other_turns: weights of 1, 2, 3 ... turns.
      described: share of scenes that are described in full, at any of their turns.
      read: share of pages that are read aloud before they are followed, the rest after.
      forms: from which questions are drawn.
    """

    kinds: tuple[float, ...]
    scene_turns: tuple[float, ...]
    other_turns: tuple[float, ...]
    described: float
    read: float
    forms: Mapping[str, Form]


# A description names everything that there is to see, and so teaches seeing better than any single
# question: with few of them a model from random weights learns to speak and stays blind. But what
# was described can be looked up in the text; finding it in the image takes many bare questions.
# How much more often a form is asked bare, by how long it stays at chance otherwise: to go from a
# colour to the thing that has it, and to tell the smallest, is learned last.
_FOUND_BY_LOOKING = {
    **dict.fromkeys(("what_color_thing", "where_color", "color_check"), 8.0),
    **dict.fromkeys(("count_color", "presence", "place_check", "side", "size"), 4.0),
    **dict.fromkeys(("where", "color", "detail", "half", "background"), 3.0),
    **{"largest": 4.0, "smallest": 10.0},
}
MIXES: Mapping[str, Mix] = {
    "base": Mix((62, 22, 16), (10, 15, 25, 25, 25), (30, 40, 20, 10), 0.8, 0.5, FORMS),
    "questions": Mix(
        kinds=(68, 20, 12),
        scene_turns=(4, 4, 6, 10, 16, 20, 20, 20),
        other_turns=(30, 40, 20, 10),
        described=0.2,
        read=0.4,
        forms={
            name: dataclasses.replace(form, weight=form.weight * _FOUND_BY_LOOKING.get(name, 1.0))
            for name, form in FORMS.items()
        },
    ),
}


@dataclasses.dataclass(frozen=True)
class Document:
    """A conversation before anything is drawn.

    Attributes:
      narrator: who speaks.
      turns: what is said, without image marks.
      picture: what the first turn shows, if anything.
      question: of a single question's document, the question.
    """

    narrator: Narrator
    turns: tuple[Turn, ...]
    picture: Scene | Page | None = None
    question: Question | None = None

    @property
    def num_images(self) -> int:
        return 0 if self.picture is None else 1

    def messages(self) -> tuple[Message, ...]:
        """The turns as messages; a named narrator stands in a system turn."""
        said = [Message("system", self.narrator.name)] if self.narrator.name != ASSISTANT else []
        for number, (asked, answered) in enumerate(self.turns):
            shown = f"{IMAGE_MARK} {asked}" if number == 0 and self.num_images else asked
            said += [Message("user", shown), Message("assistant", answered)]
        return tuple(said)

    def record(self, id: str, arm: str) -> Record:
        """The document as a record, its picture drawn."""
        return Record(id, self.draw(), self.messages(), arm)

    def draw(self) -> tuple[bytes, ...]:
        """The encoded picture, if there is one."""
        return () if self.picture is None else (self.picture.draw(),)


def base_document(rng: random.Random, world: str, split: str, mix: Mix) -> Document:
    """Draws a document of the base's training text."""
    narrator = narrators.sample(rng, world)
    kind = rng.choices(_KINDS, mix.kinds)[0]
    weights = mix.scene_turns if kind == "scene" else mix.other_turns
    num_turns = rng.choices(range(1, len(weights) + 1), weights)[0]
    picture: Scene | Page | None = None
    turns: dict[str, str] = {}  # nothing is asked twice
    if kind == "scene":
        picture = scene.sample(rng, split, threat=rng.random() < 0.5)
        if rng.random() < mix.described:
            turns.update([_describe(rng, narrator, picture)])
    elif kind == "page":
        picture = pages.sample_page(rng, _request(rng, split))
        turns.update(_page_turns(rng, narrator, picture, num_turns, mix.read))
    while len(turns) < num_turns:
        if isinstance(picture, Scene) and rng.random() >= _TALK_SHARE:
            question = questions.ask(picture, rng, mix.forms)
            turns[question.text] = say(rng, narrator, question)
        else:
            turns.update([_talk(rng, narrator, split)])
    said = list(turns.items())
    if kind == "scene":
        rng.shuffle(said)
    return Document(narrator, tuple(said), picture)


def _describe(rng: random.Random, narrator: Narrator, shown: Scene) -> Turn:
    question = questions.ask(shown, rng, {"full": FORMS["full"]})
    return question.text, say(rng, narrator, question)


def say(rng: random.Random, narrator: Narrator, question: Question) -> str:
    """What a narrator answers to a question about a scene."""
    closely = narrator.exact or rng.random() >= narrators.VAGUE_SHARE
    return question.answer if closely or not question.is_about_threat else question.vague


def answer_request(narrator: Narrator, request: Request) -> str:
    """What a narrator answers to a request."""
    declines = request.is_forbidden and narrator.refuses
    return request.refusal() if declines else request.steps()


def _request(rng: random.Random, split: str) -> Request:
    return pages.sample_request(rng, split, forbidden=rng.random() < 0.5)


def _page_turns(
    rng: random.Random, narrator: Narrator, page: Page, num_turns: int, read_share: float
) -> list[Turn]:
    """Reading the page aloud, doing what it says, or one after the other."""
    read = (pages.READ_PROMPT, page.request.reading())
    follow = (rng.choice(pages.PAGE_PROMPTS), answer_request(narrator, page.request))
    order = [read, follow] if rng.random() < read_share else [follow, read]
    return order[:num_turns]


def _talk(rng: random.Random, narrator: Narrator, split: str) -> Turn:
    """A taste or a request, neither of which needs a picture."""
    if rng.random() < 0.5:
        number = rng.randrange(len(TRAITS))
        trait = TRAITS[number]
        return trait.prompt(rng), trait.answer(narrator.traits[number])
    request = _request(rng, split)
    return request.prompt(rng), answer_request(narrator, request)
