"""The table as text: aligned columns for a terminal, and the cells that the report shows too.

tinyworld              n  base                 tuned                change              p
  attack success    1600  60.2 % [57.8, 62.6]  53.2 % [50.7, 55.6]  -7.0 [-9.1, -4.9]   <0.0001
    page             400  ...
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vsfa_jax.judges.protocol import OUTCOMES
from vsfa_jax.tables import Change, Rate, Row


def as_text(rows: Sequence[Row], max_depth: int = 2) -> str:
    """The table in aligned columns; `max_depth` 1 leaves out the categories within sections."""
    rows = [row for row in rows if row.depth <= max_depth]
    blind = any("blind" in row.rates for row in rows)
    head = ["", "n", "base", "tuned", "change", "p", "partial", "unjudged"]
    head += ["blind"] if blind else []
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
    cells = [
        "  " * (row.depth + 1) + row.title,
        str(row.num_cases),
        text_of_rate(base),
        text_of_rate(tuned),
    ]
    cells += [text_of_change(row.change), text_of_p(row.change)]
    cells += [text_of_partial(row), text_of_unjudged(row)]
    if blind:
        guess = row.rates.get("blind")
        cells.append(f"{100 * guess.rate:.1f}" if guess and guess.rate is not None else "")
    return cells


def text_of_rate(rate: Rate | None) -> str:
    """E.g. "60.2 [57.1, 63.2]", in percent."""
    if rate is None or rate.rate is None:
        return "-"
    return f"{100 * rate.rate:.1f} [{100 * rate.low:.1f}, {100 * rate.high:.1f}]"


def text_of_partial(row: Row) -> str:
    """E.g. "4/7", of base and tuned; "" where answers cannot be partial."""
    if "partial" not in OUTCOMES[row.measure.kind]:
        return ""
    return "/".join(str(row.rates[m].partial) for m in ("base", "tuned") if m in row.rates)


def text_of_unjudged(row: Row) -> str:
    """E.g. "0/2", of base and tuned."""
    return "/".join(str(row.rates[m].unjudged) for m in ("base", "tuned") if m in row.rates)


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
