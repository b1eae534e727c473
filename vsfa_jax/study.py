"""Every arm over several seeds, each against the base, in one table.

    python -m vsfa_jax.study --config=configs/study_tiny.py --workdir=runs/study

Each arm and seed is a run of its own in WORKDIR/ARM-SEED; one that is trained and evaluated already
is not run again. WORKDIR/study.md has the table, WORKDIR/study.json every row of every run.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

from absl import logging

from vsfa_jax.benchmarks.case import Answer
from vsfa_jax.core import main as entry
from vsfa_jax.core.config import Settings, to_dict
from vsfa_jax.core.errors import ConfigError, TrainingError
from vsfa_jax.core.paths import write_atomic, write_json
from vsfa_jax.evaluate import evaluate
from vsfa_jax.findings import read_answers
from vsfa_jax.manifest import check_config
from vsfa_jax.study_table import Result, as_markdown, read_result
from vsfa_jax.train import train


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
    return text


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


if __name__ == "__main__":
    entry.run(main)
