"""What training reads: records, how they are packed, and the batch of any step."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import logging
from jax.sharding import Mesh

from vsfa_jax.assemble import Assembly, open_data
from vsfa_jax.core.config import Settings
from vsfa_jax.core.errors import CheckpointError, ConfigError
from vsfa_jax.data.batch import Batch, Budget, Example
from vsfa_jax.data.images import decode_image
from vsfa_jax.data.pack import Plan, pack
from vsfa_jax.data.pipeline import Pipeline, lengths
from vsfa_jax.data.record import Record
from vsfa_jax.data.sources import Source
from vsfa_jax.goodput import Clock
from vsfa_jax.kernels.attention import check_contiguous
from vsfa_jax.manifest import hash_files, hash_json
from vsfa_jax.mesh import batch_sharding
from vsfa_jax.models.rows import num_shards, row_share
from vsfa_jax.vision_cache import VisionCache

_NAMED = 20  # dropped records that the log names
_TEMPLATE_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "generation_config.json"),
    *("chat_template.jinja", "chat_template.json"),
)
_RESOLUTION_FILES = ("preprocessor_config.json", "processor_config.json")


@dataclasses.dataclass(frozen=True)
class Input:
    """A split's records, the plan that packs them, and the pipeline that reads it."""

    source: Source
    plan: Plan
    pipeline: Pipeline

    def batches(
        self, start: int, stop: int, clock: Clock
    ) -> Iterator[tuple[int, Batch, list[list[str]], float]]:
        """Yields (step, this process's batch, record ids by row, seconds waited for it)."""
        stream = self.pipeline.iterate(start)
        try:
            for _ in range(start, stop):
                began = time.perf_counter()
                with clock.on("data_wait"):
                    step, batch, ids = next(stream)
                yield step, batch, ids, time.perf_counter() - began
        finally:
            stream.close()  # type: ignore[attr-defined]

    def tokens(self, step: int) -> int:
        """Tokens of a step's batch, over all processes."""
        rows = self.plan.batch(step)[1]
        return sum(int(self.plan.lengths[row, 0].sum()) for row in rows)

    def keep_plan(self, path: Path) -> None:
        """Writes the packing plan if it is not there yet; the manifest holds the same hash.

        Raises:
          CheckpointError: it cannot be written.
        """
        if path.exists():
            return
        try:
            self.plan.save(path)
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be written: {error}") from error

    def check_position(self, step: int, saved: Any) -> None:
        """Refuses a checkpoint whose position in the data is not this plan's at its step.

        Raises:
          CheckpointError: it is another.
        """
        if saved != self.pipeline.state(step):
            raise CheckpointError(
                f"checkpoint {step}: position in the data {saved}, "
                f"wanted {self.pipeline.state(step)}"
            )


def make_input(
    settings: Settings,
    assembly: Assembly,
    split: str,
    workdir: Path,
    cache: VisionCache | None = None,
) -> Input:
    """Opens a split, measures it, and packs it.

    Args:
      settings: the run's.
      assembly: its processor measures and encodes; its mesh says which rows this process reads.
      split: "train" or "validation".
      workdir: keeps measured lengths, `lengths_SPLIT.npz`.
      cache: of the tower's features, filled here; None runs the tower in every step.

    Raises:
      DataError: the records cannot be used.
    """
    processor = assembly.vlm.processor
    source, plan = packed(settings, processor, split, workdir)
    encode = encoder(processor, settings.data.max_image_pixels)
    part, parts = row_share(assembly.mesh)
    pipeline = Pipeline(
        source,
        encode if cache is None else _cached(encode, source, plan, cache),
        plan,
        part=part,
        parts=parts,
        num_threads=settings.data.num_threads,
    )
    return Input(source, plan, pipeline)


