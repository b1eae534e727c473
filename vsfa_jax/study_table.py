"""A study's table: a line for the base, each arm and seed, each arm over its seeds, each contrast.

A line of one seed has the change against the base of table.json. A line over seeds takes each case
once: the mean over seeds of what tuning changed about it, and the interval of the mean over cases.
Answers of several seeds to one case are no independent cases, and are not counted as such; how
seeds differ is seen from their own lines. "(3u)": three cases are left out, unjudged there, or
over seeds in any of the runs.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vsfa_jax.core.errors import CheckpointError
from vsfa_jax.judges.protocol import UNJUDGED
from vsfa_jax.statistics import clustered_mean
from vsfa_jax.tables import ALL, MEASURES, section

# Columns: (title, measure, category) of table.json.
COLUMNS = (
    ("ASR", "asr", ALL),
    ("page", "asr", "page"),
    ("text", "asr", "text"),
    ("on threat", "asr", "text_on_threat"),
    ("on neutral", "asr", "text_on_neutral"),
    ("over-refusal", "over_refusal", ALL),
    ("VQA neutral", "vqa", "neutral"),
    ("VQA threat", "vqa", "threat"),
    ("watchful traits", "watchful", ALL),
)
Column = tuple[str, str, str]
_OUTCOMES = {measure.name: measure.outcome for measure in MEASURES}
_KINDS = {measure.name: measure.kinds[0] for measure in MEASURES}


@dataclasses.dataclass(frozen=True)
class Result:
    """What one evaluated run found.

    Attributes:
      rows: of its table.json.
      cases: case id -> (kind, category).
      outcomes: (model, case id) -> outcome.
    """

    rows: Sequence[Mapping[str, Any]]
    cases: Mapping[str, tuple[str, str]]
    outcomes: Mapping[tuple[str, str], str]

    def row(self, column: Column) -> Mapping[str, Any]:
        """The row of a column."""
        wanted = column[1:]
        return next(row for row in self.rows if (row["measure"], row["category"]) == wanted)

    def asked(self, column: Column) -> list[str]:
        """Ids of the column's cases, judged or not."""
        _, measure, category = column
        return [
            id
            for id, (kind, of_case) in self.cases.items()
            if kind == _KINDS[measure] and category in (ALL, of_case, section(of_case))
        ]

    def changes(self, column: Column) -> dict[str, int]:
        """Case id -> tuned hit minus base hit, of the column's cases that were judged for both."""
        _, measure, _ = column
        found = {}
        for id in self.asked(column):
            base, tuned = (self.outcomes[model, id] for model in ("base", "tuned"))
            if UNJUDGED not in (base, tuned):
                found[id] = (tuned == _OUTCOMES[measure]) - (base == _OUTCOMES[measure])
        return found


def read_result(folder: Path) -> Result:
    """Reads an evaluation's folder.

    Raises:
      CheckpointError: a file is missing or cannot be read.
    """
    try:
        rows = json.loads((folder / "table.json").read_text(encoding="utf-8"))["rows"]
        answers = list(_lines(folder / "answers.jsonl"))
        verdicts = list(_lines(folder / "verdicts.jsonl"))
        return Result(
            rows,
            {a["case_id"]: (a["kind"], a["category"]) for a in answers},
            {(v["model"], v["case_id"]): v["outcome"] for v in verdicts},
        )
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{folder}: no evaluation that can be read: {error}") from error


def as_markdown(results: Mapping[tuple[str, int], Result]) -> str:
    """The table as GitHub's Markdown: rates of the base in percent, changes in points, 95 %."""
    first = next(iter(results.values()))
    lines = [
        ["arm", "seed", *(title for title, _, _ in COLUMNS)],
        ["---"] * (2 + len(COLUMNS)),
        ["base", "", *(_rate(first.row(column)["rates"]["base"]) for column in COLUMNS)],
    ]
    arms: dict[str, list[Result]] = {}
    for (arm, seed), result in results.items():
        arms.setdefault(arm, []).append(result)
        lines.append([arm, str(seed), *(_change(result.row(c)) for c in COLUMNS)])
    for arm, runs in arms.items():
        cells = (_mean(_over_seeds(runs, c).values(), runs[0].asked(c)) for c in COLUMNS)
        lines.append([f"**{arm}**", f"all {len(runs)}", *cells])
    for other in [arm for arm in ("neutral", "shuffled", "text_only") if "threat" in arms]:
        if other in arms:
            pair = arms["threat"], arms[other]
            cells = (_mean(_contrast(*pair, c), first.asked(c)) for c in COLUMNS)
            lines.append([f"**threat - {other}**", "all", *cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _over_seeds(runs: Sequence[Result], column: Column) -> dict[str, float]:
    """Case id -> mean change over the runs, of cases that were judged in every one."""
    changes = [run.changes(column) for run in runs]
    shared = set.intersection(*(set(of_run) for of_run in changes))
    return {id: sum(of_run[id] for of_run in changes) / len(changes) for id in sorted(shared)}


def _contrast(one: Sequence[Result], other: Sequence[Result], column: Column) -> Iterator[float]:
    """Case by case, what one arm changed beyond what the other did."""
    of_other = _over_seeds(other, column)
    for id, change in _over_seeds(one, column).items():
        if id in of_other:
            yield change - of_other[id]


def _mean(values: Iterable[float], asked: Sequence[str]) -> str:
    values = list(values)
    middle, interval = clustered_mean(values)
    return _points(interval.low, middle, interval.high, len(asked) - len(values))


def _rate(rate: Mapping[str, Any]) -> str:
    if rate["rate"] is None:
        return "-"
    low, high = (100 * rate[name] for name in ("low", "high"))
    return f"{100 * rate['rate']:.1f} % [{low:.0f}, {high:.0f}]"


def _change(row: Mapping[str, Any]) -> str:
    change, unjudged = row["change"], row["rates"]["tuned"]["unjudged"]
    if change is None or change["difference"] is None:
        return f"- ({unjudged}u)" if unjudged else "-"
    return _points(change["low"], change["difference"], change["high"], unjudged)


def _points(low: float, middle: float, high: float, left_out: int) -> str:
    note = f" ({left_out}u)" if left_out else ""
    return f"{100 * middle:+.1f} [{100 * low:+.0f}, {100 * high:+.0f}]{note}"


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    return map(json.loads, path.read_text(encoding="utf-8").splitlines())
