"""The settings that decide what a job's programs are, and a plan that a run may have been given."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
from absl import logging
from jax.sharding import Mesh

from vsfa_jax.core.config import Settings
from vsfa_jax.core.errors import ConfigError
from vsfa_jax.mesh import make_mesh

PLAN = "plan.json"


def that_bear_on_memory(settings: Settings, mesh: Mesh) -> dict[str, Any]:
    """As JSON has them: the model, what is trained and kept, a row's shape, the mesh."""
    model, optimizer = settings.model, settings.optimizer
    found = {
        "model": {key: getattr(model, key) for key in ("path", "dtype", "quantize")},
        "train": {
            k: v for k, v in dataclasses.asdict(settings.train).items() if k != "despite_plan"
        },
        "lora": dataclasses.asdict(settings.lora),
        "optimizer": {
            key: getattr(optimizer, key)
            for key in ("offload", "vision_rate", "projector_rate", "language_rate")
        },
        "budgets": settings.data.budgets,
        "rows": [settings.batch_rows, settings.micro_batches],
        "mesh": dict(mesh.shape),
        "device": mesh.devices.flat[0].device_kind,
    }
    return json.loads(json.dumps(found))


def refuse_if_planned_not_to_fit(settings: Settings, workdir: Path) -> None:
    """Refuses a run whose plan, made for the same settings and devices, says it does not fit.

    Raises:
      ConfigError: so it says; `train.despite_plan` lets it try.
    """
    path = workdir / PLAN
    if settings.train.despite_plan or not path.exists():
        return
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
        fits, planned = bool(plan["fits"]), plan["settings"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: not a readable plan ({error}); delete it") from error
    mesh = make_mesh(settings.mesh.data, settings.mesh.fsdp, settings.mesh.tensor)
    if planned != that_bear_on_memory(settings, mesh):
        logging.warning("%s is of other settings or devices; it is not looked at", path)
        return
    if not fits:
        raise ConfigError(
            f"{path}: says that this job does not fit {jax.device_count()} "
            f"{mesh.devices.flat[0].device_kind}; change what it names, or set "
            "train.despite_plan to try all the same"
        )
