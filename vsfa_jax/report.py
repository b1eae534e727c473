"""report.html: one static page of what an evaluation found, safe to open whatever a model said.

Everything that a model, a benchmark or a config said is escaped; a content-security policy forbids
scripts and every request; images are re-encoded, and blurred until clicked.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import itertools
from collections.abc import Iterable, Mapping, Sequence

from PIL import Image

from vsfa_jax.benchmarks.case import KINDS, Answer, Case
from vsfa_jax.core.pages import template
from vsfa_jax.data.images import decode_image
from vsfa_jax.judges.protocol import Verdict
from vsfa_jax.table_text import text_of_change, text_of_p, text_of_partial, text_of_unjudged
from vsfa_jax.tables import SECTION_MARK, Change, Measure, Rate, Row

MAX_ROWS = 500
THUMBNAIL_PIXELS = 256
RATE_WIDTH, CHANGE_WIDTH = 160, 120  # of a row's two plots, in SVG units
PAD = 8  # on both sides of a plot
KIND_TITLES = {
    "attack": "attacks",
    "over_refusal": "harmless requests",
    "vqa": "VQA",
    "trait": "traits",
    "graded": "graded questions",
    "help": "calls for help",
}
GOOD_OUTCOMES = {
    ("attack", "refuses"),
    ("over_refusal", "complies"),
    ("vqa", "correct"),
}
BAD_OUTCOMES = {
    ("attack", "complies"),
    ("over_refusal", "refuses"),
    ("vqa", "wrong"),
}


@dataclasses.dataclass(frozen=True)
class Said:
    """One answer of an exhibit, with its verdict and the colour that it is shown in."""

    model: str
    text: str
    outcome: str
    reason: str
    tone: str


@dataclasses.dataclass(frozen=True)
class Exhibit:
    """One case with what each model said to it."""

    case: Case
    said: tuple[Said, ...]

    @property
    def changed(self) -> bool:
        """True where the verdicts differ."""
        return len({said.outcome for said in self.said}) > 1


def render(
    title: str,
    facts: Mapping[str, str],
    rows: Sequence[Row],
    cases: Sequence[Case],
    answers: Iterable[Answer],
    verdicts: Iterable[Verdict],
    max_rows: int = MAX_ROWS,
) -> str:
    """The page.

    Args:
      title: of the page.
      facts: how the evaluation was made, shown as they are.
      rows: the table.
      cases, answers, verdicts: what is shown case by case; answers of "blind" are left out.
      max_rows: the most cases that are shown.

    Raises:
      ImageError: an image of a shown case cannot be decoded.
    """
    found = exhibits(cases, answers, verdicts)
    shown = choose(found, max_rows)
    span = change_span(rows)
    return template("report.html.jinja").render(
        title=title,
        facts=facts,
        headlines=[_table_row(row, span) for row in headlines(rows)],
        rows=[_table_row(row, span) for row in rows],
        parted=_by_category(rows, span),
        rate_ticks=[(f"{tick}", _rate_x(tick / 100)) for tick in (0, 50, 100)],
        change_ticks=[
            (f"{100 * t:+.0f}" if t else "0", _change_x(t, span)) for t in (-span, 0.0, span)
        ],
        rate_width=RATE_WIDTH,
        change_width=CHANGE_WIDTH,
        kinds={k: KIND_TITLES[k] for k in KINDS if any(e.case.kind == k for e in shown)},
        exhibits=[_exhibit(exhibit) for exhibit in shown],
        num_cases=len(cases),
    )


def headlines(rows: Sequence[Row]) -> list[Row]:
    """A row for each measure, or its sections where it has some."""
    parted = _with_sections(rows)
    return [row for row in rows if row.depth == ((row.benchmark, row.measure) in parted)]


def _with_sections(rows: Sequence[Row]) -> set[tuple[str, Measure]]:
    return {(row.benchmark, row.measure) for row in rows if row.depth == 2}


def _by_category(rows: Sequence[Row], span: float) -> dict[str, list[dict[str, object]]]:
    """Of measures that have sections: title -> the rows of sections and of what is in them."""
    parted = _with_sections(rows)
    found: dict[str, list[dict[str, object]]] = {}
    for row in rows:
        if row.depth and (row.benchmark, row.measure) in parted:
            title = f"{row.benchmark}: {row.measure.title}"
            found.setdefault(title, []).append(_table_row(row, span))
    return found


def choose(exhibits: Sequence[Exhibit], limit: int) -> list[Exhibit]:
    """At most `limit` exhibits: in turn from each category, those whose verdict changed first."""
    groups: dict[tuple[str, str, str], list[Exhibit]] = {}
    for exhibit in sorted(exhibits, key=lambda e: not e.changed):
        case = exhibit.case
        groups.setdefault((case.benchmark, case.kind, case.category), []).append(exhibit)
    turns = itertools.zip_longest(*(groups[key] for key in sorted(groups)))
    chosen = [exhibit for turn in turns for exhibit in turn if exhibit is not None][:limit]
    return sorted(chosen, key=lambda e: (KINDS.index(e.case.kind), e.case.category))


def exhibits(
    cases: Sequence[Case], answers: Iterable[Answer], verdicts: Iterable[Verdict]
) -> list[Exhibit]:
    kinds = {case.id: case.kind for case in cases}
    judged = {(verdict.case_id, verdict.model): verdict for verdict in verdicts}
    said: dict[str, list[Said]] = {case.id: [] for case in cases}
    for answer in answers:
        if answer.model == "blind":
            continue
        verdict = judged[answer.case_id, answer.model]
        pair = (kinds[answer.case_id], verdict.outcome)
        tone = (
            "good" if pair in GOOD_OUTCOMES else "bad" if pair in BAD_OUTCOMES else verdict.outcome
        )
        line = Said(answer.model, answer.text, verdict.outcome, verdict.reason, tone)
        said[answer.case_id].append(line)
    return [Exhibit(case, tuple(said[case.id])) for case in cases]


def _exhibit(exhibit: Exhibit) -> dict[str, object]:
    case = exhibit.case
    return {
        "id": case.id,
        "kind": case.kind,
        "category": case.category.replace("_", " ").replace(SECTION_MARK, ", "),
        "turns": [(m.role, m.content) for m in case.messages],
        "expected": {k: v for k, v in case.expected.items() if k not in ("complies", "refuses")},
        "images": [
            thumbnail(data, where=f"case {case.id!r}, image {number}")
            for number, data in enumerate(case.images, start=1)
        ],
        "said": exhibit.said,
        "changed": exhibit.changed,
    }


def thumbnail(data: bytes, *, where: str) -> str:
    """A data URI of the image, re-encoded, at most `THUMBNAIL_PIXELS` wide and high."""
    image = decode_image(data, where=where)
    image.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS), Image.Resampling.LANCZOS)
    small = max(image.size) <= THUMBNAIL_PIXELS // 2
    kind = "png" if small else "jpeg"
    stream = io.BytesIO()
    image.save(stream, format=kind)
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"


def _table_row(row: Row, span: float) -> dict[str, object]:
    """What the template shows of a row; positions are in SVG units."""
    return {
        "benchmark": row.benchmark,
        "measure": row.measure.title,
        "title": row.title,
        "depth": row.depth,
        "kind": row.measure.kind,
        "better": row.measure.better,
        "rates": {model: _rate_view(rate) for model, rate in row.rates.items()},
        "change": _change_view(row.change, span),
        "tone": tone_of_change(row),
        "change_text": text_of_change(row.change),
        "p": text_of_p(row.change),
        "n": row.num_cases,
        "partial": text_of_partial(row),
        "unjudged": text_of_unjudged(row),
    }


def _rate_view(rate: Rate) -> dict[str, object]:
    return {
        "interval": f"{100 * rate.low:.1f}, {100 * rate.high:.1f}",
        "percent": None if rate.rate is None else f"{100 * rate.rate:.1f}",
        "x": None if rate.rate is None else _rate_x(rate.rate),
        "low": _rate_x(rate.low),
        "high": _rate_x(rate.high),
    }


def _change_view(change: Change | None, span: float) -> dict[str, float] | None:
    if change is None or change.difference is None:
        return None
    return {
        "x": _change_x(change.difference, span),
        "low": _change_x(change.low, span),
        "high": _change_x(change.high, span),
    }


def tone_of_change(row: Row) -> str:
    """ "good", "bad" or "moved" where the interval is clear of zero, else "still"."""
    change = row.change
    if change is None or change.difference is None or change.low <= 0 <= change.high:
        return "still"
    if row.measure.better == "none":
        return "moved"
    return "good" if (change.difference > 0) == (row.measure.better == "higher") else "bad"


def change_span(rows: Sequence[Row]) -> float:
    """Half the width of the axis of changes: 10, 20, 50 or 100 points; the table fits."""
    changes = [row.change for row in rows if row.depth < 2 and row.change]
    most = max((max(-c.low, c.high) for c in changes if c.pairs), default=0.0)
    return next((span for span in (0.1, 0.2, 0.5) if most <= span), 1.0)


def _rate_x(rate: float) -> float:
    return round(PAD + rate * (RATE_WIDTH - 2 * PAD), 1)


def _change_x(change: float, span: float) -> float:
    share = (min(max(change, -span), span) + span) / (2 * span)
    return round(PAD + share * (CHANGE_WIDTH - 2 * PAD), 1)
