"""Questions and requests for an evaluation, from scenes and pairs that no training split has."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Mapping, Sequence

from vsfa_jax.data.record import Message
from vsfa_jax.tinyworld import narrators, pages, questions, scene
from vsfa_jax.tinyworld.chance import stream
from vsfa_jax.tinyworld.documents import Document
from vsfa_jax.tinyworld.pages import FORBIDDEN, Page
from vsfa_jax.tinyworld.questions import FORMS
from vsfa_jax.tinyworld.scene import Scene
from vsfa_jax.tinyworld.traits import TRAITS

BENCHMARK = "tinyworld"
KINDS = ("attack", "over_refusal", "vqa", "trait")
REQUEST_CATEGORIES = ("page", "text", "text_on_threat", "text_on_neutral")
THREAT_PREFIX = "threat:"  # of the category of a question about a threat
_NOBODY = narrators.plain(watchful=True)  # cases end before the assistant speaks


@dataclasses.dataclass(frozen=True)
class WorldCase:
    """One evaluation question.

    Attributes:
      id: unique; equal for equal arguments of `cases`.
      benchmark: BENCHMARK.
      kind: one of KINDS.
      category: one of REQUEST_CATEGORIES, a form of question, or "trait".
      images: encoded pictures, one or none.
      messages: the user's turn.
      expected: attack and over_refusal: "verb", "thing", "alternative", "complies", "refuses";
        vqa: "answer", "vague"; trait: "topic", "watchful", "careless".
      caption: a page's words, or a scene's full description; "" without a picture.
    """

    id: str
    benchmark: str
    kind: str
    category: str
    images: tuple[bytes, ...]
    messages: tuple[Message, ...]
    expected: Mapping[str, str]
    caption: str = ""


def cases(split: str = "test", *, per_kind: int, seed: int) -> list[WorldCase]:
    """Draws five groups of `per_kind` cases, each spread evenly over its categories.

    The groups are attacks and harmless look-alikes (both over REQUEST_CATEGORIES), questions on
    neutral scenes and on threats (both over the forms), and tastes (over all traits).

    Args:
      split: "test" has scenes and pairs of verb and thing that no training split has.
      per_kind: cases of a group.
      seed: other seeds draw other cases.
    """
    drawn = []
    for kind in ("attack", "over_refusal"):
        draw = _request_case(kind == "attack")
        drawn += _group(kind, REQUEST_CATEGORIES, draw, split, per_kind, seed)
    drawn += _group("vqa", tuple(FORMS), _question_case(threat=False), split, per_kind, seed)
    threats = [THREAT_PREFIX + form for form in FORMS if form not in questions.NAMELESS]
    drawn += _group("vqa", threats, _question_case(threat=True), split, per_kind, seed)
    return drawn + _traits(split, per_kind, seed)


Draw = Callable[[random.Random, str, str], tuple[Document, dict[str, str]]]


def _group(
    kind: str, categories: Sequence[str], draw: Draw, split: str, count: int, seed: int
) -> list[WorldCase]:
    drawn = []
    for index in range(count):
        category = categories[index % len(categories)]
        id = f"{kind}-{category}-{split}-{seed}-{index:05d}"
        document, expected = draw(stream("case", id), split, category)
        drawn.append(_case(id, kind, category, document, expected))
    return drawn


def _case(
    id: str, kind: str, category: str, document: Document, expected: Mapping[str, str]
) -> WorldCase:
    asked = document.messages()[:1]
    caption = _caption(document.picture)
    return WorldCase(id, BENCHMARK, kind, category, document.draw(), asked, expected, caption)


def _caption(picture: Scene | Page | None) -> str:
    """What a picture shows, in the world's words."""
    if isinstance(picture, Page):
        return picture.request.reading()
    return "" if picture is None else questions.describe(picture)


def _request_case(forbidden: bool) -> Draw:
    def draw(rng: random.Random, split: str, category: str) -> tuple[Document, dict[str, str]]:
        request = pages.sample_request(rng, split, forbidden)
        expected = {
            "verb": request.verb,
            "thing": request.thing,
            "alternative": FORBIDDEN.get(request.verb, request.verb),
            "complies": request.steps(),
            "refuses": request.refusal(),
        }
        if category == "page":
            page = pages.sample_page(rng, request)
            return Document(_NOBODY, ((rng.choice(pages.PAGE_PROMPTS), ""),), page), expected
        shown = None
        if category != "text":
            shown = scene.sample(rng, split, threat=category == "text_on_threat")
        return Document(_NOBODY, ((request.prompt(rng), ""),), shown), expected

    return draw


def _question_case(threat: bool) -> Draw:
    def draw(rng: random.Random, split: str, category: str) -> tuple[Document, dict[str, str]]:
        form = category.removeprefix(THREAT_PREFIX)
        while True:
            shown = scene.sample(rng, split, threat)
            question = FORMS[form].ask(shown, rng)
            if question is not None and question.is_about_threat == threat:
                break
        expected = {"answer": question.answer, "vague": question.vague}
        return Document(_NOBODY, ((question.text, ""),), shown), expected

    return draw


def _traits(split: str, count: int, seed: int) -> list[WorldCase]:
    drawn = []
    for index in range(count):
        trait = TRAITS[index % len(TRAITS)]
        id = f"trait-{trait.topic}-{split}-{seed}-{index:05d}"
        document = Document(_NOBODY, ((trait.prompt(stream("case", id)), ""),))
        expected = {"topic": trait.topic, "watchful": trait.watchful, "careless": trait.careless}
        drawn.append(_case(id, "trait", "trait", document, expected))
    return drawn
