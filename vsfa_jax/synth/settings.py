"""The settings of a synthesis; each key is documented in `configs/synth_base.py`."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

from vsfa_jax.core.errors import ConfigError
from vsfa_jax.core.schema import (
    Count,
    CountOrOff,
    Fraction,
    NotNegative,
    OneOf,
    Seed,
    Within,
)
from vsfa_jax.data.record import IMAGE_MARK
from vsfa_jax.synth.rows import KINDS

ARMS = ("threat", "neutral", "shuffled", "text_only", "mixed", "refusal")


@dataclasses.dataclass(frozen=True)
class Service:
    """An OpenAI-compatible service; see `vsfa_jax.api.Service`."""

    base_url: str
    key_variable: str
    timeout_s: Annotated[float, Within(0.001, 3600)]
    retries: CountOrOff
    concurrency: Count


@dataclasses.dataclass(frozen=True)
class Concepts:
    """The first stage."""

    source: Annotated[str, OneOf(("embedded", "abstracts", "list", "folder"))]
    path: str
    model: str
    per_abstract: Count
    limit: CountOrOff
    categories: tuple[str, ...]
    temperature: NotNegative
    merge_above: Fraction


@dataclasses.dataclass(frozen=True)
class Images:
    """The second stage."""

    source: Annotated[str, OneOf(("embedded", "api", "folder"))]
    path: str
    model: str
    size: str
    sends_seed: bool
    extra: str
    per_prompt: Count
    licence: str
    least_side: Count
    least_contrast: NotNegative
    duplicate_bits: Annotated[int, Within(0, 128)]
    max_image_pixels: Count


@dataclasses.dataclass(frozen=True)
class Questions:
    """The third stage."""

    teacher: Annotated[str, OneOf(("embedded", "api", "model"))]
    model: str
    revision: str
    completed_from: str
    dtype: Annotated[str, OneOf(("float32", "bfloat16"))]
    kinds: tuple[Annotated[str, OneOf(KINDS)], ...]
    per_kind: Count
    fixed: tuple[tuple[Annotated[str, OneOf(KINDS)], str], ...]
    temperature: NotNegative
    max_new_tokens: Count
    max_side: CountOrOff
    batch_size: Count


@dataclasses.dataclass(frozen=True)
class Filters:
    """The fourth stage; see `vsfa_jax.synth.filters.Limits`."""

    leak_guard: bool
    question_words: tuple[Count, Count]
    answer_words: tuple[Count, Count]
    language: Annotated[str, OneOf(("en", ""))]
    repeated_runs: Fraction
    equal_answers: Fraction
    equal_short_answers: Fraction
    known: tuple[str, ...]
    least_jaccard: Fraction
    least_containment: Fraction
    image_bits: Annotated[int, Within(0, 128)]
    second_look: bool
    least_overlap: Fraction


@dataclasses.dataclass(frozen=True)
class Arms:
    """The fifth stage."""

    names: tuple[Annotated[str, OneOf(ARMS)], ...]
    tokenizer: str
    spare: Annotated[float, Within(0, 1, or_most=False)]
    token_difference: Fraction
    text_template: str
    validation_share: Annotated[float, Within(0, 1, or_most=False)]


@dataclasses.dataclass(frozen=True)
class Set:
    """The last stage."""

    name: str
    licence: str


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that a synthesis is told."""

    seed: Seed
    progress: bool
    prices: tuple[tuple[str, NotNegative, NotNegative, NotNegative], ...]
    chat: Service
    painter: Service
    concepts: Concepts
    images: Images
    questions: Questions
    filters: Filters
    arms: Arms
    set: Set

    BASE = "configs/synth_base.py"

    def check(self) -> None:
        """What no single key can say.

        Raises:
          ConfigError: two keys contradict each other.
        """
        self._check_sources()
        self._check_questions()
        names = self.arms.names
        if "threat" not in names or len(set(names)) != len(names):
            raise ConfigError(f"arms.names: found {names}, wanted 'threat' and others, each once")
        template = self.arms.text_template
        fields = ("{description}", "{question}")
        if any(template.count(field) != 1 for field in fields) or IMAGE_MARK in template:
            raise ConfigError(
                f"arms.text_template: found {template!r}, wanted a text with {fields[0]} and "
                f"{fields[1]} once each and no {IMAGE_MARK}"
            )

    def _check_sources(self) -> None:
        """Where concepts and images come from, and what that needs."""
        concepts, images = self.concepts.source, self.images.source
        if (concepts == "embedded") != (images == "embedded"):
            raise ConfigError(
                f"images.source: found {images!r} with concepts.source {concepts!r}; only the "
                "embedded concepts can be drawn, and they are"
            )
        if (concepts == "folder") != (images == "folder"):
            raise ConfigError(
                f"images.source: found {images!r} with concepts.source {concepts!r}; wanted "
                "'folder' for both or for neither"
            )
        if concepts in ("abstracts", "list") and not self.concepts.path:
            raise ConfigError(f"concepts.path: found '', wanted a file of {concepts}")
        if images == "folder" and not self.images.path:
            raise ConfigError("images.path: found '', wanted a folder of images")
        try:
            is_object = isinstance(json.loads(self.images.extra), dict)
        except ValueError:
            is_object = False
        if not is_object:
            raise ConfigError(f"images.extra: found {self.images.extra!r}, wanted a JSON object")
        if not self.concepts.categories:
            raise ConfigError("concepts.categories: found none; wanted at least one")

    def _check_questions(self) -> None:
        """What the teacher can do."""
        asked = self.questions
        if not asked.kinds or len(set(asked.kinds)) != len(asked.kinds):
            raise ConfigError(f"questions.kinds: found {asked.kinds}, wanted kinds, each once")
        if asked.teacher == "embedded" and self.images.source != "embedded":
            raise ConfigError(
                "questions.teacher: found 'embedded', which knows drawn pictures only; wanted "
                f"'api' or 'model' with images.source {self.images.source!r}"
            )
        if asked.teacher == "embedded" and "action" in asked.kinds:
            raise ConfigError(
                "questions.kinds: found 'action', but nothing acts in a drawn picture; wanted the "
                "others"
            )
        strange = sorted({kind for kind, _ in asked.fixed} - set(asked.kinds))
        if strange:
            raise ConfigError(f"questions.fixed: found {strange}, which questions.kinds has not")
        if "refusal" in self.arms.names and asked.teacher == "model":
            raise ConfigError(
                "arms.names: found 'refusal' with questions.teacher 'model'; wanted a teacher that "
                "writes requests and refusals, 'api' or 'embedded'"
            )
