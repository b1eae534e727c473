"""What the report's template shows of the numbers: texts, colours, and places in SVG units."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from vsfa_jax.counting import Change, Rate
from vsfa_jax.headline import PARTS, Part, Point, Vector, point
from vsfa_jax.table_text import (
    text_of_change,
    text_of_holm,
    text_of_least,
    text_of_p,
    text_of_partial,
    text_of_unjudged,
)
from vsfa_jax.tables import ALL, BASE, BLIND, Measure, Row

RATE_WIDTH, CHANGE_WIDTH = 160, 120  # of a row's two plots
PAD = 8  # on both sides of a plot
PICTURE = 420  # width and height of attack success against over-refusal
MARGIN = 46  # within it, left and below
COLOURS = ("#3b5bdb", "#0c8599", "#e8590c", "#9c36b5", "#2b8a3e", "#c2255c", "#846358", "#5c7cfa")
BASE_COLOUR = "#8a94a3"


def colours(rows: Sequence[Row]) -> dict[str, str]:
    """A colour for each model but the blind guesser, and for each pair that is compared."""
    names = dict.fromkeys(name for row in rows for name in (*row.rates, *row.changes))
    others = [name for name in names if name not in (BASE, BLIND)]
    return {BASE: BASE_COLOUR} | {
        name: COLOURS[number % len(COLOURS)] for number, name in enumerate(others)
    }


def vector_view(vector: Vector) -> dict[str, object]:
    """A model's headline: a cell for each component."""
    return {
        "model": vector.model,
        "beaten_by": vector.beaten_by,
        "parts": {name: _part(vector.parts.get(name), PARTS[name][1]) for name in PARTS},
    }


def _part(part: Part | None, better: str) -> dict[str, object] | None:
    if part is None:
        return None
    made: dict[str, object] = {
        "percent": f"{100 * part.mean:.1f}",
        "interval": f"{100 * part.low:.1f}, {100 * part.high:.1f}",
        "x": rate_x(part.mean),
        "low": rate_x(part.low),
        "high": rate_x(part.high),
        "sets": ", ".join(f"{name} {100 * rate:.1f}" for name, rate in part.sets.items()),
        "change": "",
        "tone": "still",
    }
    low, high = part.difference_low, part.difference_high
    if part.difference is not None and low is not None and high is not None:
        made["change"] = f"{100 * part.difference:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
        made["tone"] = _tone(part.difference, low, high, better)
    return made


def row_view(row: Row, span: float) -> dict[str, object]:
    """A row of the table: a line for each model, and for each pair that is compared."""
    names = [name for name in dict.fromkeys((*row.rates, *row.changes)) if name != BLIND]
    guess = row.rates.get(BLIND)
    return {
        "title": row.title,
        "benchmark": row.benchmark,
        "depth": row.depth,
        "better": row.measure.better,
        "n": row.num_cases,
        "lines": [_line(row, name, span) for name in names],
        "blind": f"{100 * guess.rate:.1f}" if guess and guess.rate is not None else "",
        "blind_x": rate_x(guess.rate) if guess and guess.rate is not None else None,
    }


def _line(row: Row, model: str, span: float) -> dict[str, object]:
    rate, change = row.rates.get(model), row.changes.get(model)
    return {
        "model": model,
        "rate": _rate(rate) if rate else None,
        "change": _change(change, span),
        "tone": tone_of_change(row, model),
        "change_text": text_of_change(change) if change else "",
        "p": text_of_p(change) if change else "",
        "holm": text_of_holm(change),
        "least": text_of_least(change),
        "partial": text_of_partial(row, model) if change and rate else "",
        "unjudged": text_of_unjudged(row, model) if rate else "",
    }


def _rate(rate: Rate) -> dict[str, object]:
    return {
        "interval": f"{100 * rate.low:.1f}, {100 * rate.high:.1f}",
        "percent": None if rate.rate is None else f"{100 * rate.rate:.1f}",
        "x": None if rate.rate is None else rate_x(rate.rate),
        "low": rate_x(rate.low),
        "high": rate_x(rate.high),
    }


def _change(change: Change | None, span: float) -> dict[str, float] | None:
    if change is None or change.difference is None:
        return None
    return {
        "x": change_x(change.difference, span),
        "low": change_x(change.low, span),
        "high": change_x(change.high, span),
    }


def tone_of_change(row: Row, model: str) -> str:
    """ "good", "bad" or "moved" where the interval is clear of zero, else "still"."""
    change = row.changes.get(model)
    if change is None or change.difference is None:
        return "still"
    return _tone(change.difference, change.low, change.high, row.measure.better)


