"""Says whether a job fits a TPU slice, and what it would do there, before there is a slice.

    python -m vsfa_jax.plan --config=configs/qwen3_vl_8b.py --topology=v6e:2x2
    python -m vsfa_jax.plan --config=configs/qwen3_vl_8b.py --topology=v6e:4x4 --sweep --limit=6

Compiles the job's programs with libtpu, for which no TPU is needed, and writes plan.json and
plan.html to --workdir. Exit status 0: it fits; 1: it does not, and the smallest changes are named
that would make it fit. `train` refuses a workdir whose plan says that the job does not fit.
"""

from __future__ import annotations

import datetime
import functools
from pathlib import Path

from absl import flags, logging

from vsfa_jax.core import main as entry
from vsfa_jax.core.config import Settings
from vsfa_jax.core.errors import TrainingError
from vsfa_jax.core.paths import write_atomic, write_json
from vsfa_jax.data.batch import Budget
from vsfa_jax.planning import changes, page, sweep, topology
from vsfa_jax.planning.examine import Slice, examine, resolved_mesh
from vsfa_jax.planning.padding import padding
from vsfa_jax.planning.report import Report, as_json, as_text
from vsfa_jax.planning.settings import that_bear_on_memory

PROGRAMS = {"train": ("train",), "eval": ("eval",), "all": ("train", "eval")}


def plan(settings: Settings, place: Slice, programs: tuple[str, ...], tries: int) -> Report:
    """Compiles the programs and, where one does not fit, what might.

    Args:
      settings: of the run.
      place: the slice.
      programs: of "train" and "eval".
      tries: the most changes that are compiled where the training step does not fit.

    Raises:
      UserError: the job cannot be put on the slice at all.
    """
    plans = [
        examine(settings, place, program, Budget(*budget))
        for program in programs
        for budget in (settings.data.budgets if program == "train" else settings.data.budgets[-1:])
    ]
    tried = []
    unfit = [plan for plan in plans if plan.program == "train" and not plan.fits]
    if unfit and tries:
        budget = Budget(*unfit[-1].shape[1:])
        ask = functools.partial(examine, place=place, program="train", budget=budget)
        mesh = resolved_mesh(settings, place)
        tried = changes.search(settings, mesh, ask, tries)
    return Report(
        about=about(settings, place),
        settings=that_bear_on_memory(settings, resolved_mesh(settings, place)),
        plans=plans,
        padding=padding(settings),
        changes=tried,
    )


def about(settings: Settings, place: Slice) -> dict[str, str]:
    """What was planned, in words."""
    mesh = resolved_mesh(settings, place)
    trained = settings.train.mode + (
        f", rank {settings.lora.rank}" if settings.train.mode == "lora" else ""
    )
    return {
        "model": settings.model.path,
        "slice": place.topology + (f", {place.num_slices} slices" if place.num_slices > 1 else ""),
        "mesh": ", ".join(f"{name} {size}" for name, size in mesh.shape.items()),
        "trained": f"{trained}; base {settings.model.dtype}"
        + ("" if settings.model.quantize == "none" else f" in {settings.model.quantize}"),
        "remat": f"{settings.train.remat}, tower {settings.train.vision_remat}",
        "micro-batches": str(settings.micro_batches),
        "made": f"{datetime.date.today()}, {topology.versions()}",
    }


def run_sweep(settings: Settings, place: Slice, limit: int) -> None:
    """Prints what each combination takes, and which to use."""
    found = sweep.combinations(settings, len(place.devices()), place.num_slices)
    chosen = found[:limit]
    print(f"{len(found)} combinations divide; {len(chosen)} programs will be compiled (--limit)")
    ask = functools.partial(
        examine, place=place, program="train", budget=Budget(*settings.data.budgets[-1])
    )
    trials = sweep.run(settings, chosen, ask, functools.partial(print, flush=True))
    winner = sweep.best(trials)
    if winner is None:
        raise TrainingError("none of them fits; try more with --limit, or a larger slice")
    said = " ".join(f"--config.{key}={value}" for key, value in winner.change.items())
    print(f"recommended: {said}")


def main(settings: Settings, workdir: Path | None) -> None:
    """Runs under `core.main`."""
    chosen = flags.FLAGS
    topology.prepare_environment()
    place = Slice(chosen.topology, chosen.num_slices, Path(chosen.cache) if chosen.cache else None)
    if chosen.sweep:
        run_sweep(settings, place, chosen.limit)
        return
    report = plan(settings, place, PROGRAMS[chosen.programs], chosen.limit)
    name = f"{Path(settings.model.path).name}-{place.topology.replace(':', '-')}"
    folder = workdir or Path("plans") / name
    write_json(folder / "plan.json", as_json(report))
    write_atomic(folder / "plan.html", page.render(report))
    print(as_text(report))
    logging.info("%s", folder / "plan.html")
    if not report.fits:
        raise TrainingError(f"the job does not fit {place.topology}; see {folder / 'plan.html'}")


if __name__ == "__main__":
    flags.DEFINE_string("topology", None, 'A slice, such as "v6e:2x2".', required=True)
    flags.DEFINE_integer("num_slices", 1, "Slices; `data` lies across them.")
    flags.DEFINE_enum("programs", "train", [*PROGRAMS], "What is compiled.")
    flags.DEFINE_bool("sweep", False, "Try meshes, remat policies and micro-batches.")
    flags.DEFINE_integer(
        "limit", 8, "The most programs that --sweep, or a search for changes, compiles."
    )
    flags.DEFINE_string("cache", "", "Folder where compiled programs are kept; empty keeps none.")
    entry.run(main, workdir_is_optional=True)
