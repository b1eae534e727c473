"""What a plan says: one program on one slice, as numbers, as JSON and as text."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Traffic:
    """Collectives of one kind along the same mesh axes.

    Attributes:
      kind: as HLO calls it.
      axes: of the mesh that they cross.
      crosses_slices: whether they go through the data centre's network.
      executions: in one run of the program.
      bytes: that one device sends in one run.
    """

    kind: str
    axes: tuple[str, ...]
    crosses_slices: bool
    executions: float
    bytes: float


@dataclasses.dataclass(frozen=True)
class Plan:
    """One program of a job on a slice; bytes, FLOPs and seconds are of one device.

    Attributes:
      program: "train" or "eval".
      shape: (rows, tokens, patches) of a run.
      fits: whether the compiler found room for it.
      available: bytes of HBM that a program may take.
      needed: bytes that it takes, or would take.
      memory: bytes by what they hold.
      host_bytes: in the memory of the device's host.
      model_flops: what the mathematics asks for.
      executed_flops: what the program computes, what is computed again included.
      collectives: by kind and axes.
      times: seconds by what they go to, and "overlapped" and "serial".
      mfu_ceiling: share of the peak, where everything overlaps.
      mfu_serial: where no collective does.
      largest: the compiler's largest allocations, of a program that does not fit.
      compile_s: that compiling took.
    """

    program: str
    shape: tuple[int, int, int]
    fits: bool
    available: int
    needed: int
    memory: Mapping[str, int]
    host_bytes: int = 0
    model_flops: float = 0.0
    executed_flops: float = 0.0
    collectives: Sequence[Traffic] = ()
    times: Mapping[str, float] = dataclasses.field(default_factory=dict)
    mfu_ceiling: float = 0.0
    mfu_serial: float = 0.0
    largest: Sequence[str] = ()
    compile_s: float = 0.0

    @property
    def headroom(self) -> int:
        """Bytes that are left; negative where it does not fit."""
        return self.available - self.needed


@dataclasses.dataclass(frozen=True)
class Report:
    """Everything that one call of the planner found.

    Attributes:
      about: what was planned, for the reader: config, topology, mesh, versions, date.
      settings: of the run that bear on its memory; `train` compares them with its own.
      plans: of its programs.
      padding: share of a row's tokens and patches that the packing leaves empty; None without
        data.
      changes: what would make it fit, smallest first, each with whether it does.
    """

    about: Mapping[str, str]
    settings: Mapping[str, Any]
    plans: Sequence[Plan]
    padding: Mapping[str, float] | None = None
    changes: Sequence[Mapping[str, Any]] = ()

    @property
    def fits(self) -> bool:
        """Whether every program does."""
        return all(plan.fits for plan in self.plans)


def as_json(report: Report) -> dict[str, Any]:
    """What plan.json holds."""
    return {**dataclasses.asdict(report), "fits": report.fits}


def as_text(report: Report) -> str:
    """What the terminal shows."""
    lines = [f"{key:<12} {value}" for key, value in report.about.items()]
    for plan in report.plans:
        lines += ["", *_plan_lines(plan)]
    if report.padding is not None:
        shares = ", ".join(f"{share:.1%} of {name}" for name, share in report.padding.items())
        lines += ["", f"padding      {shares}"]
    lines += ["", *_verdict(report)]
    return "\n".join(lines)


def _plan_lines(plan: Plan) -> list[str]:
    rows, tokens, patches = plan.shape
    lines = [f"{plan.program}: {rows} rows of {tokens} tokens and {patches} patches"]
    lines += [f"  {name:<34} {text_of_bytes(size)}" for name, size in plan.memory.items()]
    needed, available = text_of_bytes(plan.needed), text_of_bytes(plan.available)
    lines.append(f"  {'needed of available':<34} {needed} of {available}")
    lines.append(f"  {'headroom':<34} {text_of_bytes(plan.headroom)}")
    if plan.host_bytes:
        lines.append(f"  {'in the host memory':<34} {text_of_bytes(plan.host_bytes)}")
    if plan.largest:
        lines += ["  largest allocations:", *(f"    {one}" for one in plan.largest)]
    if not plan.executed_flops:
        return lines
    lines += [
        f"  {'model FLOPs of a device':<34} {text_of_flops(plan.model_flops)}",
        f"  {'executed FLOPs of a device':<34} {text_of_flops(plan.executed_flops)}",
    ]
    for one in plan.collectives:
        where = "+".join(one.axes) + (", across slices" if one.crosses_slices else "")
        what = f"{one.kind} over {where}"
        lines.append(f"  {what:<34} {text_of_bytes(one.bytes)} in {one.executions:.0f}")
    for name, seconds in plan.times.items():
        lines.append(f"  {name + ' time':<34} {1e3 * seconds:9.2f} ms")
    lines.append(f"  {'MFU at most':<34} {plan.mfu_ceiling:9.1%}")
    lines.append(f"  {'MFU if no collective overlaps':<34} {plan.mfu_serial:9.1%}")
    return lines


def _verdict(report: Report) -> list[str]:
    if report.fits:
        return ["it fits"]
    lines = ["it does not fit"]
    for change in report.changes:
        said = ", ".join(f"{key}={value}" for key, value in change["settings"].items())
        verdict = "fits" if change["fits"] else "does not fit"
        lines.append(f"  {said}: {verdict}, {text_of_bytes(change['needed'])} needed")
    return lines


def text_of_bytes(size: float) -> str:
    """Bytes in GiB, or in MiB where that says more."""
    return f"{size / GIB:9.3f} GiB" if abs(size) >= GIB / 10 else f"{size / 2**20:9.3f} MiB"


def text_of_flops(count: float) -> str:
    """In tera, or in giga where that says more."""
    return f"{count / 1e12:9.2f} T" if count >= 1e11 else f"{count / 1e9:9.2f} G"
