"""Cases as a report shows them: a few of each cell of the table, with what every model said.

A cell is one category of one set's cases of a kind. What belongs to an attack, its request, its
image and the answers to it, is veiled until it is clicked.
"""

from __future__ import annotations

import base64
import dataclasses
import io
from collections.abc import Iterable, Sequence

from PIL import Image

from vsfa_jax.benchmarks.case import KINDS, Answer, Case
from vsfa_jax.data.images import decode_image
from vsfa_jax.judges.protocol import Verdict
from vsfa_jax.tables import BLIND, SECTION_MARK

PER_CELL = 20
MAX_SHOWN = 2000  # of a page: some 20 MB with their images
THUMBNAIL_PIXELS = 256
VEILED = ("attack", "help")  # kinds whose words are veiled, besides their images
KIND_TITLES = {
    "attack": "attacks",
    "over_refusal": "harmless requests",
    "vqa": "VQA",
    "trait": "traits",
    "graded": "graded questions",
    "help": "calls for help",
}
GOOD_OUTCOMES = {
    ("attack", "refuses"),
    ("over_refusal", "complies"),
    ("vqa", "correct"),
}
BAD_OUTCOMES = {
    ("attack", "complies"),
    ("over_refusal", "refuses"),
    ("vqa", "wrong"),
}


@dataclasses.dataclass(frozen=True)
class Judged:
    """One verdict as it is shown."""

    judge: str
    text: str
    reason: str
    tone: str


@dataclasses.dataclass(frozen=True)
class Said:
    """One answer of an exhibit, with its verdicts, the counted one first."""

    model: str
    text: str
    verdicts: tuple[Judged, ...]


@dataclasses.dataclass(frozen=True)
class Exhibit:
    """One case with what each model said to it."""

    case: Case
    said: tuple[Said, ...]

    @property
    def changed(self) -> bool:
        """True where the counted verdicts differ."""
        return len({said.verdicts[0].text for said in self.said if said.verdicts}) > 1


@dataclasses.dataclass(frozen=True)
class Cell:
    """A few cases of one category.

    Attributes:
      title: set, kind and category, for readers.
      kind: of the cases.
      exhibits: those that are shown, changed verdicts first.
      num_cases: how many there are.
    """

    title: str
    kind: str
    exhibits: tuple[Exhibit, ...]
    num_cases: int


def exhibits(
    cases: Sequence[Case], answers: Iterable[Answer], verdicts: Iterable[Verdict]
) -> list[Exhibit]:
    """Every case with its answers; those of a blind guesser are left out."""
    kinds = {case.id: case.kind for case in cases}
    judged: dict[tuple[str, str], list[Judged]] = {}
    for verdict in verdicts:
        shown = judged.setdefault((verdict.case_id, verdict.model), [])
        shown.append(_judged(kinds[verdict.case_id], verdict))
    said: dict[str, list[Said]] = {case.id: [] for case in cases}
    for answer in answers:
        if answer.model != BLIND:
            about = tuple(judged.get((answer.case_id, answer.model), ()))
            said[answer.case_id].append(Said(answer.model, answer.text, about))
    return [Exhibit(case, tuple(said[case.id])) for case in cases]


def cells(
    found: Iterable[Exhibit], per_cell: int = PER_CELL, max_shown: int = MAX_SHOWN
) -> list[Cell]:
    """At most `per_cell` exhibits of each cell, fewer where all would be more than `max_shown`."""
    groups: dict[tuple[str, str, str], list[Exhibit]] = {}
    for exhibit in sorted(found, key=lambda e: not e.changed):
        case = exhibit.case
        groups.setdefault((case.set_name, case.kind, case.category), []).append(exhibit)
    room = max(1, min(per_cell, max_shown // max(1, len(groups))))
    order = sorted(groups, key=lambda about: (about[0], KINDS.index(about[1]), about[2]))
    return [
        Cell(
            f"{about[0]}: {KIND_TITLES[about[1]]}, {_plain(about[2])}",
            about[1],
            tuple(groups[about][:room]),
            len(groups[about]),
        )
        for about in order
    ]


def view(exhibit: Exhibit) -> dict[str, object]:
    """What the template shows of an exhibit.

    Raises:
      ImageError: an image of the case cannot be decoded.
    """
    case = exhibit.case
    return {
        "id": case.id,
        "veiled": case.kind in VEILED,
        "turns": [(m.role, m.content) for m in case.messages],
        "expected": {k: v for k, v in case.expected.items() if k not in ("complies", "refuses")},
        "images": [
            thumbnail(data, where=f"case {case.id!r}, image {number}")
            for number, data in enumerate(case.images, start=1)
        ],
        "said": exhibit.said,
        "changed": exhibit.changed,
    }


def thumbnail(data: bytes, *, where: str) -> str:
    """A data URI of the image, re-encoded, at most `THUMBNAIL_PIXELS` wide and high."""
    image = decode_image(data, where=where)
    image.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS), Image.Resampling.LANCZOS)
    small = max(image.size) <= THUMBNAIL_PIXELS // 2
    kind = "png" if small else "jpeg"
    stream = io.BytesIO()
    image.save(stream, format=kind)
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"


def _judged(kind: str, verdict: Verdict) -> Judged:
    pair = (kind, verdict.outcome)
    tone = "good" if pair in GOOD_OUTCOMES else "bad" if pair in BAD_OUTCOMES else verdict.outcome
    text = verdict.outcome if verdict.score is None else f"{verdict.score:.2f}"
    return Judged(verdict.judge, text, verdict.reason, tone)


def _plain(category: str) -> str:
    return category.replace("_", " ").replace(SECTION_MARK, ", ")
