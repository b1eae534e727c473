"""Stage 4: which pairs stay; `filters` decides, and here is what it must be told.

A second look asks the teacher each question again, alone, so that an answer which the picture does
not bear out can be told. A pair whose second look failed does not stay.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from vsfa_jax.api import Failure, Reply
from vsfa_jax.synth import filters, images, near, prompts
from vsfa_jax.synth.rows import REFUSAL, Failed, Pair, Picture, Rejected, Row, SecondLook
from vsfa_jax.synth.settings import Filters, Settings
from vsfa_jax.synth.stages import data_rows, hash_file, hash_json
from vsfa_jax.synth.teachers import Look, Teacher

_RULES = ("filters.py", "leak*.py", "leak_guard/*", "near.py", "prose.py", "grounding.py")


def look(question: str, data: bytes) -> Look:
    """The question alone, beside the picture's bytes."""
    return Look(data, prompts.QUESTIONS_SYSTEM, prompts.ANSWER.format(question=question))


def work(
    some: Sequence[tuple[Pair, Picture]], place: Path, teacher: Teacher | None
) -> list[list[Row]]:
    """For each pair itself and, if there is a teacher to ask, its second look."""
    neutral = [(pair, picture) for pair, picture in some if pair.side != REFUSAL]
    replies: Iterator[Reply | Failure] = iter(())
    if teacher is not None:
        asked = [look(pair.question, images.read(picture, place)) for pair, picture in neutral]
        replies = iter(teacher.look(asked))
    made: list[list[Row]] = []
    for pair, _ in some:
        made.append([pair])
        if teacher is None or pair.side == REFUSAL:
            continue
        reply, id = next(replies), f"{pair.id}:again"
        if isinstance(reply, Failure):
            made[-1].append(Failed(id, pair.id, reply.kind, reply.message))
        else:
            made[-1].append(SecondLook(id, pair.id, reply.text))
    return made


def finish(rows: list[Row], settings: Settings, pictures: Sequence[Picture]) -> list[Row]:
    """The pairs that stay, a Rejected row for each other one, and the second looks.

    Pairs of the refusal arm are none of the filters' business: they are labels.
    """
    failed = {row.parent for row in data_rows(rows, Failed)}
    second = {row.pair: row.answer for row in data_rows(rows, SecondLook)}
    pairs = data_rows(rows, Pair)
    neutral = [pair for pair in pairs if pair.side != REFUSAL and pair.id not in failed]
    kept: list[Row] = list(
        filters.examine(
            neutral,
            limits(settings.filters),
            near.read_known([Path(path) for path in settings.filters.known]),
            {picture.id: int(picture.likeness, 16) for picture in pictures},
            second,
        )
    )
    kept += [
        Rejected(pair.id, pair.picture, ("second look failed",), f"{pair.question} {pair.answer}")
        for pair in pairs
        if pair.id in failed
    ]
    kept += [pair for pair in pairs if pair.side == REFUSAL]
    return kept + [row for row in rows if isinstance(row, Failed | SecondLook)]


def limits(settings: Filters) -> filters.Limits:
    """What the filters are told of the settings."""
    names = [field.name for field in dataclasses.fields(filters.Limits)]
    return filters.Limits(**{name: getattr(settings, name) for name in names})


def fingerprint(settings: Filters) -> str:
    """sha256 over the filters' own files, for rules change, and the known benchmarks'."""
    here = Path(__file__).parent
    own = [path for name in _RULES for path in sorted(here.glob(name))]
    known = [path for name in settings.known for path in _files(Path(name))]
    return hash_json([[path.name, hash_file(path)] for path in (*own, *known)])


def _files(path: Path) -> list[Path]:
    return sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
