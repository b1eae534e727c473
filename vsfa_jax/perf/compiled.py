"""All figures of one chip by the TPU compiler: sweeps, packed rows, goals."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vsfa_jax.kernels.attention.shapes import Shape
from vsfa_jax.perf import cases, figures, ours, sweep
from vsfa_jax.perf.chips import Chip
from vsfa_jax.perf.contender import Blocks, Contender
from vsfa_jax.perf.figures import Best, Figure
from vsfa_jax.perf.tpu_compiler import Job

Show = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
      chip: to compile for.
      contenders: to compare; ours among them or not.
      cases: names in `cases.CASES` and `cases.PACKED`.
      directions: of `cases.DIRECTIONS`.
      configurations: most that a kernel is tried at; all are tried at the same number.
      scratch: folder of measurements.
      timeout_s: of one measurement.
    """

    chip: Chip
    contenders: Sequence[Contender]
    cases: Sequence[str]
    directions: Sequence[str]
    configurations: int
    scratch: Path
    timeout_s: float


def swept(plan: Plan, case: str, direction: str, show: Show) -> dict[str, list[Figure]]:
    """By contender, the figures of every configuration that was tried."""
    shape = cases.CASES[case]
    sweeps = {one.name: one.sweep(shape, direction) for one in plan.contenders}
    count = min([plan.configurations, *(len(sizes) for sizes in sweeps.values())])
    return {
        one.name: measured(plan, one, shape, direction, sweeps[one.name][:count], show)
        for one in plan.contenders
    }


def measured(
    plan: Plan,
    contender: Contender,
    shape: Shape,
    direction: str,
    sizes: Sequence[Blocks],
    show: Show,
) -> list[Figure]:
    """The figures of these configurations."""
    if contender.repeats_kv:
        shape = dataclasses.replace(shape, kv_heads=shape.heads)
    jobs = [Job(contender.name, plan.chip.name, shape, direction, blocks) for blocks in sizes]
    results = sweep.measure_all(jobs, plan.scratch, timeout_s=plan.timeout_s, show=show)
    return [
        figures.figure(plan.chip, contender, shape, blocks, result)
        for blocks, result in zip(sizes, results, strict=True)
    ]


def best_of(
    found: dict[str, list[Figure]], contenders: Sequence[Contender], case: str
) -> dict[str, Best]:
    """By contender, the best of its sweep."""
    shape = cases.CASES[case]
    return {one.name: figures.best(found[one.name], one, shape) for one in contenders}


def packed(
    plan: Plan, case: str, direction: str, show: Show
) -> tuple[dict[str, Any], list[Figure]]:
    """A packed row beside the same row unpacked, with the sizes that suit each best.

    Both are bundles x tiles, for the simulator does not know what a block map says. Returns the
    comparison, and the packed row's figures of every configuration.
    """
    shape, unpacked = cases.PACKED[case]
    sizes = ours.OURS.sweep(shape, direction)[: plan.configurations]
    plain_sizes = ours.OURS.sweep(unpacked, direction)[: plan.configurations]
    rows = measured(plan, ours.OURS, shape, direction, sizes, show)
    whole = measured(plan, ours.OURS, unpacked, direction, plain_sizes, show)
    row = figures.best(rows, ours.OURS, shape)
    other = figures.best(whole, ours.OURS, unpacked)
    chosen = row.bundles_blocks.get(direction, sizes[0])
    tiles = cases.least_tiles(shape, chosen["block_q"], chosen["block_k"])
    kept = {
        "case": case,
        "direction": direction,
        "blocks": chosen,
        "visited_tiles": ours.visited(shape, chosen) if row.bundles else None,
        "least_tiles": tiles.full + tiles.partial,
        "bundles": row.bundles,
        "unpacked_bundles": other.bundles,
        "unpacked_blocks": other.bundles_blocks.get(direction),
        "share": row.bundles / other.bundles if row.bundles and other.bundles else None,
        "failed": row.failed + other.failed,
        "tried": [dataclasses.asdict(figure) for figure in rows],
    }
    return kept, rows
