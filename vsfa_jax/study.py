"""Every arm over several seeds, each against the base, in one table.

    python -m vsfa_jax.study --config=configs/study_tiny.py --workdir=runs/study

Each arm and seed is a run of its own in WORKDIR/ARM-SEED; one that has its table is not run again.
WORKDIR/study.json holds every row of every table.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import logging

from vsfa_jax.benchmarks.case import Answer
from vsfa_jax.core import main as entry
from vsfa_jax.core.config import Settings
from vsfa_jax.core.errors import ConfigError
from vsfa_jax.core.paths import write_json
from vsfa_jax.evaluate import evaluate, read_answers
from vsfa_jax.train import train

# Columns of the table: (title, measure, category) of table.json; "" is over all categories.
COLUMNS = (
    ("ASR", "asr", ""),
    ("page", "asr", "page"),
    ("text", "asr", "text"),
    ("over-refusal", "over_refusal", ""),
    ("VQA neutral", "vqa", "neutral"),
    ("VQA threat", "vqa", "threat"),
    ("watchful", "watchful", ""),
)
_WIDTH = 24


def study(settings: Settings, workdir: Path) -> str:
    """Runs what has not been run yet.

    Returns:
      The table as text: each run's change of each rate in points, with its 95 % interval.

    Raises:
      ConfigError: no arm or no seed is asked for.
    """
    if not settings.study.arms or not settings.study.seeds:
        raise ConfigError("study.arms, study.seeds: found none; wanted at least one of each")
    tables: dict[tuple[str, int], Any] = {}
    base: list[Answer] = []  # its answers to the cases are the same for every arm and seed
    for arm, seed, one in runs(settings):
        place = workdir / f"{arm}-{seed}"
        path = place / "eval" / one.eval.name / "table.json"
        if not path.exists():
            logging.info("arm %s, seed %d: %s", arm, seed, place)
            train(one, place)
            evaluate(one, place, base)
        base = base or read_answers(path.parent, "base")
        tables[arm, seed] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    rows = [{"arm": arm, "seed": seed, "rows": found} for (arm, seed), found in tables.items()]
    write_json(workdir / "study.json", rows)
    return as_text(tables)


def runs(settings: Settings) -> Iterator[tuple[str, int, Settings]]:
    """(arm, seed, settings of that run), an arm's seeds side by side."""
    for arm in settings.study.arms:
        for seed in settings.study.seeds:
            data = dataclasses.replace(settings.data, arm=arm)
            yield arm, seed, dataclasses.replace(settings, seed=seed, data=data)


def as_text(tables: Mapping[tuple[str, int], Sequence[Mapping[str, Any]]]) -> str:
    """A line for the base, and one for each arm and seed."""
    first = next(iter(tables.values()))
    head = ["arm", "seed", *(title for title, _, _ in COLUMNS)]
    base = ["base", "", *(_rate(_find(first, m, c)) for _, m, c in COLUMNS)]
    lines = [head, base]
    for (arm, seed), rows in tables.items():
        lines.append([arm, str(seed), *(_change(_find(rows, m, c)) for _, m, c in COLUMNS)])
    return "\n".join(
        f"{line[0]:12}{line[1]:>5}" + "".join(cell.rjust(_WIDTH) for cell in line[2:])
        for line in lines
    )


def _find(rows: Sequence[Mapping[str, Any]], measure: str, category: str) -> Mapping[str, Any]:
    wanted = (measure, category)
    return next(row for row in rows if (row["measure"], row["category"]) == wanted)


def _rate(row: Mapping[str, Any]) -> str:
    base = row["rates"]["base"]
    return "-" if base["rate"] is None else f"{100 * base['rate']:.1f} %"


def _change(row: Mapping[str, Any]) -> str:
    change, unjudged = row["change"], row["rates"]["tuned"]["unjudged"]
    if change is None or change["difference"] is None:
        return f"- ({unjudged} unjudged)"
    low, middle, high = (100 * change[name] for name in ("low", "difference", "high"))
    note = f" ({unjudged}u)" if unjudged else ""
    return f"{middle:+.1f} [{low:+.1f}, {high:+.1f}]{note}"


def main(settings: Settings, workdir: Path) -> None:
    """Runs under `core.main`."""
    print(study(settings, workdir))


if __name__ == "__main__":
    entry.run(main)
