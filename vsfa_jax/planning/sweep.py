"""Meshes, remat policies and micro-batches of a job, tried in the order of what they promise."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from vsfa_jax.core.config import Settings
from vsfa_jax.core.errors import ConfigError
from vsfa_jax.planning.changes import changed
from vsfa_jax.planning.report import GIB, Plan

POLICIES = ("attention", "blocks", "matmuls", "none")  # of the most use first
TENSOR = (1, 2, 4)
MICRO_BATCHES = (1, 2, 4)


@dataclasses.dataclass(frozen=True)
class Trial:
    """One combination: its settings by key, and what became of it.

    Attributes:
      change: by dotted key.
      plan: None where the model cannot be cut so.
      refusal: why not.
    """

    change: dict[str, Any]
    plan: Plan | None
    refusal: str = ""


def combinations(settings: Settings, devices: int, slices: int = 1) -> list[dict[str, Any]]:
    """Every combination whose rows divide, the most promising first.

    That is: no tensor axis, parameters over as many devices as there are, one micro-batch.
    """
    found = []
    for micro, tensor, policy in itertools.product(MICRO_BATCHES, TENSOR, POLICIES):
        rest = devices // tensor
        if devices % tensor or settings.batch_rows % (micro * rest):
            continue
        for data in (n for n in range(1, rest + 1) if rest % n == 0 and n % slices == 0):
            found.append(
                {
                    "mesh.data": data,
                    "mesh.fsdp": rest // data,
                    "mesh.tensor": tensor,
                    "train.remat": policy,
                    "train.vision_remat": policy,
                    "micro_batches": micro,
                }
            )
    return sorted(found, key=_promise)


def _promise(change: dict[str, Any]) -> tuple[int, ...]:
    first = change["micro_batches"], change["mesh.tensor"], change["mesh.data"]
    return (*first, POLICIES.index(change["train.remat"]))


def run(
    settings: Settings,
    chosen: Sequence[dict[str, Any]],
    examine: Callable[[Settings], Plan],
    tell: Callable[[str], None],
) -> list[Trial]:
    """Tries each; `tell` gets a line about it."""
    trials = []
    for number, change in enumerate(chosen, start=1):
        try:
            trial = Trial(change, examine(changed(settings, change)))
        except ConfigError as error:
            trial = Trial(change, None, str(error))
        trials.append(trial)
        tell(f"{number}/{len(chosen)} {line(trial)}")
    return trials


def best(trials: Sequence[Trial]) -> Trial | None:
    """The one that fits and is fastest by the compiler's figures; None where none fits.

    Of equal times where everything overlaps, the one whose collectives take less.
    """
    fitting = [trial for trial in trials if trial.plan is not None and trial.plan.fits]

    def seconds(trial: Trial) -> tuple[float, float]:
        times = trial.plan.times if trial.plan else {}
        return round(times["overlapped"], 4), times["serial"]

    return min(fitting, key=seconds, default=None)


def line(trial: Trial) -> str:
    """A trial in words."""
    said = " ".join(f"{key.rpartition('.')[2]}={value}" for key, value in trial.change.items())
    if trial.plan is None:
        return f"{said}: cannot be cut so: {trial.refusal}"
    if not trial.plan.fits:
        return f"{said}: does not fit, {trial.plan.needed / GIB:.2f} GiB needed"
    times = trial.plan.times
    return (
        f"{said}: {trial.plan.needed / GIB:.2f} GiB, {1e3 * times['overlapped']:.0f} to "
        f"{1e3 * times['serial']:.0f} ms, MFU at most {trial.plan.mfu_ceiling:.1%}"
    )
