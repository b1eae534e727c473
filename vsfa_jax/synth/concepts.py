"""Stage 1: what pictures are to show, each threat with a harmless counterpart.

From abstracts or a list through a chat model, from the folders of a user's images, or from what
the embedded drawer can draw. Concepts that are nearly the same are merged; groups whose
counterparts are nearly the same are one group, so that no split holds a picture of the other's.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vsfa_jax.api import Failure, Reply, Request, chat
from vsfa_jax.core.errors import DataError
from vsfa_jax.synth import drawn, folder, prompts
from vsfa_jax.synth.abstracts import (
    Abstract,
    read_abstracts,
    read_bounded,
    read_objects,
    text_of,
)
from vsfa_jax.synth.likeness import clusters, jaccard, shingles
from vsfa_jax.synth.rows import NEUTRAL, SIDES, THREAT, Concept, Failed, Rejected, Row
from vsfa_jax.synth.settings import Settings
from vsfa_jax.synth.stages import data_rows

Ask = Callable[[Sequence[Request]], list[Reply | Failure]]
_MAX_TOKENS = 4096  # of a reply that names several concepts


@dataclasses.dataclass(frozen=True)
class Wish:
    """A line of a user's list: a name, and what else was given."""

    id: str
    name: str
    description: str
    whole: Mapping[str, Any] | None  # a concept that lacks nothing


Source = Abstract | Wish


def sources(settings: Settings) -> dict[str, Source]:
    """What a chat model is asked about, by id; empty where none is asked.

    Raises:
      DataError: the file cannot be used.
    """
    path = Path(settings.concepts.path)
    if settings.concepts.source == "abstracts":
        return {item.id: item for item in read_abstracts(path)}
    if settings.concepts.source == "list":
        rows = read_objects(read_bounded(path), path)
        wishes = [_wish(row, where, settings) for row, where in rows]
        if not wishes:
            raise DataError(f"{path}: no concept in it; wanted one JSON object a line")
        return {wish.id: wish for wish in wishes}
    return {}


def made_here(settings: Settings) -> list[Row]:
    """The concepts for which no model is asked: those drawn, or those of a folder."""
    if settings.concepts.source == "folder":
        return _of_folder(Path(settings.images.path))
    made: list[Row] = []
    for category, *names in drawn.concepts():
        for side, name in zip(SIDES, names, strict=True):
            made.append(
                Concept(
                    id=f"{names[0]}:{side}",
                    group=names[0],
                    side=side,
                    category=category,
                    name=name,
                    description=f"a drawn {name}",
                    prompts=(f"a drawn scene with a {name}",),
                    parents=(),
                )
            )
    return made


def request(source: Source, settings: Settings) -> Request | None:
    """What the model is asked about an abstract or a wish; None for a wish that lacks nothing."""
    if isinstance(source, Wish) and source.whole is not None:
        return None
    wanted = settings.concepts
    text = prompts.CONCEPTS_USER.format(
        count=1 if isinstance(source, Wish) else wanted.per_abstract,
        categories=", ".join(wanted.categories),
        least=prompts.LEAST_PROMPTS,
        most=prompts.MOST_PROMPTS,
        id=_inert(source.id),
        title=_inert(source.title) if isinstance(source, Abstract) else "",
        text=_inert(source.text if isinstance(source, Abstract) else source.name),
    )
    if isinstance(source, Wish):
        about = f" ({source.description})" if source.description else ""
        text += "\n\n" + prompts.CONCEPT_USER.format(name=source.name, about=about)
    return chat(
        model=wanted.model,
        messages=[
            {"role": "system", "content": prompts.CONCEPTS_SYSTEM},
            {"role": "user", "content": text},
        ],
        schema=prompts.concepts_schema(wanted.categories),
        temperature=wanted.temperature,
        seed=settings.seed,
        max_tokens=_MAX_TOKENS,
    )


def work(some: Sequence[Source], settings: Settings, ask: Ask) -> list[list[Row]]:
    """For each source its concepts, or a Failed row."""
    requests = [request(source, settings) for source in some]
    replies = iter(ask([one for one in requests if one is not None]))
    made: list[list[Row]] = []
    for source, one in zip(some, requests, strict=True):
        if one is None and isinstance(source, Wish) and source.whole is not None:
            made.append(_both(source.whole, source.id))
            continue
        reply = next(replies)
        if isinstance(reply, Failure):
            made.append([Failed(source.id, source.id, reply.kind, reply.message)])
            continue
        most = 1 if isinstance(source, Wish) else settings.concepts.per_abstract
        made.append(
            [row for one in reply.value["concepts"][:most] for row in _both(one, source.id)]
        )
    return made


