"""One program of a job on one slice, from the settings to the numbers."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import jax
from flax import nnx
from jax.sharding import Mesh

from vsfa_jax.core.config import Settings
from vsfa_jax.core.errors import ConfigError
from vsfa_jax.data.batch import Budget
from vsfa_jax.mesh import make_mesh, slice_of
from vsfa_jax.models.parameters import by_name
from vsfa_jax.models.rows import num_shards
from vsfa_jax.planning import assumptions, flops, hlo, memory, topology
from vsfa_jax.planning.chips import Chip, chip_of
from vsfa_jax.planning.collectives import Fabric
from vsfa_jax.planning.cost import Cost, measure
from vsfa_jax.planning.holdings import holdings
from vsfa_jax.planning.job import Job
from vsfa_jax.planning.program import Program, Request, compile_program
from vsfa_jax.planning.report import GIB, Plan, Traffic
from vsfa_jax.planning.roofline import Roofline, roofline

_SHOWN = 6  # of the largest allocations


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
    return make_mesh(settings.mesh.data, settings.mesh.fsdp, settings.mesh.tensor, place.devices())


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
    request = Request(settings, place.topology, place.num_slices, program, budget)
    job, is_train = request.job(), program == "train"
    rows = settings.batch_rows if is_train else job.eval_rows
    compiled = compile_program(request, job, place.cache)
    shape = (rows, budget.tokens, budget.patches)
    if compiled.refusal:
        return _refused(compiled, program, shape, chip)
    parsed = hlo.parse(compiled.text)
    cost = _cost(job, parsed, budget, is_train)
    wanted = _model_flops(job, budget, is_train)
    times = roofline(chip, cost, wanted / job.mesh.size)
    held = holdings(
        parsed,
        compiled.bytes,
        job.split.frozen,
        job.batch(budget) if is_train else job.prompts(budget),
        job.state if is_train else None,
        None if is_train else job.split.params,
    )
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


def _refused(program: Program, name: str, shape: tuple[int, int, int], chip: Chip) -> Plan:
    """What is known of a program that the compiler found no room for."""
    refusal = memory.read_refusal(program.refusal)
    if refusal is None:
        raise ConfigError(f"plan: the compiler refused: {program.refusal.splitlines()[0]}")
    return Plan(
        program=name,
        shape=shape,
        fits=False,
        available=refusal.available_bytes or chip.usable_hbm_bytes,
        needed=refusal.used_bytes,
        memory={"all of it": refusal.used_bytes},
        largest=[f"{one.bytes / GIB:.3f} GiB {one.said}" for one in refusal.largest[:_SHOWN]],
        compile_s=program.compile_s,
    )


def fabric_of(job: Job) -> Fabric:
    """How the job's devices are named in its programs."""
    slices = tuple(slice_of(device) for device in job.mesh.devices.flat)
    return Fabric(dict(job.mesh.shape), slices if len(set(slices)) > 1 else ())


def _cost(job: Job, parsed: hlo.Program, budget: Budget, is_train: bool) -> Cost:
    """What one run does on one device, the data as `assumptions` has them."""
    share = num_shards(job.mesh) * job.settings.micro_batches
    trained = job.settings.batch_rows // share * budget.tokens if is_train else 0
    return measure(
        parsed,
        fabric_of(job),
        assumptions.kernel_flops(assumptions.window_patches(job.config)),
        trips=assumptions.trips(trained, job.settings.eval.max_new_tokens),
        shares=assumptions.tower_shares(job.config),
    )


def _model_flops(job: Job, budget: Budget, is_train: bool) -> float:
    """Of one run on all devices: every row full, every token trained, no answer ends early."""
    params, tokens = job.split.params, budget.tokens
    model = nnx.merge(job.split.structure.graph, params, job.split.frozen)
    if is_train:
        rows = job.settings.batch_rows
        load = flops.full_load(job.config, rows, tokens, budget.patches, trained=tokens)
        return flops.total(flops.model_flops(model, set(by_name(params)), load)).total
    new = job.settings.eval.max_new_tokens
    load = flops.full_load(job.config, job.eval_rows, tokens, budget.patches, trained=1)
    pairs = flops.causal_pairs(tokens + new, job.config.text.window)
    load = dataclasses.replace(
        load,
        tokens=job.eval_rows * (tokens + new),
        trained=job.eval_rows * (1 + new),
        text_pairs=job.eval_rows * pairs,
    )
    return flops.total(flops.model_flops(model, (), load)).total


def _traffic(cost: Cost) -> list[Traffic]:
    """Collectives by kind and axes, the most bytes first."""
    sums: dict[tuple[str, tuple[str, ...], bool], list[float]] = collections.defaultdict(
        lambda: [0.0, 0.0]
    )
    for one in cost.collectives:
        total = sums[one.kind, one.axes, one.crosses_slices]
        total[0] += one.executions
        total[1] += one.executions * one.sent_bytes
    found = [Traffic(*key, *total) for key, total in sums.items()]
    return sorted(found, key=lambda one: -one.bytes)


def _times(found: Roofline) -> dict[str, float]:
    """Seconds by what they go to."""
    times = {"compute": found.compute_s, "hbm": found.hbm_s, "ici": found.ici_s}
    if found.dcn_s:
        times["dcn"] = found.dcn_s
    return {**times, "overlapped": found.overlapped_s, "serial": found.serial_s}
