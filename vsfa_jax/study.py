"""Every arm over several seeds, each against the base, in one table.

    python -m vsfa_jax.study --config=configs/study_tiny.py --workdir=runs/study

Each arm and seed is a run of its own in WORKDIR/ARM-SEED; one that is trained and evaluated already
is not run again. WORKDIR/study.md has the table, WORKDIR/study.json every row of every run, and
WORKDIR/study.html shows the arms, each over its seeds. It ends with status 1 where more than
eval.max_unjudged of a run's answers could not be judged; all of it is written all the same.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from absl import logging

from vsfa_jax import report
from vsfa_jax.benchmarks.case import Answer
from vsfa_jax.core import main as entry
from vsfa_jax.core.config import Settings, to_dict
from vsfa_jax.core.errors import ConfigError, TrainingError, UnjudgedError
from vsfa_jax.core.paths import write_atomic, write_json
from vsfa_jax.core.workdir import Workdir
from vsfa_jax.evaluate import evaluate, load_cases, unjudged_text
from vsfa_jax.findings import read_answers, read_verdicts
from vsfa_jax.judges.protocol import Verdict
from vsfa_jax.judging import over_limit
from vsfa_jax.manifest import check_config
from vsfa_jax.study_table import Result, as_markdown, read_result
from vsfa_jax.tables import BASE, BLIND, TUNED, table
from vsfa_jax.train import train

CONTROLS = ("neutral", "shuffled", "text_only")  # arms that the threat arm is compared with
SHOWN = 5  # cases of each category in the page, for every run has an answer to each


def study(settings: Settings, workdir: Path) -> str:
    """Runs what has not been run yet.

    Returns:
      The table, see `study_table.as_markdown`.

    Raises:
      ConfigError: no arm or no seed is asked for.
      CheckpointError: a folder of the study holds a run with other settings.
      TrainingError: a signal stopped a run; called again, the study goes on with it.
    """
    if not settings.study.arms or not settings.study.seeds:
        raise ConfigError("study.arms, study.seeds: found none; wanted at least one of each")
    results: dict[tuple[str, int], Result] = {}
    base: list[Answer] = []  # its answers to the cases are the same for every arm and seed
    for arm, seed, one in runs(settings):
        place = workdir / f"{arm}-{seed}"
        folder = place / "eval" / one.eval.name
        if not is_done(one, place, folder):
            logging.info("arm %s, seed %d: %s", arm, seed, place)
            if not train(one, place):
                raise TrainingError(f"{place}: stopped; the same command goes on from there")
            evaluate(one, place, base)
        base = base or read_answers(folder, "base")
        results[arm, seed] = read_result(folder)
    rows = [{"arm": arm, "seed": seed, "rows": r.rows} for (arm, seed), r in results.items()]
    write_json(workdir / "study.json", rows)
    text = as_markdown(results)
    write_atomic(workdir / "study.md", text + "\n")
    write_atomic(workdir / "study.html", page(settings, workdir, base))
    return text


def page(settings: Settings, workdir: Path, base: Sequence[Answer]) -> str:
    """The report of a study: a row for each arm, its seeds pooled case by case.

    Raises:
      CheckpointError: an evaluation cannot be read, or is of other cases.
    """
    cases = load_cases(settings.eval)
    pooled: dict[str, list[str]] = {arm: [] for arm in settings.study.arms}
    said, verdicts = list(base), list[Verdict]()
    for arm, seed, one in runs(settings):
        name, folder = f"{arm}-{seed}", workdir / f"{arm}-{seed}" / "eval" / one.eval.name
        pooled[arm].append(name)
        found = read_verdicts(folder)
        verdicts += [v for v in found if v.model in (BASE, BLIND)] if not verdicts else []
        verdicts += [dataclasses.replace(v, model=name) for v in found if v.model == TUNED]
        said += [dataclasses.replace(a, model=name) for a in read_answers(folder, TUNED)]
    pairs = [("threat", other) for other in CONTROLS if {"threat", other} <= pooled.keys()]
    rows = table(cases, verdicts, pooled, pairs, [BASE, BLIND, *pooled])
    over = [str(one) for one in over_limit(cases, verdicts, settings.eval.max_unjudged)]
    made = {
        "workdir": str(workdir),
        "base model": settings.model.path,
        "trained on": f"{settings.data.path}: {', '.join(pooled)}; {settings.steps} steps each",
        "seeds": ", ".join(map(str, settings.study.seeds)),
        "cases": f"{settings.eval.per_kind} of each kind, seed {settings.eval.seed}",
    }
    return report.render(
        "What each arm did", made, rows, cases, said, verdicts, report.Extras(over=over), SHOWN
    )


def unjudged(settings: Settings, workdir: Path) -> list[str]:
    """What is over the limit in any run, in words."""
    found = []
    for arm, seed, one in runs(settings):
        place = workdir / f"{arm}-{seed}"
        over = unjudged_text(one, Workdir(place))
        found += [f"{place}: {over}"] if over else []
    return found


def runs(settings: Settings) -> Iterator[tuple[str, int, Settings]]:
    """(arm, seed, settings of that run), an arm's seeds side by side."""
    for arm in settings.study.arms:
        for seed in settings.study.seeds:
            data = dataclasses.replace(settings.data, arm=arm)
            yield arm, seed, dataclasses.replace(settings, seed=seed, data=data)


def is_done(settings: Settings, place: Path, folder: Path) -> bool:
    """Whether a run is trained to its last step and evaluated.

    Raises:
      CheckpointError: the place holds a run with other settings.
    """
    table = folder / "table.json"
    if not table.exists():
        return False
    check_config(place, to_dict(settings))
    made = json.loads(table.read_text(encoding="utf-8"))["made"]
    return bool(made["checkpoint"] == f"step {settings.steps}")


def main(settings: Settings, workdir: Path) -> None:
    """Runs under `core.main`."""
    print(study(settings, workdir))
    print(f"table: {workdir / 'study.md'}")
    print(f"report: {workdir / 'study.html'}")
    over = unjudged(settings, workdir)
    if over:
        raise UnjudgedError("\n  ".join(over))


if __name__ == "__main__":
    entry.run(main)