def merge(rows: list[Row], settings: Settings) -> list[Row]:
    """Nearly equal threats become one, with all their parents; `concepts.limit` groups are kept.

    The first of them stays. Its own prompts do, the others' are dropped with them.
    """
    kept: list[Row] = [row for row in rows if not isinstance(row, Concept)]
    threats = [row for row in data_rows(rows, Concept) if row.side == THREAT]
    twins = {row.group: row for row in data_rows(rows, Concept) if row.side == NEUTRAL}
    if settings.concepts.source in ("embedded", "folder"):
        limit = settings.concepts.limit or len(rows)
        groups = list(dict.fromkeys(row.group for row in data_rows(rows, Concept)))[:limit]
        return [*kept, *(row for row in data_rows(rows, Concept) if row.group in groups)]
    bound = settings.concepts.merge_above
    alike = [shingles(f"{row.name} {row.description}", 1) for row in threats]
    first: list[Concept] = []
    for indices in clusters(alike, lambda one, other: jaccard(one, other) > bound):
        parents = tuple(dict.fromkeys(p for i in indices for p in threats[i].parents))
        stays = dataclasses.replace(threats[indices[0]], parents=parents)
        first.append(stays)
        kept += [
            Rejected(threats[i].id, stays.id, ("nearly the same concept",), threats[i].name)
            for i in indices[1:]
        ]
    first = first[: settings.concepts.limit or len(first)]
    texts = [shingles(f"{twins[r.group].name} {twins[r.group].description}", 1) for r in first]
    for indices in clusters(texts, lambda one, other: jaccard(one, other) > bound):
        group = first[indices[0]].group
        for i in indices:
            both = (first[i], twins[first[i].group])
            kept += [dataclasses.replace(one, group=group) for one in both]
    return kept


def _both(value: Mapping[str, Any], parent: str) -> list[Row]:
    """A threat and its counterpart, from what a reply or a user's line says of them."""
    threat, neutral = dict(value), dict(value["neutral"])
    wanted = f"wanted {prompts.LEAST_PROMPTS} to {prompts.MOST_PROMPTS} prompts of each side"
    texts = [*threat["prompts"], *neutral["prompts"], threat["name"], neutral["name"]]
    numbers = {len(threat["prompts"]), len(neutral["prompts"])}
    if (
        len(numbers) != 1
        or not prompts.LEAST_PROMPTS <= numbers.pop() <= prompts.MOST_PROMPTS
        or not all(text.strip() for text in texts)
    ):
        message = f"{threat['name']!r}: {wanted}, as many of one as of the other, none empty"
        return [Failed(f"{parent}:{threat['name']}", parent, "unusable concept", message)]
    group = f"{_slug(threat['name'])}-{_short_hash(parent, threat['name'])}"
    return [
        Concept(
            id=f"{group}:{side}",
            group=group,
            side=side,
            category=threat["category"],
            name=" ".join(one["name"].split()),
            description=" ".join(one["description"].split()),
            prompts=tuple(" ".join(text.split()) for text in one["prompts"]),
            parents=(parent,),
        )
        for side, one in zip(SIDES, (threat, neutral), strict=True)
    ]


def _of_folder(path: Path) -> list[Row]:
    found, _ = folder.scan(path)
    return [
        Concept(f"{group}:{side}", group, side, "", group, "", (), ())
        for group, side in dict.fromkeys((file.group, file.side) for file in found)
    ]


def _wish(row: dict[str, Any], where: str, settings: Settings) -> Wish:
    """A line of the user's list; whole if it says all that a model would be asked for."""
    name = text_of(row, "name", where)
    if not name:
        raise DataError(f"{where}: an empty name; wanted a concept's")
    description = text_of(row, "description", where, "")
    whole = None
    if "prompts" in row or "neutral" in row:
        whole = {
            "category": text_of(row, "category", where, settings.concepts.categories[0]),
            **_drawable(row, where),
            "neutral": _drawable(row.get("neutral"), f"{where}: neutral"),
        }
    return Wish(
        text_of(row, "id", where, f"line {where.rpartition(':')[2]}"), name, description, whole
    )


def _drawable(row: Any, where: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise DataError(f"{where}: {str(row)[:80]!r}; wanted a name, a description and prompts")
    given = row.get("prompts")
    if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
        raise DataError(f"{where}: prompts {str(given)[:80]!r}; wanted a list of texts")
    return {
        "name": text_of(row, "name", where),
        "description": text_of(row, "description", where),
        "prompts": given,
    }


def _inert(text: str) -> str:
    """Text that cannot close the mark that it stands between."""
    return text.replace("<", "‹").replace(">", "›")


def _slug(text: str) -> str:
    return "-".join(re.findall(r"[a-z0-9]+", text.lower()))[:40] or "concept"


def _short_hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]
