"""The table as text: aligned columns for a terminal, and the cells that the report shows too.

tinyworld              n  base                 tuned                change              p
  attack success    1600  60.2 % [57.8, 62.6]  53.2 % [50.7, 55.6]  -7.0 [-9.1, -4.9]   <0.0001
    page             400  ...
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vsfa_jax.tables import Change, Rate, Row


def as_text(rows: Sequence[Row]) -> str:
    """The table in aligned columns for a terminal, in percent and points."""
    blind = any("blind" in row.rates for row in rows)
    head = ["", "n", "base", "tuned", "change", "p", "unjudged", *(["blind"] if blind else [])]
    lines = []
    for number, row in enumerate(rows):
        if number == 0 or row.benchmark != rows[number - 1].benchmark:
            lines.append([row.benchmark, *head[1:]])
        lines.append(_cells(row, blind))
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in _zip(line, widths))]).rstrip()
        for line in lines
    )


def _zip(line: Sequence[str], widths: Sequence[int]) -> Iterable[tuple[str, int]]:
    return zip(line[1:], widths[1:], strict=True)


def _cells(row: Row, blind: bool) -> list[str]:
    base, tuned = row.rates.get("base"), row.rates.get("tuned")
    title = f"    {row.category}" if row.category else f"  {row.measure.title}"
    number = max((rate.judged + rate.unjudged for rate in row.rates.values()), default=0)
    unjudged = "/".join(str(rate.unjudged) for rate in (base, tuned) if rate)
    cells = [title, str(number), text_of_rate(base), text_of_rate(tuned)]
    cells += [text_of_change(row.change), text_of_p(row.change), unjudged]
    if blind:
        seen = row.rates.get("blind")
        cells.append(f"{100 * seen.rate:.1f} %" if seen and seen.rate is not None else "")
    return cells


def text_of_rate(rate: Rate | None) -> str:
    """E.g. "60.2 % [57.1, 63.2]", then the number of partial answers if any."""
    if rate is None or rate.rate is None:
        return "-"
    text = f"{100 * rate.rate:.1f} % [{100 * rate.low:.1f}, {100 * rate.high:.1f}]"
    return text + (f" +{rate.partial} partial" if rate.partial else "")


def text_of_change(change: Change | None) -> str:
    """E.g. "-7.0 [-9.1, -4.9]", in points."""
    if change is None or change.difference is None:
        return "-"
    return f"{100 * change.difference:+.1f} [{100 * change.low:+.1f}, {100 * change.high:+.1f}]"


def text_of_p(change: Change | None) -> str:
    """E.g. "0.0123" or "<0.0001"."""
    if change is None or change.difference is None:
        return "-"
    return f"{change.p:.4f}" if change.p >= 0.0001 else "<0.0001"
