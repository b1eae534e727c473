"""What a set holds, arm by arm: records, lengths, kinds of question, what the leak guard finds."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vsfa_jax import tinyworld
from vsfa_jax.assemble import open_data
from vsfa_jax.core.config import Settings
from vsfa_jax.core.errors import DataError
from vsfa_jax.data.pack import Plan
from vsfa_jax.data.record import IMAGE_MARK, Message
from vsfa_jax.data.sources import Source, arms_of
from vsfa_jax.input import packed
from vsfa_jax.synth import leaks

SPLITS = ("train", "validation")
GUESSED = "guessed from the question"
# Of a question without a stated kind, the first that fits.
_KINDS = (
    ("count", r"\bhow many\b|\bcount\b"),
    ("colour", r"\bcolou?rs?\b"),
    ("text", r"\b(?:say|says|written|text|read|words?|letters|title)\b"),
    ("place", r"^where\b|\bleft or\b|\btop or\b"),
    ("comparison", r"\b(?:larger|smaller|taller|nearer|bigger|than|compare|difference)\b"),
    ("action", r"\bdoing\b|\bhappen"),
    ("relation", r"\bnext to\b|\b(?:left|right) of\b|\bbetween\b|\babove\b|\bbelow\b|\bbehind\b"),
    ("description", r"\bdescribe\b|\bdescription\b"),
    ("yes or no", r"^(?:is|are|does|do|can|has|have|was|were)\b"),
    ("object", r"^(?:what|which|who)\b"),
)


@dataclasses.dataclass(frozen=True)
class Hit:
    """A pair in which the leak guard finds something."""

    record: str
    question: str
    answer: str
    leaks: tuple[leaks.Leak, ...]


@dataclasses.dataclass(frozen=True)
class Part:
    """One arm of one split.

    Attributes:
      split, arm: which.
      source: its records.
      plan: how they are packed; None where that fails, and `fault` says why.
      fault: see `plan`.
      kinds: of each record, in order.
      num_images: distinct ones; in the embedded world all, for each is drawn anew.
      answer_tokens: [N] int64, tokens of what the assistant says.
      unknown: share of those that the tokenizer has no token for.
      hits: what the leak guard finds.
    """

    split: str
    arm: str
    source: Source
    plan: Plan | None
    fault: str
    kinds: tuple[str, ...]
    num_images: int
    answer_tokens: np.ndarray
    unknown: float
    hits: tuple[Hit, ...]

    @property
    def title(self) -> str:
        """Arm and split in words."""
        return self.arm if self.split == "train" else f"{self.arm}, {self.split}"


def read_parts(settings: Settings, processor: Any) -> Iterator[Part]:
    """Every arm of every split of the configured set, read once each.

    Raises:
      DataError: the set is missing, foreign or damaged.
    """
    stated = _stated_kinds(Path(settings.data.path))
    for split, arms in _arms(settings).items():
        for arm in arms:
            data = dataclasses.replace(settings.data, arm=arm)
            yield _part(dataclasses.replace(settings, data=data), split, processor, stated)


def _arms(settings: Settings) -> dict[str, list[str]]:
    """Arms by split; of the embedded world the configured one, which is drawn as it is read."""
    if tinyworld.world_name(settings.data.path) is not None:
        return {split: [settings.data.arm] for split in SPLITS}
    return {split: sorted(arms) for split, arms in arms_of(settings.data.path).items()}


def _part(settings: Settings, split: str, processor: Any, stated: Mapping[str, str]) -> Part:
    plan, fault = None, ""
    try:
        with tempfile.TemporaryDirectory() as folder:
            source, plan = packed(settings, processor, split, Path(folder))
    except DataError as error:
        source, fault = open_data(settings, split), str(error)
    kinds, answers = [], []
    hits: list[Hit] = []
    images: list[bytes] = []
    kind_of = _kind_of(source, stated)
    for index in range(len(source)):
        record = source.sketch(index)
        kinds.append(kind_of(index, record.id, record.messages))
        answers.append(" ".join(m.content for m in record.messages if m.role == "assistant"))
        images += (hashlib.sha256(image).digest() for image in record.images)
        hits += _hits(record.id, record.messages)
    tokens = processor.tokenizer(answers, add_special_tokens=False)["input_ids"]
    return Part(
        split=split,
        arm=settings.data.arm,
        source=source,
        plan=plan,
        fault=fault,
        kinds=tuple(kinds),
        num_images=len(images if isinstance(source, tinyworld.WorldSource) else set(images)),
        answer_tokens=np.array([len(ids) for ids in tokens], np.int64),
        unknown=_unknown(tokens, processor.tokenizer.unk_token_id),
        hits=tuple(hits),
    )


def _unknown(tokens: Sequence[Sequence[int]], mark: int | None) -> float:
    total = sum(len(ids) for ids in tokens)
    return sum(list(ids).count(mark) for ids in tokens) / total if total and mark else 0.0


def _hits(id: str, messages: tuple[Message, ...]) -> Iterator[Hit]:
    """Of each turn of the assistant, with the user's before it."""
    asked = ""
    for message in messages:
        if message.role == "user":
            asked = message.content.replace(IMAGE_MARK, " ").strip()
        elif message.role == "assistant":
            found = leaks.leaks(asked, message.content)
            if found:
                yield Hit(id, asked, message.content, tuple(found))


