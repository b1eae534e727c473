"""What one run of a compiled program computes, moves and sends, on one chip.

Every instruction is counted as often as it runs: loops by their trip counts, fusions and calls with
their callers, of a conditional one branch. An asynchronous pair counts where it begins.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping, Sequence

from vsfa_jax.planning import collectives, matmuls, traffic
from vsfa_jax.planning.collectives import Collective, Fabric
from vsfa_jax.planning.hlo import Array, Computation, HloError, Instruction, Program
from vsfa_jax.planning.loops import Loops, Trips

PALLAS_TPU = "tpu_custom_call"

Shares = Callable[[Instruction], Sequence[float] | None]


@dataclasses.dataclass(frozen=True)
class Kernel:
    """One call of a Pallas kernel.

    Attributes:
      name: that `pallas_call` was given.
      operands: arrays that it takes, scalar prefetch first.
      results: arrays that it gives.
      op_name: where it comes from.
    """

    name: str
    operands: tuple[Array, ...]
    results: tuple[Array, ...]
    op_name: str


KernelFlops = Callable[[Kernel], float]


@dataclasses.dataclass(frozen=True)
class Work:
    """Sums over executions.

    Attributes:
      matmul_flops: of dots and convolutions.
      kernel_flops: of Pallas kernels.
      hbm_bytes: moved from and to HBM, as `traffic` estimates it.
    """

    matmul_flops: float = 0.0
    kernel_flops: float = 0.0
    hbm_bytes: float = 0.0

    @property
    def flops(self) -> float:
        """Of matmuls and kernels."""
        return self.matmul_flops + self.kernel_flops

    def __add__(self, other: Work) -> Work:
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Work(*(a + b for a, b in pairs))

    def times(self, count: float) -> Work:
        """`count` of them."""
        return Work(*(count * value for value in dataclasses.astuple(self)))


@dataclasses.dataclass(frozen=True)
class KernelWork:
    """Executions of the kernels of one name, and their FLOPs in all."""

    executions: float
    flops: float


@dataclasses.dataclass(frozen=True)
class Cost:
    """One run of a program on one chip.

    Attributes:
      by_op_name: work by where it comes from.
      kernels: by name.
      collectives: each with its executions.
    """

    by_op_name: Mapping[str, Work]
    kernels: Mapping[str, KernelWork]
    collectives: tuple[Collective, ...]

    @functools.cached_property
    def total(self) -> Work:
        """Of the whole program."""
        return sum(self.by_op_name.values(), Work())

    @property
    def sent_bytes(self) -> float:
        """That a chip sends in all; see `Collective.sent_bytes`."""
        return sum(one.executions * one.sent_bytes for one in self.collectives)


def measure(
    program: Program,
    fabric: Fabric,
    kernel_flops: KernelFlops,
    *,
    trips: Trips | None = None,
    shares: Shares | None = None,
) -> Cost:
    """Counts what a program does.

    Args:
      program: parsed.
      fabric: the mesh that it was compiled for.
      kernel_flops: FLOPs of one call of a Pallas kernel.
      trips: trip count of a `while`; None for those that its counter tells.
      shares: how often each branch of a `conditional` is taken, in sum 1; the branch with the most
        FLOPs is always taken where it gives None.

    Raises:
      HloError: a loop ends by the data and `trips` does not know it, or a form is not known.
    """
    return _Counter(program, fabric, kernel_flops, Loops(program, trips), shares).of(
        program.entry.name
    )


class _Counter:
    """Costs of computations, each for one execution."""

    def __init__(
        self,
        program: Program,
        fabric: Fabric,
        kernel_flops: KernelFlops,
        loops: Loops,
        shares: Shares | None,
    ):
        self._program, self._fabric, self._loops = program, fabric, loops
        self._kernel_flops, self._shares = kernel_flops, shares
        self._known: dict[tuple[str, bool], Cost] = {}

    def of(self, name: str, fused: bool = False) -> Cost:
        """Of one execution of a computation; of a fused one without its bytes."""
        key = name, fused
        if key not in self._known:
            computation = self._program.computations[name]
            parts = [
                part
                for one in computation.instructions.values()
                for part in self._parts(computation, one, fused)
            ]
            self._known[key] = _sum(parts)
        return self._known[key]

    def _parts(
        self, computation: Computation, one: Instruction, fused: bool
    ) -> Sequence[tuple[float, Cost]]:
        """What one instruction does, and what it calls with how often."""
        if one.opcode == "while":
            return [(self._loops.trips(computation, one), self.of(one.called["body"]))]
        if one.opcode == "conditional":
            return self._branches(one)
        parts = [(1.0, self._own(computation, one, fused))]
        if one.opcode == "fusion":
            parts.append((1.0, self.of(one.called["calls"], fused=True)))
        elif one.opcode in ("call", "call-start", "async-start"):
            role = "calls" if "calls" in one.called else "to_apply"
            parts.append((1.0, self.of(one.called[role])))
        return parts

    def _branches(self, one: Instruction) -> Sequence[tuple[float, Cost]]:
        found = [self.of(name) for name in one.branches]
        shares = self._shares(one) if self._shares else None
        if shares is None:
            return [(1.0, max(found, key=lambda cost: (cost.total.flops, cost.total.hbm_bytes)))]
        if len(shares) != len(found):
            raise HloError(
                f"conditional {one.name}: found {len(shares)} shares for {len(found)} branches"
            )
        return list(zip(shares, found, strict=True))

    def _own(self, computation: Computation, one: Instruction, fused: bool) -> Cost:
        """One instruction without what it calls."""
        kernels: dict[str, KernelWork] = {}
        kernel_flops = 0.0
        if one.target == PALLAS_TPU:
            kernel = kernel_of(computation, one)
            kernel_flops = self._kernel_flops(kernel)
            kernels[kernel.name] = KernelWork(1.0, kernel_flops)
        found: tuple[Collective, ...] = ()
        is_part = fused and _goes_on(computation)
        if collectives.kind_of(one) and not is_part:
            begins = fused and _targets(computation, traffic.ASYNC_START)
            found = (collectives.read(self._program, computation, one, self._fabric, begins),)
        work = Work(matmuls.flops(computation, one), kernel_flops, 0.0)
        if not fused:
            moved = traffic.hbm_bytes(self._program, computation, one)
            work = dataclasses.replace(work, hbm_bytes=float(moved))
        elif found:
            moved = traffic.collective_bytes(computation, one)
            work = dataclasses.replace(work, hbm_bytes=float(moved))
        return Cost({one.op_name: work} if work != Work() else {}, kernels, found)


def kernel_of(computation: Computation, one: Instruction) -> Kernel:
    """The call of a Pallas kernel that an instruction is."""
    operands = tuple(array for each in computation.operands(one) for array in each.arrays)
    return Kernel(re.sub(r"(\.\d+|\.clone)*$", "", one.name), operands, one.arrays, one.op_name)


def _targets(computation: Computation, target: str) -> bool:
    return any(one.target == target for one in computation.instructions.values())


def _goes_on(fused: Computation) -> bool:
    """Whether a fused computation's collective has begun before it.

    The compiler spreads one over several fusions and writes the whole into each of them.
    """
    name = fused.name
    return name.startswith("async_collective_fusion") or _targets(fused, traffic.ASYNC_DONE)


def _sum(parts: Sequence[tuple[float, Cost]]) -> Cost:
    """The parts, each as often as it runs."""
    work: dict[str, Work] = {}
    kernels: dict[str, KernelWork] = {}
    found: list[Collective] = []
    for count, part in parts:
        for op_name, done in part.by_op_name.items():
            work[op_name] = work.get(op_name, Work()) + done.times(count)
        for name, each in part.kernels.items():
            before = kernels.get(name, KernelWork(0.0, 0.0))
            kernels[name] = KernelWork(
                before.executions + count * each.executions, before.flops + count * each.flops
            )
        found += [
            dataclasses.replace(one, executions=count * one.executions)
            for one in part.collectives
            if count
        ]
    return Cost(work, kernels, tuple(found))