def packed(settings: Settings, processor: Any, split: str, workdir: Path) -> tuple[Source, Plan]:
    """A split's records and how they are packed; `workdir` keeps their measured lengths.

    Raises:
      DataError: the records cannot be used.
    """
    source = open_data(settings, split)
    workdir.mkdir(parents=True, exist_ok=True)
    key = hash_json([template_hash(processor), resolution_hash(processor)])
    limit = settings.data.max_image_pixels
    measure = functools.partial(processor.measure, max_image_pixels=limit)
    cached, keep = workdir / f"lengths_{split}.npz", jax.process_index() == 0
    measured = lengths(source, measure, cached, key=key, keep=keep)
    budgets = tuple(Budget(*budget) for budget in settings.data.budgets)
    check_budgets(budgets, processor.patch_multiple)
    plan = pack(measured, budgets, settings.batch_rows, settings.seed)
    logging.info("%s: %s", split, plan.describe())
    for dropped in plan.dropped[:_NAMED]:
        logging.warning("dropped %s: %s", source.sketch(dropped.index).id, dropped.reason)
    return source, plan


def check_budgets(budgets: Sequence[Budget], multiple: int) -> None:
    """Refuses patch budgets that the family's merged patches do not fill.

    Raises:
      ConfigError: one is no multiple of `multiple`.
    """
    for budget in budgets:
        if budget.patches % multiple:
            raise ConfigError(
                f"data.budgets: found {budget.patches} patches, wanted a multiple of {multiple}, "
                "as many as this family merges into one"
            )


def check_rows(settings: Settings, mesh: Mesh) -> None:
    """Refuses rows that the mesh cannot share.

    Raises:
      ConfigError: the rows of a micro-batch do not divide over data and fsdp.
    """
    rows = settings.batch_rows // settings.micro_batches
    share = num_shards(mesh)
    if rows % share:
        raise ConfigError(
            f"batch_rows: {rows} rows of a micro-batch do not divide over "
            f"mesh data x fsdp = {share}"
        )


def place(batch: Batch, settings: Settings, mesh: Mesh) -> Batch:
    """This process's rows [R, ...] as global arrays [M, R / M, ...] on the mesh.

    Raises:
      ValueError: a segment lies in pieces, which attention that skips would not see.
    """
    named = {"segment_ids": batch.vision.segment_ids, **batch.vision.places}
    numbered = {f"vision.{name}": ids for name, ids in named.items() if name.endswith("_ids")}
    for name, ids in {"segment_ids": batch.segment_ids, **numbered}.items():
        check_contiguous(ids, name)
    sharding = batch_sharding(mesh, micro_batches=True)

    def put(leaf: np.ndarray) -> jax.Array:
        parts = settings.micro_batches
        rows = leaf.reshape(parts, len(leaf) // parts, *leaf.shape[1:])
        return jax.make_array_from_process_local_data(sharding, rows)

    return jax.tree.map(put, batch)


def encoder(processor: Any, max_image_pixels: int) -> Callable[[Record], Example]:
    """Record -> Example by a family's processor."""

    def encode(record: Record) -> Example:
        where = f"record {record.id!r}"
        images = [
            decode_image(image, where=where, max_image_pixels=max_image_pixels)
            for image in record.images
        ]
        messages = [dataclasses.asdict(message) for message in record.messages]
        return processor.encode({"images": images, "messages": messages}, id=where, training=True)

    return encode


def _cached(
    encode: Callable[[Record], Example], source: Source, plan: Plan, cache: VisionCache
) -> Callable[[Record], Example]:
    """Fills the cache with what the plan will ask for; then encodes with features for pixels."""
    dropped = sorted(record.index for record in plan.dropped)
    wanted = sorted(set(range(len(source))) - set(dropped))
    cache.fill((encode(source[i]) for i in wanted), hash_json([source.fingerprint, dropped]))
    return lambda record: cache.replace(encode(record))


def template_hash(processor: Any) -> str:
    """What turns text into tokens, and ends it: tokenizer, chat template, stop tokens."""
    return hash_files(_present(processor.directory, _TEMPLATE_FILES))


def resolution_hash(processor: Any) -> str:
    """What turns images into patches."""
    files = hash_files(_present(processor.directory, _RESOLUTION_FILES))
    return hash_json([files, processor.max_pixels]) if processor.max_pixels else files


def _present(directory: Path, names: tuple[str, ...]) -> list[Path]:
    return [directory / name for name in names if (directory / name).exists()]
