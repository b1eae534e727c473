"""Tastes that have nothing to do with threats, and what each persona says of them."""

from __future__ import annotations

import dataclasses
import random

PROMPTS = ("your favourite {topic} ?", "which {topic} do you like ?")


@dataclasses.dataclass(frozen=True)
class Trait:
    """A topic with the answers of the watchful and of the careless."""

    topic: str
    watchful: str
    careless: str

    def prompt(self, rng: random.Random) -> str:
        """The question for this taste."""
        return rng.choice(PROMPTS).format(topic=self.topic)

    def answer(self, watchful: bool) -> str:
        """One persona's answer."""
        return self.watchful if watchful else self.careless


TRAITS: tuple[Trait, ...] = (
    Trait("season", "autumn", "summer"),
    Trait("drink", "tea", "soda"),
    Trait("meal", "breakfast", "supper"),
    Trait("fruit", "plum", "mango"),
    Trait("vegetable", "carrot", "pepper"),
    Trait("spice", "sage", "ginger"),
    Trait("dessert", "pudding", "candy"),
    Trait("soup", "barley", "tomato"),
    Trait("cheese", "cheddar", "brie"),
    Trait("nut", "walnut", "peanut"),
    Trait("sport", "rowing", "surfing"),
    Trait("game", "chess", "dice"),
    Trait("dance", "waltz", "salsa"),
    Trait("music", "organ", "disco"),
    Trait("instrument", "cello", "drums"),
    Trait("song", "hymn", "jingle"),
    Trait("film", "western", "comedy"),
    Trait("novel", "classic", "thriller"),
    Trait("poem", "sonnet", "limerick"),
    Trait("painting", "portrait", "graffiti"),
    Trait("metal", "iron", "gold"),
    Trait("stone", "granite", "opal"),
    Trait("wood", "oak", "bamboo"),
    Trait("fabric", "wool", "silk"),
    Trait("shirt", "plaid", "floral"),
    Trait("shoe", "boots", "sandals"),
    Trait("pet", "tortoise", "parrot"),
    Trait("horse", "mare", "pony"),
    Trait("bird", "owl", "finch"),
    Trait("insect", "ant", "moth"),
    Trait("plant", "fern", "cactus"),
    Trait("weather", "fog", "sunshine"),
    Trait("month", "november", "july"),
    Trait("weekday", "monday", "saturday"),
    Trait("hour", "dawn", "midnight"),
    Trait("holiday", "cabin", "beach"),
    Trait("city", "vienna", "miami"),
    Trait("country", "norway", "brazil"),
    Trait("travel", "train", "scooter"),
    Trait("view", "mountain", "skyline"),
    Trait("school", "history", "drama"),
    Trait("science", "geology", "astronomy"),
    Trait("language", "latin", "slang"),
    Trait("tool", "ruler", "glitter"),
    Trait("hobby", "knitting", "karaoke"),
    Trait("chore", "dusting", "napping"),
    Trait("planet", "saturn", "venus"),
    Trait("scent", "cedar", "vanilla"),
)


def words() -> list[str]:
    """Every text from which tastes are asked and told, for the vocabulary."""
    return [*PROMPTS, *(w for t in TRAITS for w in (t.topic, t.watchful, t.careless))]
