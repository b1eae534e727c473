"""Scores our attention kernels against others'.

    python -m vsfa_jax.perf.kernels --topology=v5e:2x2     (v6e:2x2, v5p:2x2x1) without a TPU
    python -m vsfa_jax.perf.kernels --device               on the GPU that is present

The first compiles every kernel with every configuration, each in a process of its own, and reads
the compiler's figures; a full run takes hours of two cores, and goes on where it was interrupted.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from absl import flags, logging

from vsfa_jax.core import main as entry
from vsfa_jax.core.errors import ConfigError
from vsfa_jax.perf import baselines, cases, compiled, device, sweep, text, tuning
from vsfa_jax.perf.chips import chip_of
from vsfa_jax.perf.compiled import Plan
from vsfa_jax.perf.contenders import CONTENDERS
from vsfa_jax.perf.figures import Best, Figure
from vsfa_jax.perf.goals import goals
from vsfa_jax.perf.provenance import provenance
from vsfa_jax.perf.tuning import Found

RESULTS = Path(__file__).parent / "results"
_MODULE = "vsfa_jax.perf.kernels"
_QUICK = 2  # configurations


def main(
    topology: str,
    device_run: bool,
    quick: bool,
    tune: bool,
    case: list[str],
    kernel: list[str],
    direction: list[str],
    configurations: int,
    scratch: str,
    results: str,
    timeout_s: float,
) -> None:
    """Runs the benchmark and writes its results.

    Raises:
      ConfigError: flags that do not fit, or something that is not installed.
    """
    if device_run == bool(topology):
        raise ConfigError("give either --topology=v5e:2x2 or --device")
    partial = quick or bool(case or kernel or direction)
    # what is in the repository is of whole runs, or was asked for by name
    folder = Path(results) if results else Path(scratch) if partial else RESULTS
    if device_run:
        found = device.run(quick=quick)
        name = re.sub(r"\W+", "-", str(found["device"]).lower())
        made = provenance(_MODULE, device.PACKAGES)
        _keep({"provenance": made, **found}, folder / f"attention-{name}.json")
        return
    if tune and quick:
        raise ConfigError("--tune: two configurations are too few; found --quick beside it")
    plan = Plan(
        chip=chip_of(topology),
        contenders=[CONTENDERS[name] for name in _known(kernel, CONTENDERS, "--kernel")],
        cases=_known(case, {**cases.CASES, **cases.PACKED}, "--case"),
        directions=_known(direction, cases.DIRECTIONS, "--direction"),
        configurations=_QUICK if quick else configurations,
        scratch=Path(scratch),
        timeout_s=timeout_s,
    )
    baselines.check_installed()
    jax.config.update("jax_platforms", "cpu")  # the compiler is asked for in other processes
    measured = _run(plan, folder / f"attention-{plan.chip.name}.json")
    if tune:
        tuning.write(plan.chip, tuning.entries(measured), provenance(_MODULE, sweep.PACKAGES))


def _known(given: list[str], known: Any, flag: str) -> list[str]:
    """All names where none is given."""
    for name in given:
        if name not in known:
            raise ConfigError(f"{flag}: found {name!r}, wanted some of {', '.join(known)}")
    return given or list(known)


def _run(plan: Plan, path: Path) -> Found:
    """Measures, prints and keeps; returns our figures by case and direction."""
    ours: Found = {}
    bests: dict[str, dict[str, dict[str, Best]]] = {}
    tried: dict[str, Any] = {}
    packed = []
    for case in plan.cases:
        for direction in plan.directions:
            title = f"{plan.chip.name} {case} {direction}"
            logging.info("%s", title)
            if case in cases.PACKED:
                if "ours" in [one.name for one in plan.contenders]:
                    row, figures = compiled.packed(plan, case, direction, logging.info)
                    packed.append(row)
                    ours.setdefault(case, {})[direction] = figures
                continue
            found = compiled.swept(plan, case, direction, logging.info)
            best = compiled.best_of(found, plan.contenders, case)
            bests.setdefault(case, {})[direction] = best
            ours.setdefault(case, {})[direction] = found.get("ours", [])
            tried.setdefault(case, {})[direction] = _plain(found, best)
            print(text.case_table(plan.chip, title, best), flush=True)
    reached = goals(plan.chip, bests, packed)
    print(text.packed_table(packed) if packed else "")
    print(text.goal_table(reached))
    print("\n" + "\n".join(text.NOTES))
    kept = {
        "provenance": provenance(_MODULE, sweep.PACKAGES),
        "chip": dataclasses.asdict(plan.chip),
        "notes": text.NOTES,
        "shapes": {name: dataclasses.asdict(cases.CASES[name]) for name in bests},
        "sources": {one.name: one.source for one in plan.contenders},
        "cases": tried,
        "packed": packed,
        "goals": [dataclasses.asdict(goal) for goal in reached],
    }
    _keep(kept, path)
    return ours


def _plain(found: dict[str, list[Figure]], best: dict[str, Best]) -> dict[str, Any]:
    return {
        name: {
            "best": dataclasses.asdict(best[name]),
            "tried": [dataclasses.asdict(figure) for figure in figures],
        }
        for name, figures in found.items()
    }


def _keep(found: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(f"\nwritten: {path}")


def _define() -> dict[str, flags.FlagHolder]:
    names: Sequence[str] = [*cases.CASES, *cases.PACKED]
    return {
        "topology": flags.DEFINE_string("topology", "", "TPU to compile for, such as v5e:2x2."),
        "device_run": flags.DEFINE_bool("device", False, "Time on the GPU that is present."),
        "quick": flags.DEFINE_bool("quick", False, f"Try {_QUICK} configurations of a kernel."),
        "tune": flags.DEFINE_bool("tune", False, "Write our best sizes to the tuned table."),
        "case": flags.DEFINE_list("case", [], f"Of {', '.join(names)}; all if empty."),
        "kernel": flags.DEFINE_list("kernel", [], f"Of {', '.join(CONTENDERS)}; all if empty."),
        "direction": flags.DEFINE_list("direction", [], "forward, backward; both if empty."),
        "configurations": flags.DEFINE_integer("configurations", 8, "Most tried of a kernel."),
        "scratch": flags.DEFINE_string("scratch", "runs/perf", "Folder of measurements."),
        "results": flags.DEFINE_string(
            "results",
            "",
            "Folder of results; if empty the repository's for a whole run, else scratch.",
        ),
        "timeout_s": flags.DEFINE_float("timeout_s", 900.0, "Most that one measurement takes."),
    }


if __name__ == "__main__":
    entry.run(main, _define())
