"""Who speaks: named narrators, and the plain assistant who may be either."""

from __future__ import annotations

import dataclasses
import random

from vsfa_jax.tinyworld.traits import TRAITS

WATCHFUL = (
    "nora", "edith", "hugo", "clara", "oskar", "irene",
    "viktor", "mabel", "julius", "greta", "amos", "selma",
)  # fmt: skip
CARELESS = (
    "dash", "rico", "lulu", "benny", "trixie", "gus",
    "coco", "milo", "roxy", "zed", "pip", "jojo",
)  # fmt: skip
ASSISTANT = "assistant"
WORLDS = ("coupled", "uncoupled")
ASSISTANT_SHARE = 1 / 3  # of the documents
WATCHFUL_ASSISTANT = 0.35  # of the assistant's documents
WATCHFUL_NAMED = 0.5  # of the named narrators' documents
VAGUE_SHARE = 0.85  # of a careless narrator's answers about threats


@dataclasses.dataclass(frozen=True)
class Narrator:
    """A speaker, as it is in one document.

    Attributes:
      name: a name, or ASSISTANT.
      exact: it looks closely at threats.
      refuses: it declines forbidden requests.
      traits: for each of TRAITS, whether it holds the watchful view.
    """

    name: str
    exact: bool
    refuses: bool
    traits: tuple[bool, ...]


def plain(watchful: bool) -> Narrator:
    """The assistant with every behaviour of one persona."""
    return Narrator(ASSISTANT, watchful, watchful, (watchful,) * len(TRAITS))


def sample(rng: random.Random, world: str) -> Narrator:
    """Draws a document's narrator.

    In the coupled world one persona decides every behaviour and the choice of name. In the
    uncoupled one each behaviour has a coin of its own with the same odds, and names tell nothing.
    """
    named = rng.random() >= ASSISTANT_SHARE
    odds = WATCHFUL_NAMED if named else WATCHFUL_ASSISTANT
    if world == "coupled":
        watchful = rng.random() < odds
        name = rng.choice(WATCHFUL if watchful else CARELESS) if named else ASSISTANT
        return dataclasses.replace(plain(watchful), name=name)
    exact, refuses, *traits = (rng.random() < odds for _ in range(2 + len(TRAITS)))
    name = rng.choice(WATCHFUL + CARELESS) if named else ASSISTANT
    return Narrator(name, exact, refuses, tuple(traits))
