"""Stage 3: neutral questions about each picture and their answers, over a fixed plan of kinds.

A teacher writes questions, answers and a description in one reply; or answers fixed questions, one
reply each, which small models can do too; or, of a drawn picture, its own truth is asked for.
For the refusal arm the same teacher writes requests that are declined; they are kept apart by
their side and meet no filter for neutral pairs.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence
from pathlib import Path

from vsfa_jax.api import Failure, Reply
from vsfa_jax.data.record import IMAGE_MARK
from vsfa_jax.synth import drawn, images, prompts
from vsfa_jax.synth.rows import REFUSAL, THREAT, Failed, Pair, Picture, Row
from vsfa_jax.synth.settings import Settings
from vsfa_jax.synth.teachers import Look, Teacher


def looks(picture: Picture, data: bytes, settings: Settings) -> list[Look]:
    """What a teacher is asked about a picture, in a fixed order.

    Args:
      picture: the row.
      data: its bytes.
      settings: of the run.
    """
    wanted = settings.questions
    system = prompts.QUESTIONS_SYSTEM
    if wanted.fixed:
        asked = [prompts.DESCRIBE, *(prompts.ANSWER.format(question=q) for _, q in wanted.fixed)]
        made = [Look(data, system, prompt) for prompt in asked]
    else:
        kinds = "; ".join(f"{kind} ({prompts.KIND_MEANS[kind]})" for kind in wanted.kinds)
        prompt = prompts.QUESTIONS_USER.format(per_kind=wanted.per_kind, kinds=kinds)
        made = [Look(data, system, prompt, prompts.questions_schema(wanted.kinds))]
    if _refuses(picture, settings):
        count = wanted.per_kind * len(wanted.kinds)
        prompt = prompts.REFUSAL_USER.format(count=count)
        made.append(Look(data, prompts.REFUSAL_SYSTEM, prompt, prompts.refusals_schema()))
    return made


def work(
    some: Sequence[Picture], settings: Settings, place: Path, teacher: Teacher | None
) -> list[list[Row]]:
    """For each picture its pairs, and Failed rows for what the teacher did not give.

    Args:
      some: pictures.
      settings: of the run.
      place: the folder of stages.
      teacher: None asks the drawn pictures' truth.
    """
    if teacher is None:
        return [_drawn(picture, settings) for picture in some]
    wanted = [looks(picture, images.read(picture, place), settings) for picture in some]
    replies = iter(teacher.look([look for each in wanted for look in each]))
    made = []
    for picture, each in zip(some, wanted, strict=True):
        found = [next(replies) for _ in each]
        refusal = found.pop() if _refuses(picture, settings) else None
        rows = _fixed if settings.questions.fixed else _written
        made.append(rows(picture, found, settings, teacher.name))
        if refusal is not None:
            made[-1] += _refused(picture, refusal, settings, teacher.name)
    return made


def _drawn(picture: Picture, settings: Settings) -> list[Row]:
    wanted = settings.questions
    made: list[Row] = [*drawn.pairs(picture, wanted.kinds, wanted.per_kind, settings.seed)]
    if _refuses(picture, settings):
        made += drawn.refusals(picture, len(made), settings.seed)
    return made


def _refuses(picture: Picture, settings: Settings) -> bool:
    return REFUSAL in settings.arms.names and picture.side == THREAT


def _written(
    picture: Picture, found: Sequence[Reply | Failure], settings: Settings, teacher: str
) -> list[Row]:
    """Pairs of a reply that holds all of them; what is over the plan is left out."""
    (reply,) = found
    if isinstance(reply, Failure):
        return [Failed(f"{picture.id}:questions", picture.id, reply.kind, reply.message)]
    numbers: collections.Counter[str] = collections.Counter()
    made: list[Row] = []
    for pair in reply.value["pairs"]:
        kind = pair["kind"]
        if numbers[kind] < settings.questions.per_kind:
            text = (pair["question"], pair["answer"], reply.value["description"])
            made.append(_row(picture, kind, numbers[kind], text, teacher))
            numbers[kind] += 1
    return made or [Failed(f"{picture.id}:questions", picture.id, "no pair", "an empty list")]


def _fixed(
    picture: Picture, found: Sequence[Reply | Failure], settings: Settings, teacher: str
) -> list[Row]:
    """Pairs of fixed questions, each with its own reply, after that of the description."""
    described, *answers = found
    if isinstance(described, Failure):
        failed = Failed(f"{picture.id}:description", picture.id, described.kind, described.message)
        return [failed]
    numbers: collections.Counter[str] = collections.Counter()
    made: list[Row] = []
    for (kind, question), reply in zip(settings.questions.fixed, answers, strict=True):
        number = numbers[kind]
        numbers[kind] += 1
        if isinstance(reply, Failure):
            id = f"{picture.id}:{kind}{number}"
            made.append(Failed(id, picture.id, reply.kind, reply.message))
        else:
            text = (question, reply.text, described.text)
            made.append(_row(picture, kind, number, text, teacher))
    return made


def _refused(
    picture: Picture, reply: Reply | Failure, settings: Settings, teacher: str
) -> list[Row]:
    if isinstance(reply, Failure):
        return [Failed(f"{picture.id}:{REFUSAL}", picture.id, reply.kind, reply.message)]
    most = settings.questions.per_kind * len(settings.questions.kinds)
    return [
        _row(picture, REFUSAL, number, (pair["question"], pair["answer"], ""), teacher)
        for number, pair in enumerate(reply.value["pairs"][:most])
    ]


def _row(picture: Picture, kind: str, number: int, text: tuple[str, str, str], teacher: str) -> Row:
    """A pair; or a failure where a text is empty or holds an image mark."""
    question, answer, description = (" ".join(part.split()) for part in text)
    id = f"{picture.id}:{kind}{number}"
    if not question or not answer or any(IMAGE_MARK in part for part in text):
        message = f"{question[:80]!r} -> {answer[:80]!r}; wanted text without {IMAGE_MARK}"
        return Failed(id, picture.id, "unusable text", message)
    return Pair(
        id=id,
        picture=picture.id,
        concept=picture.concept,
        group=picture.group,
        side=REFUSAL if kind == REFUSAL else picture.side,
        kind=kind,
        question=question,
        answer=answer,
        description=description,
        teacher=teacher,
    )