def _tone(difference: float, low: float, high: float, better: str) -> str:
    if low <= 0 <= high:
        return "still"
    if better == "none":
        return "moved"
    return "good" if (difference > 0) == (better == "higher") else "bad"


def change_span(rows: Sequence[Row]) -> float:
    """Half the width of the axis of changes: 10, 20, 50 or 100 points; the table fits."""
    changes = [change for row in rows if row.depth < 2 for change in row.changes.values()]
    most = max((max(-c.low, c.high) for c in changes if c.pairs), default=0.0)
    return next((span for span in (0.1, 0.2, 0.5) if most <= span), 1.0)


def rate_x(rate: float) -> float:
    """Where a rate stands in its plot."""
    return round(PAD + rate * (RATE_WIDTH - 2 * PAD), 1)


def change_x(change: float, span: float) -> float:
    """Where a change stands in its plot; beyond the axis it stands at its end."""
    share = (min(max(change, -span), span) + span) / (2 * span)
    return round(PAD + share * (CHANGE_WIDTH - 2 * PAD), 1)


@dataclasses.dataclass(frozen=True)
class HeatMap:
    """A measure's rates by category, the models beside each other.

    Attributes:
      title: set and measure.
      models: of the columns.
      tone: of full colour: "bad" where lower is better, "good" where higher, else "moved".
      lines: (category, depth, one (percent, interval, share of colour) or None for each model).
    """

    title: str
    models: tuple[str, ...]
    tone: str
    lines: tuple[tuple[str, int, tuple[tuple[str, str, int] | None, ...]], ...]


def heat_maps(rows: Sequence[Row]) -> list[HeatMap]:
    """One of each measure that has several categories."""
    groups: dict[tuple[str, Measure], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.benchmark, row.measure), []).append(row)
    found = []
    for (name, measure), of_measure in groups.items():
        if len(of_measure) < 2:
            continue
        models = tuple(m for m in of_measure[0].rates if m != BLIND)
        lines = tuple(
            (row.title if row.category != ALL else "all", row.depth, _heat(row, models))
            for row in of_measure
        )
        tone = {"lower": "bad", "higher": "good"}.get(measure.better, "moved")
        found.append(HeatMap(f"{name}: {measure.title}", models, tone, lines))
    return found


def _heat(row: Row, models: Sequence[str]) -> tuple[tuple[str, str, int] | None, ...]:
    rates = [row.rates.get(model) for model in models]
    return tuple(
        (
            f"{100 * rate.rate:.0f}",
            f"{100 * rate.low:.0f} to {100 * rate.high:.0f}",
            round(85 * rate.rate),
        )
        if rate is not None and rate.rate is not None
        else None
        for rate in rates
    )


def frontier(
    vectors: Sequence[Vector], steps: Sequence[Point], of_model: Mapping[str, str]
) -> dict[str, Any] | None:
    """Attack success against over-refusal, a dot with both intervals for each model and step.

    Args:
      vectors: headlines of the table.
      steps: of other checkpoints of the same run, joined with the base and the newest by a line.
      of_model: model -> its colour.

    Returns:
      What the template draws; None where fewer than two dots have both rates.
    """
    named = {v.model: point(v.model, 0, dataclasses.asdict(v)["parts"]) for v in vectors}
    dots = [(p, of_model.get(name, BASE_COLOUR)) for name, p in named.items() if p is not None]
    dots += [(step, of_model.get("tuned", BASE_COLOUR)) for step in steps]
    if len(dots) < 2:
        return None
    path = [named.get(BASE), *steps, named.get("tuned")] if steps else []
    return {
        "dots": [
            {
                "name": dot.name,
                "colour": colour,
                "small": dot.step > 0,
                "x": _place(dot.over_refusal[0]),
                "x_low": _place(dot.over_refusal[1]),
                "x_high": _place(dot.over_refusal[2]),
                "y": _height(dot.asr[0]),
                "y_low": _height(dot.asr[1]),
                "y_high": _height(dot.asr[2]),
            }
            for dot, colour in dots
        ],
        "path": " ".join(
            f"{_place(p.over_refusal[0])},{_height(p.asr[0])}" for p in path if p is not None
        ),
        "ticks": [
            (f"{tick}", _place(tick / 100), _height(tick / 100)) for tick in range(0, 101, 25)
        ],
        "size": PICTURE,
        "left": MARGIN,
        "bottom": PICTURE - MARGIN,
    }


def _place(rate: float) -> float:
    return round(MARGIN + min(max(rate, 0.0), 1.0) * (PICTURE - MARGIN - 20), 1)


def _height(rate: float) -> float:
    return round(PICTURE - _place(rate), 1)
