"""The benchmark's figures as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from vsfa_jax.perf import figures
from vsfa_jax.perf.chips import Chip
from vsfa_jax.perf.figures import Best
from vsfa_jax.perf.goals import Goal

NOTES = (
    "cycles: libtpu's static estimate; it resolves loop bounds in closed form, and models no HBM "
    "bandwidth.",
    "bundles: instruction words of the tiles that have to be visited, each tile at least its "
    "matmuls' least cycles; they leave out most stalls, so they compare with bundles only.",
    "tile: bundles of a 512 x 512 part of a tile without mask (flash masks every causal one), and "
    "the same, at least its matmuls' least cycles.",
    "bound: the greater of cycles (where there are none, bundles) / clock and bytes / bandwidth; "
    "bytes count each operand and result once.",
    "splash and tokamax read their masks from scalar memory, which the simulator does not know, "
    "and take queries that were scaled before, which is not counted.",
    "flash wants as many heads of keys as of queries, so keys and values are repeated for it.",
    "ours and others' are measured in the layout that each kernel takes, H along the sublanes for "
    "ours at head sizes that 128 does not divide; bringing arrays there is not counted.",
    "figures are of fewer heads than the models have; they grow with the heads.",
)
_HEAD = (
    "kernel",
    "tried",
    "failed",
    "cycles",
    "bundles",
    "tile",
    "matmuls",
    "MB",
    "bound us",
    "to ours",
)


def case_table(chip: Chip, title: str, by_name: dict[str, Best]) -> str:
    """One case and direction; `to ours` is the ratio of cycles, or of bundles (b)."""
    rows = [
        (
            name,
            str(one.tried),
            str(one.failed),
            _whole(one.cycles),
            _whole(one.bundles),
            _whole(one.unit_bundles),
            _whole(one.unit_cycles),
            f"{one.bytes / 1e6:.1f}",
            _micro(figures.bound_s(chip, one)),
            _to_ours(name, one, by_name),
        )
        for name, one in by_name.items()
    ]
    return "\n".join([f"\n{title}", *aligned([_HEAD, *rows])])


def _to_ours(name: str, one: Best, by_name: dict[str, Best]) -> str:
    ours = by_name.get("ours")
    if ours is None or name == "ours":
        return ""
    if one.cycles and ours.cycles:
        return f"{one.cycles / ours.cycles:.2f}"
    return f"{one.bundles / ours.bundles:.2f} (b)" if one.bundles and ours.bundles else "-"


def packed_table(rows: Sequence[dict[str, Any]]) -> str:
    """Packed rows beside unpacked ones."""
    head = ("packed row", "pass", "visited", "least", "bundles", "unpacked", "share")
    lines = [
        (
            row["case"],
            row["direction"],
            str(row["visited_tiles"]),
            str(row["least_tiles"]),
            _whole(row["bundles"]),
            _whole(row["unpacked_bundles"]),
            "-" if row["share"] is None else f"{row['share']:.3f}",
        )
        for row in rows
    ]
    return "\n".join(["", *aligned([head, *lines])])


def goal_table(found: Iterable[Goal]) -> str:
    """What was wanted, found, and whether it is met."""
    words = {True: "pass", False: "FAIL", None: "not measured"}
    lines = [
        (
            g.what,
            g.wanted,
            "-" if g.found is None else f"{g.found:.3g}",
            words[g.is_met] if g.wanted else "",
        )
        for g in found
    ]
    return "\n".join(["", *aligned([("goal", "wanted", "found", ""), *lines])])


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with columns side by side; the first to the left, the others to the right."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _micro(value: float | None) -> str:
    return "-" if value is None else f"{value * 1e6:.1f}"
