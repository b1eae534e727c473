"""Stage 4: which pairs stay; `filters` decides, and here is what it must be told.

A second look asks the teacher a picture's questions again, without the answers, so that an answer
which the picture does not bear out can be told. A pair whose second look failed does not stay.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from vsfa_jax.api import Failure, Reply
from vsfa_jax.synth import filters, images, near, prompts
from vsfa_jax.synth.rows import REFUSAL, Failed, Pair, Picture, Rejected, Row, SecondLook
from vsfa_jax.synth.settings import Filters, Settings
from vsfa_jax.synth.stages import data_rows, hash_file, hash_json
from vsfa_jax.synth.teachers import Look, Teacher

_RULES = ("filters.py", "leak*.py", "leak_guard/*", "near.py", "prose.py", "grounding.py")


def looks(asked: Sequence[str], data: bytes, settings: Settings) -> list[Look]:
    """Questions again beside a picture's bytes: in one look, or one by one where they are fixed."""
    system = prompts.QUESTIONS_SYSTEM
    if settings.questions.fixed:
        return [Look(data, system, prompts.ANSWER.format(question=text)) for text in asked]
    listed = "\n".join(f"{number}. {text}" for number, text in enumerate(asked, start=1))
    prompt = prompts.AGAIN_USER.format(questions=listed)
    return [Look(data, system, prompt, prompts.answers_schema())] if asked else []


def work(
    some: Sequence[tuple[Picture, Sequence[Pair]]],
    settings: Settings,
    place: Path,
    teacher: Teacher | None,
) -> list[list[Row]]:
    """For each picture its pairs and, if there is a teacher to ask, their second looks."""
    made: list[list[Row]] = [list(pairs) for _, pairs in some]
    if teacher is None:
        return made
    neutral = [[pair for pair in pairs if pair.side != REFUSAL] for _, pairs in some]
    wanted = [
        looks([pair.question for pair in pairs], images.read(picture, place), settings)
        for (picture, _), pairs in zip(some, neutral, strict=True)
    ]
    replies = iter(teacher.look([look for each in wanted for look in each]))
    for rows, pairs, each in zip(made, neutral, wanted, strict=True):
        answers = _answers([next(replies) for _ in each], len(pairs), settings)
        for pair, answer in zip(pairs, answers, strict=True):
            id = f"{pair.id}:again"
            if isinstance(answer, Failure):
                rows.append(Failed(id, pair.id, answer.kind, answer.message))
            else:
                rows.append(SecondLook(id, pair.id, answer))
    return made


def _answers(
    found: Sequence[Reply | Failure], count: int, settings: Settings
) -> list[str | Failure]:
    """An answer or a failure for each of `count` questions."""
    if settings.questions.fixed:
        return [reply if isinstance(reply, Failure) else reply.text for reply in found]
    if not found:
        return []
    (reply,) = found
    if isinstance(reply, Failure):
        return [reply] * count
    said = {one["number"]: one["answer"] for one in reply.value["answers"] if one["answer"].strip()}
    missing = Failure("no answer", "the second look left this question out")
    return [said.get(number, missing) for number in range(1, count + 1)]


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
