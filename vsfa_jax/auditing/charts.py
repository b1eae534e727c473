"""Numbers for the drawings: histograms, and packed rows as bands."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np

from vsfa_jax.auditing.contents import Part
from vsfa_jax.data.batch import Budget

BINS = 24
WIDTH, HEIGHT = 240, 44  # of a histogram, in SVG units
BAND_WIDTH = 520  # of a packed row
DRAWN_ROWS = 8  # packed rows that are drawn of each part


@dataclasses.dataclass(frozen=True)
class Histogram:
    """Bars of equal width.

    Attributes:
      bars: (x, height) in SVG units, those of height 0 left out.
      width: of a bar.
      middle: x of the median.
      median, most: of the values.
      last: the right end of the axis.
    """

    bars: tuple[tuple[float, float], ...]
    width: float
    middle: float
    median: float
    most: int
    last: int


def histograms(values: Sequence[np.ndarray]) -> list[Histogram | None]:
    """One histogram for each array, on the same axis from 0; None for an empty array."""
    most = max((int(one.max(initial=0)) for one in values), default=0)
    last = max(1, most)
    return [_histogram(one, last) if len(one) else None for one in values]


def _histogram(values: np.ndarray, last: int) -> Histogram:
    counts, _ = np.histogram(values, bins=BINS, range=(0, last))
    step = WIDTH / BINS
    bars = tuple(
        (round(i * step, 1), round(HEIGHT * int(n) / int(counts.max()), 1))
        for i, n in enumerate(counts)
        if n
    )
    median = float(np.median(values))
    return Histogram(
        bars, round(step - 1, 1), median / last * WIDTH, median, int(values.max()), last
    )


@dataclasses.dataclass(frozen=True)
class Band:
    """A packed row, drawn.

    Attributes:
      budget: of the row.
      tokens, patches: (x, width) of each example, in SVG units.
    """

    budget: Budget
    tokens: tuple[tuple[float, float], ...]
    patches: tuple[tuple[float, float], ...]


@dataclasses.dataclass(frozen=True)
class Packing:
    """How a part is packed.

    Attributes:
      examples, rows: that fit, and that they fill.
      fill: shares of tokens and patches that hold something.
      alone: the same if each example had a row of its bucket for itself.
      dropped: how many examples fit no bucket, by what they have too much of.
      bands: some rows.
    """

    examples: int
    rows: int
    fill: tuple[float, float]
    alone: tuple[float, float]
    dropped: dict[str, int]
    bands: tuple[Band, ...]


def packing(part: Part) -> Packing | None:
    """How a part is packed; None where it is not."""
    plan = part.plan
    if plan is None:
        return None
    bands: list[Band] = []
    alone = np.zeros(2)
    for budget, rows in plan.one_pass():
        size = np.array([budget.tokens, budget.patches])
        for row in rows:
            alone += len(row) * size
            if len(row) and len(bands) < DRAWN_ROWS:
                lengths = plan.lengths[row]
                bands.append(
                    Band(budget, _spans(lengths[:, 0], size[0]), _spans(lengths[:, 1], size[1]))
                )
    dropped = {one.index for one in plan.dropped}
    held = np.delete(plan.lengths, sorted(dropped), axis=0).sum(axis=0)
    share = np.divide(held, alone, out=np.zeros(2), where=alone > 0)
    return Packing(
        examples=plan.num_fitting,
        rows=plan.rows_per_epoch,
        fill=plan.fill,
        alone=(float(share[0]), float(share[1])),
        dropped=_reasons(part),
        bands=tuple(bands),
    )


def _spans(lengths: np.ndarray, room: int) -> tuple[tuple[float, float], ...]:
    ends = np.cumsum(lengths) * BAND_WIDTH / max(1, room)
    starts = [0.0, *ends[:-1].tolist()]
    return tuple((round(a, 1), round(b - a, 1)) for a, b in zip(starts, ends, strict=True))


def _reasons(part: Part) -> dict[str, int]:
    """Of examples that fit no bucket: whether tokens or patches are too many."""
    counts: collections.Counter[str] = collections.Counter()
    if part.plan is not None:
        largest = part.plan.budgets[-1]
        for one in part.plan.dropped:
            tokens, patches = map(int, part.plan.lengths[one.index])
            over = ["tokens"] if tokens > largest.tokens else []
            over += ["patches"] if patches > largest.patches else []
            counts["too many " + " and ".join(over)] += 1
    return dict(counts.most_common())
