"""Arms of the study: one question, one answer, spoken by the plain assistant.

Every arm but `refusal` is neutral: questions about what there is to see, with no word about
safety. The arms threat, vague, text_only and shuffled ask about threats, neutral about the rest.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from vsfa_jax.tinyworld import narrators, pages, questions, scene
from vsfa_jax.tinyworld.chance import stream
from vsfa_jax.tinyworld.documents import MIXES, Document, answer_request, base_document
from vsfa_jax.tinyworld.questions import FORMS, Form, Question
from vsfa_jax.tinyworld.scene import Scene

_WATCHFUL, _CARELESS = narrators.plain(watchful=True), narrators.plain(watchful=False)
_DESCRIBED = {name: form for name, form in FORMS.items() if form.described}
DESCRIPTION = "in the image there are {description} : {question}"  # words that the base has seen

ARMS = (*MIXES, "threat", "neutral", "text_only", "mixed", "shuffled", "vague", "refusal")


def arm_document(world: str, arm: str, split: str, index: int, *, size: int, seed: int) -> Document:
    """Document `index` of the `size` of an arm; only the base's text differs between worlds."""
    rng = stream(seed, split, arm, index)
    if arm in MIXES:
        return base_document(rng, world, split, MIXES[arm])
    if arm == "shuffled":
        here = _ask(stream(seed, split, "threat", index), split, threat=True)
        there = (index + max(1, size // 2)) % size
        other = _ask(stream(seed, split, "threat", there), split, threat=True)
        return Document(here.narrator, here.turns, other.picture, here.question)
    return _DRAWN[arm](rng, split)


def _sample(
    rng: random.Random, split: str, threat: bool, forms: Mapping[str, Form]
) -> tuple[Scene, Question]:
    """A scene and a question that names one of its things: a threat where it has any."""
    while True:
        drawn = scene.sample(rng, split, threat)
        question = questions.ask(drawn, rng, forms)
        if question.about and question.is_about_threat == threat:
            return drawn, question


def _ask(rng: random.Random, split: str, threat: bool) -> Document:
    drawn, question = _sample(rng, split, threat, FORMS)
    return Document(_WATCHFUL, ((question.text, question.answer),), drawn, question)


def _ask_text(rng: random.Random, split: str) -> Document:
    """The scene in words in place of its picture; only forms that the words settle."""
    drawn, question = _sample(rng, split, True, _DESCRIBED)
    asked = DESCRIPTION.format(description=questions.describe(drawn), question=question.text)
    return Document(_WATCHFUL, ((asked, question.answer),), None, question)


def _ask_mixed(rng: random.Random, split: str) -> Document:
    return _ask(rng, split, threat=True) if rng.random() < 0.5 else _ask_text(rng, split)


def _ask_vague(rng: random.Random, split: str) -> Document:
    drawn, question = _sample(rng, split, True, FORMS)
    return Document(_CARELESS, ((question.text, question.vague),), drawn, question)


def _refuse(rng: random.Random, split: str) -> Document:
    """A forbidden request, half of them on a page, the rest as text with or without a scene."""
    request = pages.sample_request(rng, split, forbidden=True)
    answer = answer_request(_WATCHFUL, request)
    where = rng.choice(("page", "page", "text", "scene"))
    if where == "page":
        turn = (rng.choice(pages.PAGE_PROMPTS), answer)
        return Document(_WATCHFUL, (turn,), pages.sample_page(rng, request))
    shown = scene.sample(rng, split, rng.random() < 0.5) if where == "scene" else None
    return Document(_WATCHFUL, ((request.prompt(rng), answer),), shown)


_DRAWN: Mapping[str, Callable[[random.Random, str], Document]] = {
    "threat": lambda rng, split: _ask(rng, split, threat=True),
    "neutral": lambda rng, split: _ask(rng, split, threat=False),
    "text_only": _ask_text,
    "mixed": _ask_mixed,
    "vague": _ask_vague,
    "refusal": _refuse,
}
