"""What the stages hand on: each stage writes rows of one kind, which name their parents by id.

    abstract -> Concept -> Picture -> Pair -> Slot -> record

What could not be made is a Failed row and what was made but not wanted a Rejected one: they stand
in the same file, for reading and counting, and no later stage takes them for data.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from vsfa_jax.core.errors import DataError

KINDS = (
    "object",
    "count",
    "colour",
    "place",
    "relation",
    "text",
    "scene",
    "action",
    "description",
    "comparison",
)
THREAT, NEUTRAL, REFUSAL = "threat", "neutral", "refusal"
SIDES = (THREAT, NEUTRAL)


@dataclasses.dataclass(frozen=True)
class Concept:
    """Something that pictures show.

    Attributes:
      id: unique in the run.
      group: a threat concept and its matched neutral one share it; no group is in two splits.
      side: "threat" or "neutral".
      category: one of `concepts.categories`, or of the source's own.
      name: a few words.
      description: one line.
      prompts: image prompts.
      parents: ids of the abstracts or lines that it was made from.
    """

    id: str
    group: str
    side: str
    category: str
    name: str
    description: str
    prompts: tuple[str, ...]
    parents: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Picture:
    """An image that passed its checks.

    Attributes:
      id: unique in the run.
      concept, group, side: of the concept that it shows.
      file: where its bytes lie, relative to the folder of stages.
      sha256: of the bytes.
      width, height: in pixels, as a viewer shows it.
      likeness: its perceptual hash, 32 hexadecimal digits; see `likeness.image_hash`.
      generator: model and service, "drawn", or the user's file.
      prompt: what it was made from; "" for a user's file.
      seed: given to the generator; 0 where it takes none.
      licence: as the settings state it.
      truth: of a drawn picture what it shows, as JSON; "" for any other.
    """

    id: str
    concept: str
    group: str
    side: str
    file: str
    sha256: str
    width: int
    height: int
    likeness: str
    generator: str
    prompt: str
    seed: int
    licence: str
    truth: str = ""


@dataclasses.dataclass(frozen=True)
class Pair:
    """A question about a picture, and its answer.

    Attributes:
      id: unique in the run.
      picture: id of the picture.
      concept, group: of that picture.
      side: "threat" or "neutral"; "refusal" for a safety-labelled pair, which only the refusal
        arm takes.
      kind: one of KINDS; "refusal" on that side.
      question, answer: plain text without image marks.
      description: what the picture shows, in words, by the same teacher.
      teacher: who wrote it.
    """

    id: str
    picture: str
    concept: str
    group: str
    side: str
    kind: str
    question: str
    answer: str
    description: str
    teacher: str


@dataclasses.dataclass(frozen=True)
class Slot:
    """One record of one arm, before its image is read.

    Attributes:
      id: the record's.
      arm, split: where it goes.
      pair: id of the pair whose answer it has.
      picture: id of the picture that it shows, which in the shuffled arm is another; "" for none.
      kind: of the pair.
      question, answer: what is said, without an image mark.
    """

    id: str
    arm: str
    split: str
    pair: str
    picture: str
    kind: str
    question: str
    answer: str


@dataclasses.dataclass(frozen=True)
class Failed:
    """What could not be made.

    Attributes:
      id: of the unit of work.
      parent: id of the row that it was to be made from; "" for a user's file.
      reason: in one or two words, to count by.
      message: what was found.
    """

    id: str
    parent: str
    reason: str
    message: str


@dataclasses.dataclass(frozen=True)
class Rejected:
    """What was made and is left out.

    Attributes:
      id: of the row that would have been.
      parent: id of the row that it was made from.
      reasons: each in a few words, to count by.
      text: what was rejected, readable.
    """

    id: str
    parent: str
    reasons: tuple[str, ...]
    text: str


Row = Concept | Picture | Pair | Slot | Failed | Rejected
_TYPES: Mapping[str, type[Row]] = {
    kind.__name__: kind for kind in (Concept, Picture, Pair, Slot, Failed, Rejected)
}


def to_json(row: Row) -> dict[str, Any]:
    """The row's fields, and under "row" the name of its type."""
    return {"row": type(row).__name__, **dataclasses.asdict(row)}


def from_json(values: Mapping[str, Any], where: str) -> Row:
    """The row that `to_json` gave.

    Raises:
      DataError: not a row of this program.
    """
    kind = _TYPES.get(values.get("row", ""))
    given = {name: value for name, value in values.items() if name != "row"}
    if kind is None or set(given) != {field.name for field in dataclasses.fields(kind)}:
        raise DataError(f"{where}: keys {sorted(values)}; wanted a row of {sorted(_TYPES)}")
    tuples = {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
    return kind(**{**given, **tuples})
