"""The tuned table of our kernels, `tuned.json`: best sizes for each chip and kind of attention.

A kind is one of `tpu_blocks.case_name`. What no model needs, and so no case measures, gets the
sizes of the kind that is named beside it in `STAND_IN`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from vsfa_jax.kernels.attention.shapes import Shape
from vsfa_jax.kernels.attention.tpu_blocks import case_name
from vsfa_jax.perf import cases
from vsfa_jax.perf.chips import Chip
from vsfa_jax.perf.contender import Blocks
from vsfa_jax.perf.figures import Figure
from vsfa_jax.perf.sweep import KERNELS

TABLE = KERNELS / "tuned.json"
STAND_IN = {
    "causal, one segment, columns": "causal, one segment, rows",
    "causal, packed, columns": "causal, packed, rows",
    "full, packed, rows": "full, packed, columns",
    "full, windows, rows": "full, windows, columns",
}
Found = dict[str, dict[str, list[Figure]]]  # case, direction, our figures


def kind(shape: Shape) -> str:
    """The table's name for a shape, as `tpu_blocks.case_name` gives it."""
    longest = max(shape.segments) if shape.segments else None
    mapped = shape.segments is not None
    return case_name(shape.head_size, causal=shape.causal, mapped=mapped, longest=longest)


def entries(found: Found) -> dict[str, dict[str, Blocks]]:
    """By kind and direction the sizes that are best over its cases, each length counting alike."""
    shapes = {name: cases.CASES.get(name) or cases.PACKED[name][0] for name in found}
    kinds: dict[str, list[str]] = {}
    for name, shape in shapes.items():
        if len(found[name]) == len(cases.DIRECTIONS):
            kinds.setdefault(kind(shape), []).append(name)
    chosen = {}
    for name, members in kinds.items():
        costs = {d: _costs([found[m][d] for m in members]) for d in cases.DIRECTIONS}
        if all(costs.values()):
            shared = ("columns",) if "one segment" in name else ("block_q", "block_k", "columns")
            chosen[name] = _joint(costs, shared)
    for name, other in STAND_IN.items():
        if name not in chosen and other in chosen:
            chosen[name] = chosen[other]
    return chosen


Costs = list[tuple[float, Blocks]]


def _costs(sweeps: Sequence[list[Figure]]) -> Costs:
    """Of sizes that worked in every case: what each takes beside the case's best, summed."""
    tables = [
        {tuple(f.blocks.items()): _cost(f, figures) for f in figures if not f.failure}
        for figures in sweeps
    ]
    common = set.intersection(*(set(table) for table in tables))
    least = [min(table.values(), default=1.0) for table in tables]
    return [
        (sum(table[sizes] / best for table, best in zip(tables, least, strict=True)), dict(sizes))
        for sizes in sorted(common)
    ]


def _cost(figure: Figure, sweep: Sequence[Figure]) -> float:
    """Cycles where all of a sweep have them, else bundles, as where a block map hides them."""
    known = all(p.cycles is not None for f in sweep if not f.failure for p in f.parts.values())
    return sum((p.cycles if known else p.bundles) or 0 for p in figure.parts.values())


def _joint(costs: dict[str, Costs], shared: Sequence[str]) -> dict[str, Blocks]:
    """Both passes, alike in what they must share; a backward pass takes some 2.5 forwards."""
    pairs = [
        (forward + 2.5 * backward, sizes, others)
        for forward, sizes in costs["forward"]
        for backward, others in costs["backward"]
        if all(sizes[name] == others[name] for name in shared)
    ]
    _, forward, backward = min(pairs, key=lambda pair: pair[0])
    return {"forward": forward, "backward": backward}


def write(chip: Chip, chosen: dict[str, dict[str, Blocks]], provenance: dict[str, Any]) -> None:
    """Puts a chip's sizes into the table; other chips and other kinds stay as they are.

    `made` has the runs that a chip's sizes are from, each with those kinds that no later one has.
    """
    table = json.loads(TABLE.read_text())
    table["chips"].setdefault(chip.name, {}).update(chosen)
    made = {**provenance, "kinds": sorted(chosen), "stand_in": STAND_IN}
    earlier = [
        {**run, "kinds": [name for name in run["kinds"] if name not in chosen]}
        for run in table["made"].get(chip.name, [])
    ]
    table["made"][chip.name] = [*(run for run in earlier if run["kinds"]), made]
    TABLE.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")
