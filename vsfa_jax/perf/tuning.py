"""The tuned table of our kernels: for each chip, pass and kind of attention, the best sizes."""

from __future__ import annotations

import json
from typing import Any

from vsfa_jax.perf import cases
from vsfa_jax.perf.chips import Chip
from vsfa_jax.perf.figures import Best
from vsfa_jax.perf.sweep import KERNELS

TABLE = KERNELS / "tuned.json"
_LENGTH = 4096  # of the models' rows


def entries(bests: dict[str, dict[str, dict[str, Best]]]) -> dict[str, dict[str, Any]]:
    """By pass, then by kind such as "causal_h128": our sizes of least cycles at the models' length.

    Args:
      bests: by case, direction and contender.
    """
    found: dict[str, dict[str, Any]] = {}
    for case, directions in bests.items():
        shape = cases.CASES[case]
        if shape.queries != _LENGTH or shape.heads != shape.kv_heads:
            continue
        kind = f"{'causal' if shape.causal else 'full'}_h{shape.head_size}"
        for direction, by_name in directions.items():
            ours = by_name.get("ours")
            if ours is not None and ours.cycles_blocks:
                sizes = ours.cycles_blocks[direction]
                found.setdefault(direction, {})[kind] = {**sizes, "cycles": ours.cycles}
    return found


def write(chip: Chip, found: dict[str, dict[str, Any]], provenance: dict[str, Any]) -> None:
    """Puts a chip's entries into the table; other chips' and other kinds' stay."""
    table = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    entry = table.setdefault(chip.kind, {"forward": {}, "backward": {}})
    for direction, kinds in found.items():
        entry[direction].update(kinds)
    entry["provenance"] = provenance
    TABLE.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")
