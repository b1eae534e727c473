"""plan.html: one static page of what a plan says."""

from __future__ import annotations

from typing import Any

from vsfa_jax.core.pages import template
from vsfa_jax.planning.report import Plan, Report, text_of_bytes, text_of_flops

WIDTH = 900  # of a bar, in SVG units
COLOURS = (
    *("#3b5bdb", "#1f8a57", "#b7791f", "#8a4fbf", "#2596a8", "#c8372d"),
    *("#6b7f99", "#a3b18a", "#d08c60", "#5f6caf"),
)
TIME_TITLES = {
    "compute": "matrix products at the peak",
    "hbm": "traffic of its memory",
    "ici": "collectives inside a slice",
    "dcn": "collectives across slices",
    "overlapped": "a run if all of that overlaps",
    "serial": "a run if no collective overlaps",
}


def render(report: Report) -> str:
    """The page."""
    return template("plan.html.jinja").render(
        title=f"{report.about['model']} on {report.about['slice']}",
        report=report,
        bars=[_bar(plan) for plan in report.plans],
        width=WIDTH,
        time_titles=TIME_TITLES,
        size_of=text_of_bytes,
        flops_of=text_of_flops,
    )


def _bar(plan: Plan) -> dict[str, Any]:
    """The stacked bar of a program's memory, and where the available memory ends."""
    whole = 1.02 * max(plan.needed, plan.available)
    parts: list[dict[str, Any]] = []
    at = 0.0
    for number, (name, size) in enumerate(plan.memory.items()):
        width = WIDTH * size / whole
        colour = COLOURS[number % len(COLOURS)]
        parts.append({"name": name, "size": size, "x": at, "width": width, "colour": colour})
        at += width
    return {"parts": parts, "available": WIDTH * plan.available / whole}
