"""What our kernels shall reach, and whether they do."""

from __future__ import annotations

import dataclasses
from typing import Any

from vsfa_jax.perf.chips import Chip
from vsfa_jax.perf.figures import Best

# Least ratio of swept stock flash's cycles to ours.
_CAUSAL_FORWARD = {"v5e": 1.2, "v6e": 1.4}
_FULL_FORWARD = 1.1
# Least ratio of others' bundles of a tile to ours, backward.
_BACKWARD = {"flash": 1.5, "tokamax": 1.0}
# Most of the unpacked row's bundles that a packed row may take.
_PACKED = {"text_packed": 0.45, "qwen3_tower_packed": 0.35}

Sweeps = dict[str, dict[str, dict[str, Best]]]  # case, direction, contender


@dataclasses.dataclass(frozen=True)
class Goal:
    """One line of the table of goals.

    Attributes:
      what: is compared.
      wanted: "at least" or "at most" a number; "" for what is only told.
      found: the number, or None where a figure is missing.
      is_met: None where `found` is.
    """

    what: str
    wanted: str
    found: float | None
    is_met: bool | None


def goals(chip: Chip, sweeps: Sweeps, packed: list[dict[str, Any]]) -> list[Goal]:
    """The goals of one chip, each with what was found."""
    found = []
    for case, directions in sweeps.items():
        is_causal = case.startswith("causal")
        for direction, by_name in directions.items():
            if direction == "forward":
                least = _CAUSAL_FORWARD.get(chip.name) if is_causal else _FULL_FORWARD
                ratio = _ratio(by_name, "flash", "cycles")
                if least is not None:
                    found.append(_at_least(f"{case} forward: flash's cycles / ours", least, ratio))
                continue
            for name, least in _BACKWARD.items():
                what = f"{case} backward: {name}'s bundles of a tile / ours"
                found.append(_at_least(what, least, _ratio(by_name, name, "unit_bundles")))
                what = f"{what}, at least their matmuls' cycles"
                found.append(Goal(what, "", _ratio(by_name, name, "unit_cycles"), None))
    return found + [goal for row in packed for goal in _packed(row)]


def _ratio(by_name: dict[str, Best], name: str, field: str) -> float | None:
    values = [getattr(by_name[one], field) if one in by_name else None for one in (name, "ours")]
    return values[0] / values[1] if values[0] and values[1] else None


def _at_least(what: str, least: float, found: float | None) -> Goal:
    return Goal(what, f"at least {least}", found, None if found is None else found >= least)


def _packed(row: dict[str, Any]) -> list[Goal]:
    case, direction = row["case"], row["direction"]
    visited = row["visited_tiles"]
    extra = None if visited is None else visited - row["least_tiles"]
    met = None if extra is None else extra == 0
    goals = [Goal(f"{case} {direction}: tiles visited in vain", "at most 0", extra, met)]
    most, share = _PACKED.get(case), row["share"]
    if most is not None:
        what = f"{case} {direction}: bundles x tiles / unpacked"
        goals.append(Goal(what, f"at most {most}", share, None if share is None else share <= most))
    return goals
