"""report.html: one static page of what an evaluation found, safe to open whatever a model said.

Everything that a model, a benchmark or a config said is escaped; a content-security policy forbids
scripts and every request; images are re-encoded, and blurred until clicked, as are the words of
attacks and of the answers to them. Of the folds of cases one is open at a time, as with pages.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vsfa_jax.benchmarks.case import KINDS, Answer, Case
from vsfa_jax.core.pages import template
from vsfa_jax.exhibits import KIND_TITLES, MAX_SHOWN, PER_CELL, cells, exhibits, view
from vsfa_jax.headline import PARTS, Point, vectors
from vsfa_jax.judges.protocol import Verdict
from vsfa_jax.report_views import (
    CHANGE_WIDTH,
    RATE_WIDTH,
    change_span,
    change_x,
    colours,
    frontier,
    heat_maps,
    rate_x,
    row_view,
    vector_view,
)
from vsfa_jax.tables import Measure, Row


@dataclasses.dataclass(frozen=True)
class Extras:
    """What the page shows besides the table and the cases.

    Attributes:
      agreement: how far judges agree, as table.json has it.
      corrected: rates corrected for a judge's errors, as table.json has them.
      over: what was unjudged beyond the limit, in words.
      steps: other checkpoints of the same run.
    """

    agreement: Sequence[Mapping[str, Any]] = ()
    corrected: Sequence[Mapping[str, Any]] = ()
    over: Sequence[str] = ()
    steps: Sequence[Point] = ()


def render(
    title: str,
    facts: Mapping[str, str],
    rows: Sequence[Row],
    cases: Sequence[Case],
    answers: Iterable[Answer],
    verdicts: Iterable[Verdict],
    extras: Extras | None = None,
    per_cell: int = PER_CELL,
    max_shown: int = MAX_SHOWN,
) -> str:
    """The page.

    Args:
      title: of the page.
      facts: how the evaluation was made, shown as they are.
      rows: the table.
      cases, answers, verdicts: what is shown case by case; answers of "blind" are left out.
      extras: what else there is.
      per_cell: the most cases of a category.
      max_shown: the most cases of the page.

    Raises:
      ImageError: an image of a shown case cannot be decoded.
    """
    extras = extras or Extras()
    shown = cells(exhibits(cases, answers, verdicts), per_cell, max_shown)
    span, of_model, found = change_span(rows), colours(rows), vectors(rows)
    return template("report.html.jinja").render(
        title=title,
        facts=facts,
        colours=of_model,
        parts=PARTS,
        vectors=[vector_view(vector) for vector in found],
        rows=[row_view(row, span) for row in rows if row.depth < 2],
        parted=_by_category(rows, span),
        maps=heat_maps(rows),
        frontier=frontier(found, extras.steps, of_model),
        extras=extras,
        rate_ticks=[(f"{tick}", rate_x(tick / 100)) for tick in (0, 50, 100)],
        change_ticks=[
            (f"{100 * t:+.0f}" if t else "0", change_x(t, span)) for t in (-span, 0.0, span)
        ],
        rate_width=RATE_WIDTH,
        change_width=CHANGE_WIDTH,
        kinds={k: KIND_TITLES[k] for k in KINDS if any(cell.kind == k for cell in shown)},
        cells=[(cell, [view(exhibit) for exhibit in cell.exhibits]) for cell in shown],
        num_shown=sum(len(cell.exhibits) for cell in shown),
        num_cases=len(cases),
    )


def _by_category(rows: Sequence[Row], span: float) -> dict[str, list[dict[str, object]]]:
    """Of measures that have sections: title -> the rows of sections and of what is in them."""
    parted: set[tuple[str, Measure]] = {(r.benchmark, r.measure) for r in rows if r.depth == 2}
    found: dict[str, list[dict[str, object]]] = {}
    for row in rows:
        if row.depth and (row.benchmark, row.measure) in parted:
            title = f"{row.benchmark}: {row.measure.title}"
            found.setdefault(title, []).append(row_view(row, span))
    return found