def _kind_of(
    source: Source, stated: Mapping[str, str]
) -> Callable[[int, str, tuple[Message, ...]], str]:
    """How the kind of a record is known: the world's form, what the set states, or a guess."""
    if isinstance(source, tinyworld.WorldSource):
        world = source

        def form(index: int, id: str, messages: tuple[Message, ...]) -> str:
            question = world.document(index).question
            return question.form if question is not None else "none"

        return form
    return lambda index, id, messages: stated.get(id) or guess_kind(messages)


def guess_kind(messages: tuple[Message, ...]) -> str:
    """The kind of a conversation's first question, by its words."""
    asked = next((m.content for m in messages if m.role == "user"), "")
    asked = asked.replace(IMAGE_MARK, " ").strip().lower()
    return next((kind for kind, words in _KINDS if re.search(words, asked)), "other")


def _stated_kinds(folder: Path) -> dict[str, str]:
    """Kinds by record id, where `vsfa_jax.synth` wrote records.jsonl beside the set."""
    rows = read_lines(folder / "records.jsonl")
    return {row["id"]: row["kind"] for row in rows if {"id", "kind"} <= row.keys()}


@dataclasses.dataclass(frozen=True)
class Dropped:
    """What did not become a record.

    Attributes:
      stage: of the synthesis.
      what: "rejected" or "failed".
      reasons: how many rows have each; a row may have several.
      rows: how many rows.
    """

    stage: str
    what: str
    reasons: Mapping[str, int]
    rows: int


def dropped_rows(folder: Path) -> list[Dropped]:
    """What the stages of `vsfa_jax.synth` rejected or could not make; none for another set."""
    found = []
    for path in sorted((folder / "stages").glob("*.jsonl")):
        counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        rows: collections.Counter[str] = collections.Counter()
        for row in read_lines(path):
            what = {"Rejected": "rejected", "Failed": "failed"}.get(str(row.get("row")))
            if what is not None:
                rows[what] += 1
                counts[what].update(row.get("reasons") or [row.get("reason", "")])
        for what, reasons in counts.items():
            found.append(Dropped(path.stem, what, dict(reasons.most_common()), rows[what]))
    return found


def balance(folder: Path) -> dict[str, Any] | None:
    """The table of balance that `vsfa_jax.synth` keeps with its set; None for another set.

    Raises:
      DataError: it is no JSON of that form.
    """
    path = folder / "balance.json"
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text("utf-8"))
        return dict(found) if found["splits"] else None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a table of balance: {error!r}") from error


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSONL file; none where there is no such file.

    Raises:
      DataError: a line is no JSON.
    """
    if not path.is_file():
        return []
    rows = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}, line {number}: no JSON: {error}") from error
        if isinstance(row, dict):
            rows.append(row)
    return rows
