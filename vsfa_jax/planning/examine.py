"""One program of a job on one slice, from the settings to the numbers."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from vsfa_jax.core.config import Settings
from vsfa_jax.data.batch import Budget
from vsfa_jax.mesh import make_mesh, slice_of
from vsfa_jax.planning import assumptions, flops, hlo, memory, topology
from vsfa_jax.planning.chips import Chip, chip_of
from vsfa_jax.planning.collectives import Fabric
from vsfa_jax.planning.cost import Cost, measure
from vsfa_jax.planning.job import Job, make_job
from vsfa_jax.planning.program import Program, compile_program
from vsfa_jax.planning.report import Plan, Traffic
from vsfa_jax.planning.roofline import Roofline, roofline


@dataclasses.dataclass(frozen=True)
class Slice:
    """What is planned for.

    Attributes:
      topology: of one slice, such as "v6e:2x2".
      num_slices: joined by the data centre's network.
      cache: where compiled programs are kept; None keeps none.
    """

    topology: str
    num_slices: int = 1
    cache: Path | None = None

    @property
    def chip(self) -> Chip:
        """Of every device."""
        return chip_of(self.topology)

    def devices(self) -> Sequence[jax.Device]:
        """All of them, in the order of their slices."""
        return topology.devices(self.topology, self.num_slices)


def resolved_mesh(settings: Settings, place: Slice) -> Mesh:
    """The run's mesh on the slice.

    Raises:
      ConfigError: its sizes do not make the devices.
    """
    return make_mesh(
        settings.mesh.data, settings.mesh.fsdp, settings.mesh.tensor, place.devices()
    )


def examine(settings: Settings, place: Slice, program: str, budget: Budget) -> Plan:
    """Compiles a program and reads what the compiler wrote.

    Args:
      settings: of the run.
      place: the slice.
      program: "train" or "eval".
      budget: a bucket of the run; the longest prompt, for "eval".

    Raises:
      ConfigError: the job cannot be cut so.
    """
    chip = place.chip
    job = make_job(settings, place.devices())
    is_train = program == "train"
    lower = job.lower_train if is_train else job.lower_eval
    rows = settings.batch_rows if is_train else job.eval_rows
    compiled = compile_program(lambda: lower(budget), job.mesh, place.cache)
    shape = (rows, budget.tokens, budget.patches)
    if compiled.refusal:
        return _refused(compiled, program, shape, chip)
    parsed = hlo.parse(compiled.text)
    cost = _cost(job, parsed, budget, is_train)
    wanted = flops.of_step(job, budget) if is_train else flops.of_answers(job, budget)
    times = roofline(chip, cost, wanted / job.mesh.size)
    held = memory.held(job, budget, parsed, compiled.bytes, program)
    return Plan(
        program=program,
        shape=shape,
        fits=True,
        available=chip.usable_hbm_bytes,
        needed=sum(held.values()),
        memory=held,
        host_bytes=sum(size for name, size in compiled.bytes.items() if name.startswith("host_")),
        model_flops=wanted / job.mesh.size,
        executed_flops=cost.total.flops,
        collectives=_traffic(cost),
        times=_times(times),
        mfu_ceiling=times.mfu_ceiling,
        mfu_serial=times.mfu_serial,
        compile_s=compiled.compile_s,
    )
