"""How much of a packed row stays empty, where the data are at hand."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from absl import logging

from vsfa_jax import models, tinyworld
from vsfa_jax.core.config import Settings
from vsfa_jax.core.errors import UserError
from vsfa_jax.input import packed


def padding(settings: Settings) -> dict[str, float] | None:
    """Shares of an epoch's tokens and patches that are padding; None where data or model are away.

    Args:
      settings: of the run.
    """
    data, path = settings.data.path, str(tinyworld.resolve_model(settings.model.path))
    if tinyworld.world_name(data) is None and not Path(data).is_dir():
        return None
    if not Path(path).is_dir():
        return None
    try:
        directory = Path(path)
        family, skeleton = models.skeleton(directory, settings.model.completed_from)
        processor = family.Processor(directory, skeleton.config, settings.model.max_pixels)
        with tempfile.TemporaryDirectory() as folder:
            plan = packed(settings, processor, "train", Path(folder))[1]
    except UserError as error:
        logging.warning("padding is not known: %s", error)
        return None
    room, held = np.zeros(2), np.zeros(2)
    for budget, rows in plan.one_pass():
        full = [row for row in rows if len(row)]
        room += len(full) * np.array([budget.tokens, budget.patches])
        held += plan.lengths[np.concatenate(full)].sum(0)
    empty = 1 - held / np.maximum(room, 1)
    return {"tokens": float(empty[0]), "patches": float(empty[1]) if room[1] else 0.0}
