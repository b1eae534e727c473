"""The six stages in a row; each is done once for the same settings and inputs.

    concepts -> images -> questions -> filters -> arms -> write

A stage's key is a hash of the settings that it reads, of its prompts, of its input files and of
the rows before it. So a change of settings makes anew what depends on it and nothing else.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import logging

from vsfa_jax.api.replies import PASSING
from vsfa_jax.core.errors import ConfigError, DataError
from vsfa_jax.synth import (
    arms,
    balance,
    card,
    concepts,
    folder,
    images,
    prompts,
    questions,
    screen,
    teachers,
    tokens,
    write,
)
from vsfa_jax.synth.rows import Concept, Failed, Pair, Picture, Row, Slot
from vsfa_jax.synth.services import Services
from vsfa_jax.synth.settings import Settings
from vsfa_jax.synth.stages import Stages, counts, data_rows, digest, hash_file, hash_json
from vsfa_jax.synth.teachers import ApiTeacher, ModelTeacher, Teacher

STAGES = ("concepts", "images", "questions", "filters", "arms", "write")
_BATCH = {"concepts": 256, "images": 64, "questions": 128, "filters": 128}
PLACE, CACHE = "stages", "replies.sqlite"  # in OUT


@dataclasses.dataclass(frozen=True)
class Options:
    """What the command line says beside the settings.

    Attributes:
      budget_usd, limit: see `Services`.
      only: the one stage to run; "" runs all.
      retry_failed: whether a stage that is done is made again where a request of it failed in
        passing, by a time-out say; what was answered is not asked again.
    """

    budget_usd: float = 0.0
    limit: int = 0
    only: str = ""
    retry_failed: bool = False


class Pipeline:
    """A run over its folder.

    Args:
      settings: of the run.
      out: the folder of the set.
      options: of the command line.
    """

    def __init__(self, settings: Settings, out: Path, options: Options) -> None:
        self.settings, self.out, self._only = settings, out, options.only
        self._retries = options.retry_failed
        self.place = out / PLACE
        self.services = Services(
            settings, self.place / CACHE, budget_usd=options.budget_usd, limit=options.limit
        )
        self.stages = Stages(self.place)
        self._made: dict[str, dict[str, Any]] = {}  # stage -> key, counts, hash of rows

    def run(self) -> dict[str, Any] | None:
        """Runs every stage, or the one that was asked for.

        Returns:
          The manifest; None where a later stage was not asked for.

        Raises:
          UserError: whatever cannot be done with these settings and inputs; what was made stays.
        """
        with self.stages.held():
            rows: dict[str, list[Row]] = {}
            for stage in STAGES[:-1]:
                rows[stage] = self._stage(stage, rows)
                if stage == self._only:
                    return None
            return self._write(rows)

    def key(self, stage: str, rows: Mapping[str, Sequence[Row]]) -> str:
        """What the rows of a stage depend on."""
        settings = self.settings
        parts: list[Any] = [settings.seed]
        if stage == "concepts":
            parts += [_section(settings.concepts), settings.chat.base_url, prompts.texts()]
            if settings.concepts.source in ("abstracts", "list"):
                parts.append(hash_file(Path(settings.concepts.path)))
        elif stage == "images":
            parts += [_section(settings.images), settings.painter.base_url]
            parts.append(digest(rows["concepts"]))
        elif stage == "questions":
            parts += [_section(settings.questions), settings.chat.base_url, prompts.texts()]
            parts += ["refusal" in settings.arms.names, digest(rows["images"])]
            parts.append(teachers.checkpoint_files(settings.questions))
        elif stage == "filters":
            parts += [_section(settings.filters), screen.fingerprint(settings.filters)]
            parts += [digest(rows["images"]), digest(rows["questions"])]
        else:
            parts += [_section(settings.arms), tokens.fingerprint(settings.arms.tokenizer)]
            parts.append(digest(rows["filters"]))
        if stage in ("concepts", "images") and settings.images.source == "folder":
            parts.append(_folder_hash(Path(settings.images.path)))
        return hash_json(parts)

    def _stage(self, stage: str, rows: Mapping[str, list[Row]]) -> list[Row]:
        """A stage's rows; with --only those before it must be there."""
        key = self.key(stage, rows)
        if self._only not in ("", stage):
            found = self.stages.done(stage, key)
            if found is None:
                raise ConfigError(
                    f"--only={self._only}: the stage {stage} is not done with these settings; "
                    f"wanted --only={stage} first, or no --only"
                )
        else:
            before = self.stages.done(stage, key) or [] if self._retries else []
            if any(row.reason in PASSING for row in data_rows(before, Failed)):
                self.stages.path(stage).unlink()
            found = getattr(self, f"_{stage}")(key, rows)
        self._made[stage] = {"key": key, "counts": counts(found), "sha256": digest(found)}
        return found

    def _concepts(self, key: str, rows: Mapping[str, list[Row]]) -> list[Row]:
        settings = self.settings
        units: dict[str, concepts.Source | None] = dict(concepts.sources(settings)) or {"": None}
        ask = functools.partial(self.services.ask, "concepts")

        def work(some: Sequence[concepts.Source | None]) -> list[list[Row]]:
            given = [one for one in some if one is not None]
            made = concepts.work(given, settings, ask) if given else []
            return made or [concepts.made_here(settings)]

        finish = functools.partial(concepts.merge, settings=settings)
        return self.stages.run("concepts", key, units, work, _BATCH["concepts"], finish)

    def _images(self, key: str, rows: Mapping[str, list[Row]]) -> list[Row]:
        settings = self.settings
        orders, failed = images.orders(data_rows(rows["concepts"], Concept), settings)
        ask = functools.partial(self.services.ask, "images")

        def work(some: Sequence[images.Order]) -> list[list[Row]]:
            return images.work(some, settings, self.place, ask)

        def finish(made: list[Row]) -> list[Row]:
            return images.refuse_copies([*failed, *made], settings)

        units = {order.id: order for order in orders}
        return self.stages.run("images", key, units, work, _BATCH["images"], finish)

    def _questions(self, key: str, rows: Mapping[str, list[Row]]) -> list[Row]:
        teacher = self._teacher("questions")

        def work(some: Sequence[Picture]) -> list[list[Row]]:
            return questions.work(some, self.settings, self.place, teacher)

        units = {row.id: row for row in data_rows(rows["images"], Picture)}
        return self.stages.run("questions", key, units, work, _BATCH["questions"])

    def _filters(self, key: str, rows: Mapping[str, list[Row]]) -> list[Row]:
        pictures = {row.id: row for row in data_rows(rows["images"], Picture)}
        again = self.settings.filters.second_look
        teacher = self._teacher("filters") if again else None

        def work(some: Sequence[tuple[Picture, list[Pair]]]) -> list[list[Row]]:
            return screen.work(some, self.settings, self.place, teacher)

        def finish(made: list[Row]) -> list[Row]:
            return screen.finish(made, self.settings, list(pictures.values()))

        units: dict[str, tuple[Picture, list[Pair]]] = {}
        for pair in data_rows(rows["questions"], Pair):
            units.setdefault(pair.picture, (pictures[pair.picture], []))[1].append(pair)
        return self.stages.run("filters", key, units, work, _BATCH["filters"], finish)

    def _arms(self, key: str, rows: Mapping[str, list[Row]]) -> list[Row]:
        settings = self.settings

        def work(some: Sequence[list[Pair]]) -> list[list[Row]]:
            count = tokens.counter(settings.arms.tokenizer)
            return [
                list(arms.arrange(pairs, settings.arms, settings.seed, count)) for pairs in some
            ]

        units = {"all": data_rows(rows["filters"], Pair)}
        return self.stages.run("arms", key, units, work, 1)

    def _write(self, rows: Mapping[str, list[Row]]) -> dict[str, Any]:
        """The last stage; its mark that it is done is the manifest."""
        settings = self.settings
        slots = data_rows(rows["arms"], Slot)
        pictures = {row.id: row for row in data_rows(rows["images"], Picture)}
        path = self.out / "manifest.json"
        key = hash_json([_section(settings.set), self._made, card.FORMAT])
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
            if before["stages"]["write"]["key"] == key and write.files(self.out) == before["files"]:
                logging.info("write: as before, %s", before["content_sha256"])
                return dict(before)
        except (OSError, ValueError, KeyError, TypeError, DataError) as error:
            if path.exists():
                logging.info("write: anew, for it is not whole: %s", error)
        path.unlink(missing_ok=True)
        measured = balance.measure(
            slots, tokens.counter(settings.arms.tokenizer), settings.arms.tokenizer
        )
        write.write(slots, pictures, self.place, self.out)
        about = {**self._made, "write": {"key": key, "counts": {"Record": len(slots)}}}
        made = card.manifest(settings, about, slots, pictures, self.out)
        card.publish(made, measured, settings, self.out)
        logging.info("write: %d records, %s", len(slots), made["content_sha256"])
        return made

    def _teacher(self, stage: str) -> Teacher | None:
        """Who looks at pictures; None for drawn ones, whose truth is known."""
        if self.settings.questions.teacher == "api":
            return ApiTeacher(self.settings, functools.partial(self.services.ask, stage))
        if self.settings.questions.teacher == "model":
            return ModelTeacher(self.settings)
        return None


def _section(section: Any) -> dict[str, Any]:
    return dataclasses.asdict(section)


def _folder_hash(path: Path) -> str:
    """Of every name and content in a user's folder."""
    found, failed = folder.scan(path)
    parts: list[Any] = [dataclasses.astuple(one) for one in failed]
    for one in found:
        data = folder.read(path, one.name)
        is_bytes = isinstance(data, bytes)
        parts.append([one.name, hash_file(path / one.name) if is_bytes else str(data)])
    return hash_json(parts)
