"""What a run would ask and pay: exactly where its requests are known, else at most.

A stage whose inputs are not made yet is counted by the most that the settings allow: as many
concepts, prompts and questions as may come of what goes in.
"""

from __future__ import annotations

import dataclasses
import functools
import io
from collections.abc import Sequence

from PIL import Image

from vsfa_jax.api import Request
from vsfa_jax.synth import concepts, images, prompts, questions, screen, teachers
from vsfa_jax.synth.pipeline import Pipeline
from vsfa_jax.synth.rows import REFUSAL, SIDES, THREAT, Concept, Pair, Picture, Row
from vsfa_jax.synth.stages import data_rows

_PROMPT = "A photograph, in full sentences, of what stands where, in which light. " * 4
_TEXT = "A question or an answer of ordinary length about what is to be seen in a picture."


@dataclasses.dataclass(frozen=True)
class Line:
    """Of one stage.

    Attributes:
      stage: its name.
      requests: that would be asked of a service, equal ones once.
      cached: of them, those whose replies are there.
      usd: what the others cost, by a rough count; None where a model has no price.
      is_exact: the requests are known; else they are at most as many.
    """

    stage: str
    requests: int
    cached: int
    usd: float | None
    is_exact: bool


def estimate(pipeline: Pipeline) -> list[Line]:
    """What each stage that asks a service would ask now; asks nothing and writes nothing.

    Raises:
      DataError: the input cannot be used.
    """
    settings = pipeline.settings
    asked = [concepts.request(one, settings) for one in concepts.sources(settings).values()]
    lines = [_exact(pipeline, "concepts", [one for one in asked if one is not None])]
    rows: dict[str, list[Row]] = {}
    lines.append(_images(pipeline, rows))
    lines.append(_questions(pipeline, rows, pictures := _most_pictures(pipeline, rows)))
    lines.append(_second_looks(pipeline, rows, pictures))
    return lines


def table(lines: Sequence[Line]) -> str:
    """The lines and their sum, as text."""
    shown = ["stage        requests    kept       US dollars"]
    for line in lines:
        most = "" if line.is_exact else "at most "
        usd = "unknown" if line.usd is None else f"{most}{line.usd:.4f}"
        shown.append(f"{line.stage:<12} {most + str(line.requests):>8} {line.cached:>7} {usd:>16}")
    known = [line.usd for line in lines if line.usd is not None]
    total = f"{sum(known):.4f}" if len(known) == len(lines) else "unknown: a model has no price"
    return "\n".join([*shown, f"all together, at most: {total}"])


def _done(pipeline: Pipeline, stage: str, rows: dict[str, list[Row]]) -> bool:
    """Whether the stage is done; its rows are then among `rows`."""
    before = {"images": "concepts", "questions": "images", "filters": "questions"}.get(stage)
    if stage not in rows and (before is None or _done(pipeline, before, rows)):
        found = pipeline.stages.done(stage, pipeline.key(stage, rows))
        if found is not None:
            rows[stage] = found
    return stage in rows


def _exact(pipeline: Pipeline, stage: str, requests: Sequence[Request]) -> Line:
    found = pipeline.services.price(stage, requests)
    return Line(stage, found.requests, found.cached, found.usd, True)


def _most(pipeline: Pipeline, stage: str, request: Request | None, count: int) -> Line:
    if request is None or not count:
        return Line(stage, 0, 0, 0.0, True)
    usd = pipeline.services.price(stage, [request]).usd
    return Line(stage, count, 0, None if usd is None else usd * count, False)


def _images(pipeline: Pipeline, rows: dict[str, list[Row]]) -> Line:
    settings = pipeline.settings
    if settings.images.source != "api":
        return Line("images", 0, 0, 0.0, True)
    if _done(pipeline, "concepts", rows):
        orders, _ = images.orders(data_rows(rows["concepts"], Concept), settings)
        return _exact(pipeline, "images", [images.request(one, settings) for one in orders])
    concept = Concept("", "", THREAT, "", "", "", (_PROMPT,), ())
    request = images.request(images.Order("", concept, _PROMPT, 0), settings)
    return _most(pipeline, "images", request, _most_pictures(pipeline, rows))


def _most_pictures(pipeline: Pipeline, rows: dict[str, list[Row]]) -> int:
    settings = pipeline.settings
    if _done(pipeline, "images", rows):
        return len(data_rows(rows["images"], Picture))
    if settings.images.source != "api" or _done(pipeline, "concepts", rows):
        made = rows["concepts"] if _done(pipeline, "concepts", rows) else []
        found = data_rows(made or concepts.made_here(settings), Concept)
        return len(images.orders(found, settings)[0])
    each = 1 if settings.concepts.source == "list" else settings.concepts.per_abstract
    groups = len(concepts.sources(settings)) * each
    groups = min(groups, settings.concepts.limit or groups)
    return groups * len(SIDES) * prompts.MOST_PROMPTS * settings.images.per_prompt


def _questions(pipeline: Pipeline, rows: dict[str, list[Row]], pictures: int) -> Line:
    settings = pipeline.settings
    if settings.questions.teacher != "api":
        return Line("questions", 0, 0, 0.0, True)
    if _done(pipeline, "images", rows):
        asked = []
        for picture in data_rows(rows["images"], Picture):
            data = images.read(picture, pipeline.place)
            asked += [
                teachers.request(look, settings)
                for look in questions.looks(picture, data, settings)
            ]
        return _exact(pipeline, "questions", asked)
    looks = questions.looks(_picture(THREAT), _blank(), settings)
    lines = [
        _most(pipeline, "questions", teachers.request(look, settings), pictures) for look in looks
    ]
    known = [line.usd for line in lines if line.usd is not None]
    usd = sum(known) if len(known) == len(lines) else None
    return Line("questions", sum(line.requests for line in lines), 0, usd, False)


def _second_looks(pipeline: Pipeline, rows: dict[str, list[Row]], pictures: int) -> Line:
    settings = pipeline.settings
    if settings.questions.teacher != "api" or not settings.filters.second_look:
        return Line("filters", 0, 0, 0.0, True)
    wanted = settings.questions
    if not _done(pipeline, "questions", rows):
        each = len(wanted.fixed) or len(wanted.kinds) * wanted.per_kind
        looks = screen.looks([_TEXT] * each, _blank(), settings)
        request = teachers.request(looks[0], settings)
        return _most(pipeline, "filters", request, pictures * len(looks))
    texts: dict[str, list[str]] = {}
    for pair in data_rows(rows["questions"], Pair):
        if pair.side != REFUSAL:
            texts.setdefault(pair.picture, []).append(pair.question)
    asked = []
    for picture in data_rows(rows["images"], Picture):
        if picture.id in texts:
            data = images.read(picture, pipeline.place)
            looks = screen.looks(texts[picture.id], data, settings)
            asked += [teachers.request(look, settings) for look in looks]
    return _exact(pipeline, "filters", asked)


def _picture(side: str) -> Picture:
    return Picture("", "", "", side, "", "", 0, 0, "", "", "", 0, "")


@functools.cache
def _blank() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "PNG")
    return buffer.getvalue()
