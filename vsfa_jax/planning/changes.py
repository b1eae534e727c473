"""The smallest changes that would make a job fit, each of them compiled before it is named.

First every change alone, the least costly to speed first; then all of them one upon another.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jax.sharding import Mesh

from vsfa_jax.core.config import REMAT, Settings
from vsfa_jax.planning.report import Plan

Change = Mapping[str, Any]


def candidates(settings: Settings, mesh: Mesh) -> Iterator[Change]:
    """Changes of one thing each, as {key: value}, the least costly to speed first."""
    data, fsdp = mesh.shape["data"], mesh.shape["fsdp"]
    if data > 1:
        yield {"mesh.data": 1, "mesh.fsdp": data * fsdp}
    for policy in REMAT[REMAT.index(settings.train.remat) + 1 :]:
        yield {"train.remat": policy, "train.vision_remat": policy}
    rows, parts = settings.batch_rows // (data * fsdp), settings.micro_batches
    for more in (2, 4):
        if rows % (more * parts) == 0:
            yield {"micro_batches": more * parts}
    if settings.train.mode == "lora" and settings.model.quantize == "none":
        yield {"model.quantize": "int8"}
    if not settings.optimizer.offload:
        yield {"optimizer.offload": True}


def search(
    settings: Settings, mesh: Mesh, examine: Callable[[Settings], Plan], limit: int
) -> list[dict[str, Any]]:
    """Tries changes until one fits.

    Args:
      settings: of the job that does not fit.
      mesh: its own.
      examine: compiles the job of other settings.
      limit: the most programs that are compiled.

    Returns:
      What was tried, in order: "settings", "fits", "needed" (bytes of a device).
    """
    tried: list[dict[str, Any]] = []
    together: dict[str, Any] = {}
    singles = list(candidates(settings, mesh))
    for change in singles:
        if len(tried) == limit:
            return tried
        tried.append(_try(settings, change, examine))
        if tried[-1]["fits"]:
            return tried
    for change in singles:
        together = {**together, **change}
        if len(together) < 2 or together == change:
            continue
        if len(tried) == limit:
            return tried
        tried.append(_try(settings, together, examine))
        if tried[-1]["fits"]:
            return tried
    return tried


def _try(settings: Settings, change: Change, examine: Callable[[Settings], Plan]) -> dict[str, Any]:
    plan = examine(changed(settings, change))
    return {"settings": dict(change), "fits": plan.fits, "needed": plan.needed}


def changed(settings: Settings, change: Change) -> Settings:
    """The settings with dotted keys replaced."""
    for key, value in change.items():
        section, _, name = key.rpartition(".")
        if section:
            inner = dataclasses.replace(getattr(settings, section), **{name: value})
            settings = dataclasses.replace(settings, **{section: inner})
        else:
            settings = dataclasses.replace(settings, **{name: value})
    return settings
