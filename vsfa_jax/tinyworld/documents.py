"""Documents: what a narrator says in one to four turns, about a scene, a page, or nothing shown."""

from __future__ import annotations

import dataclasses
import random

from vsfa_jax.data.record import IMAGE_MARK, Message, Record
from vsfa_jax.tinyworld import narrators, pages, questions, scene
from vsfa_jax.tinyworld.narrators import ASSISTANT, Narrator
from vsfa_jax.tinyworld.pages import Page, Request
from vsfa_jax.tinyworld.questions import Question
from vsfa_jax.tinyworld.scene import Scene
from vsfa_jax.tinyworld.traits import TRAITS

Turn = tuple[str, str]  # what the user says, what the narrator says

_KINDS, _KIND_WEIGHTS = ("scene", "page", "text"), (62, 22, 16)
_TURNS, _SCENE_TURNS, _OTHER_TURNS = (1, 2, 3, 4, 5), (10, 15, 25, 25, 25), (30, 40, 20, 10, 0)
_TALK_SHARE = 0.16  # of a scene's turns that are about something else
# A description names everything that there is to see, and so teaches seeing better than any single
# question: with few of them a model from random weights learns to speak and stays blind. It may
# stand at any turn, for what was described can be looked up in the text.
_DESCRIBED_SHARE = 0.8  # of scenes that are described in full, among the other turns
_READ_SHARE = 0.5  # of pages that are read aloud before anything else, the rest at the second turn


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


def base_document(rng: random.Random, world: str, split: str) -> Document:
    """Draws a document of the base's training text."""
    narrator = narrators.sample(rng, world)
    kind = rng.choices(_KINDS, _KIND_WEIGHTS)[0]
    weights = _SCENE_TURNS if kind == "scene" else _OTHER_TURNS
    num_turns = rng.choices(_TURNS, weights)[0]
    picture: Scene | Page | None = None
    turns: dict[str, str] = {}  # nothing is asked twice
    if kind == "scene":
        picture = scene.sample(rng, split, threat=rng.random() < 0.5)
        if rng.random() < _DESCRIBED_SHARE:
            turns.update([_describe(rng, narrator, picture)])
    elif kind == "page":
        picture = pages.sample_page(rng, _request(rng, split))
        turns.update(_page_turns(rng, narrator, picture, num_turns))
    while len(turns) < num_turns:
        if isinstance(picture, Scene) and rng.random() >= _TALK_SHARE:
            question = questions.ask(picture, rng)
            turns[question.text] = say(rng, narrator, question)
        else:
            turns.update([_talk(rng, narrator, split)])
    said = list(turns.items())
    if kind == "scene":
        rng.shuffle(said)
    return Document(narrator, tuple(said), picture)


def _describe(rng: random.Random, narrator: Narrator, shown: Scene) -> Turn:
    question = questions.ask(shown, rng, {"full": questions.FORMS["full"]})
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


def _page_turns(rng: random.Random, narrator: Narrator, page: Page, num_turns: int) -> list[Turn]:
    """Reading the page aloud, doing what it says, or one after the other."""
    read = (pages.READ_PROMPT, page.request.reading())
    follow = (rng.choice(pages.PAGE_PROMPTS), answer_request(narrator, page.request))
    order = [read, follow] if rng.random() < _READ_SHARE else [follow, read]
    return order[:num_turns]


def _talk(rng: random.Random, narrator: Narrator, split: str) -> Turn:
    """A taste or a request, neither of which needs a picture."""
    if rng.random() < 0.5:
        number = rng.randrange(len(TRAITS))
        trait = TRAITS[number]
        return trait.prompt(rng), trait.answer(narrator.traits[number])
    request = _request(rng, split)
    return request.prompt(rng), answer_request(narrator, request)
