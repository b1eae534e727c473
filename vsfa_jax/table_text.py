"""The table as text: aligned columns for a terminal, and the cells that the report shows too.

tinyworld              n  model  percent            base               change             p
  attack success    1600  tuned  53.2 [50.7, 55.6]  60.2 [57.8, 62.6]  -7.0 [-9.1, -4.9]  <0.0001
    page             400  ...
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vsfa_jax.counting import Change, Rate
from vsfa_jax.judges.protocol import OUTCOMES
from vsfa_jax.tables import BASE, BLIND, Row

HEAD = ("n", "model", "percent", "base", "change", "p", "Holm", "partial", "unjudged")


def as_text(rows: Sequence[Row], max_depth: int = 2) -> str:
    """The table in aligned columns: a line for each model that is compared with the base.

    Args:
      rows: the table.
      max_depth: 1 leaves out the categories within sections.
    """
    rows = [row for row in rows if row.depth <= max_depth]
    blind = any(BLIND in row.rates for row in rows)
    lines: list[list[str]] = []
    for number, row in enumerate(rows):
        if number == 0 or row.benchmark != rows[number - 1].benchmark:
            lines.append([row.benchmark, *HEAD, *([BLIND] if blind else [])])
        lines += _lines(row, blind)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in _zip(line, widths))]).rstrip()
        for line in lines
    )


def _zip(line: Sequence[str], widths: Sequence[int]) -> Iterable[tuple[str, int]]:
    return zip(line[1:], widths[1:], strict=True)


def _lines(row: Row, blind: bool) -> list[list[str]]:
    """One a model; the title stands in the first."""
    title, number = "  " * (row.depth + 1) + row.title, str(row.num_cases)
    guess = row.rates.get(BLIND)
    models = [model for model in row.rates if model not in (BASE, BLIND)]
    models += [name for name in row.changes if name not in row.rates]
    lines = []
    for model in models or [BASE]:
        rate, change = row.rates.get(model), row.changes.get(model)
        cells = [title, number, model, text_of_rate(rate), text_of_rate(row.rates.get(BASE))]
        cells += [text_of_change(change), text_of_p(change), text_of_holm(change)]
        cells += [text_of_partial(row, model), text_of_unjudged(row, model)]
        if blind:
            cells.append(f"{100 * guess.rate:.1f}" if guess and guess.rate is not None else "")
        lines.append(cells)
        title = number = ""
    return lines


def text_of_rate(rate: Rate | None) -> str:
    """E.g. "60.2 [57.1, 63.2]", in percent."""
    if rate is None or rate.rate is None:
        return "-"
    return f"{100 * rate.rate:.1f} [{100 * rate.low:.1f}, {100 * rate.high:.1f}]"


def text_of_partial(row: Row, model: str) -> str:
    """E.g. "4/7", of base and model; "" where answers cannot be partial."""
    if not any("partial" in OUTCOMES[kind] for kind in row.measure.kinds):
        return ""
    counts = [row.rates[name].partial for name in _both(row, model)]
    return "" if None in counts else "/".join(map(str, counts))


def text_of_unjudged(row: Row, model: str) -> str:
    """E.g. "0/2", of base and model."""
    return "/".join(str(row.rates[name].unjudged) for name in _both(row, model))


def _both(row: Row, model: str) -> list[str]:
    return [name for name in dict.fromkeys((BASE, model)) if name in row.rates]


def text_of_change(change: Change | None) -> str:
    """E.g. "-7.0 [-9.1, -4.9]", in points."""
    if change is None or change.difference is None:
        return "-"
    return f"{100 * change.difference:+.1f} [{100 * change.low:+.1f}, {100 * change.high:+.1f}]"


def text_of_p(change: Change | None) -> str:
    """E.g. "0.0123" or "<0.0001"."""
    return "-" if change is None or change.difference is None else _p(change.p)


def text_of_holm(change: Change | None) -> str:
    """p with Holm's correction; "" outside the family of tests."""
    if change is None or change.difference is None or change.p_holm is None:
        return ""
    return _p(change.p_holm)


def text_of_least(change: Change | None) -> str:
    """The least change that could be found, in points; "" where none could."""
    return "" if change is None or change.least is None else f"{100 * change.least:.1f}"


def _p(p: float) -> str:
    return f"{p:.4f}" if p >= 0.0001 else "<0.0001"
