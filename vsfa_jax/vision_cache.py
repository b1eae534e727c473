"""Features of a frozen tower, computed once and kept in a file beside the run.

A small set of images is seen again in every epoch and by several questions, and a tower that is
not trained says the same of them each time. What is kept is what the tower says of one segment
(an image, or a tile of one), for segments do not see each other; equal ones are kept once.

    WORKDIR/vision_cache/index.json      key; segment -> its first row; sets that are all here
    WORKDIR/vision_cache/features.bin    [rows, S D] of the tower's last and DeepStack layers
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import logging

from vsfa_jax.core.errors import CheckpointError, ConfigError
from vsfa_jax.core.paths import write_json
from vsfa_jax.data.batch import Budget, Example, Vision, collate_row
from vsfa_jax.data.segments import Segment, segments, with_features
from vsfa_jax.kernels.attention import on_mesh
from vsfa_jax.state import mesh_of

_INDEX, _ROWS = "index.json", "features.bin"
_SAVED_EVERY = 50  # runs of the tower, for what is in the index outlives a kill


class VisionCache:
    """Examples with features in place of patches.

    Args:
      directory: made if need be; what is there is used again while `key` agrees.
      model: its tower is run.
      key: names what the features depend on: base weights, resolution.
      budget: patches that are run together, at least those of the largest segment.

    Raises:
      ConfigError: several processes share the run; each would need the others' features.
      CheckpointError: the folder cannot be written.
    """

    def __init__(self, directory: Path, model: Any, key: str, budget: Budget):
        if jax.process_count() > 1:
            raise ConfigError("model.cache_vision: found True, wanted False on several processes")
        self.directory, self.model, self.key, self.budget = directory, model, key, budget
        mesh = mesh_of(model)

        @jax.jit
        def run(model: Any, vision: Vision) -> jax.Array:
            with on_mesh(mesh):
                return model.features(vision)

        self._run = run
        self._starts: dict[str, int] = {}
        self._filled: list[str] = []
        self._rows = 0
        self._width = model.num_kept_layers * model.config.vision.blocks.width
        self._dtype = np.dtype(model.vision.patch_embedding.kernel[...].dtype)
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(f"{directory}: cannot be written: {error}") from error
        self._open()

    def fill(self, examples: Iterator[Example], name: str = "") -> None:
        """Computes what is missing for these examples.

        Args:
          examples: not looked at where an earlier call with their name came to its end.
          name: says which examples, under this cache's key; "" is nameless.
        """
        if name in self._filled:
            logging.info("vision cache: holds these records already")
            return
        known, runs = len(self._starts), 0
        waiting, held = dict[str, Segment](), 0
        for example in examples:
            for segment in segments(example):
                if segment.key in self._starts or segment.key in waiting:
                    continue
                if held + segment.length > self.budget.patches:
                    self._compute(list(waiting.values()))
                    waiting, held, runs = {}, 0, runs + 1
                    if runs % _SAVED_EVERY == 0:
                        self._save()
                waiting[segment.key] = segment
                held += segment.length
        if waiting:
            self._compute(list(waiting.values()))
        self._filled += [name] if name else []
        self._save()
        size, made = self._file().stat().st_size / 2**30, len(self._starts) - known
        logging.info("vision cache: %d segments, %d new, %.2f GiB", known + made, made, size)

    def replace(self, example: Example) -> Example:
        """The example with its segments' features, and no pixels.

        Raises:
          KeyError: a segment was never computed.
        """
        if len(example.patches):
            features = np.concatenate([self._read(segment) for segment in segments(example)])
        else:
            features = np.zeros((0, self._width), self._dtype)
        return with_features(example, features)

    def _read(self, segment: Segment) -> np.ndarray:
        row = self._width * self._dtype.itemsize
        with self._file().open("rb") as file:
            file.seek(self._starts[segment.key] * row)
            data = file.read(segment.length * row)
        return np.frombuffer(data, self._dtype).reshape(segment.length, self._width)

    def _compute(self, chosen: list[Segment]) -> None:
        """Runs the tower over segments side by side and appends what it says."""
        row = collate_row([s.example for s in chosen], self.budget, chosen[0].example)
        vision: Vision = jax.tree.map(lambda leaf: leaf[None], row.vision)
        features = np.asarray(self._run(self.model, vision))  # [S, 1, P, D]
        flat = features[:, 0].transpose(1, 0, 2).reshape(self.budget.patches, -1)
        at = 0
        with self._file().open("ab") as file:
            for segment in chosen:
                count = segment.length
                file.write(np.ascontiguousarray(flat[at : at + count]).tobytes())
                self._starts[segment.key] = self._rows
                at, self._rows = at + count, self._rows + count

    def _file(self) -> Path:
        return self.directory / _ROWS

    def _open(self) -> None:
        """Takes up an earlier run's file, or begins an empty one."""
        try:
            found = json.loads((self.directory / _INDEX).read_bytes())
        except (OSError, ValueError):  # none yet, or torn: the features are computed again
            found = {}
        if found.get("key") == self.key:
            self._starts, self._rows = found["starts"], found["rows"]
            self._filled = found.get("filled", [])
            length = self._rows * self._width * self._dtype.itemsize
            if self._file().exists() and self._file().stat().st_size >= length:
                with self._file().open("r+b") as file:
                    file.truncate(length)  # a run that was killed may have begun to append
                return
        self._starts, self._rows, self._filled = {}, 0, []
        self._file().write_bytes(b"")

    def _save(self) -> None:
        index = {"key": self.key, "rows": self._rows, "starts": self._starts}
        write_json(self.directory / _INDEX, {**index, "filled": self._filled})
