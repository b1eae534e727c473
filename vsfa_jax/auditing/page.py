"""The audit's page: one static file, safe to open whatever a set says.

Everything that comes from the set is escaped; a content-security policy forbids scripts and every
request; images are encoded anew, and blurred until clicked. Leaves are turned without a script.
"""

from __future__ import annotations

import collections
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vsfa_jax.auditing import charts
from vsfa_jax.auditing.contents import Dropped, Hit, Part
from vsfa_jax.auditing.examples import View
from vsfa_jax.core.pages import template
from vsfa_jax.synth.leaks import REASONS

MAX_ROWS = 500
LEAF_ROWS = 20  # records on one leaf
LISTED_HITS = 40
COLOURS = (
    *("#3b5bdb", "#1f8a57", "#b7791f", "#8a4fbf", "#2596a8", "#c8372d", "#6b7f99", "#d08c60"),
    *("#5f6caf", "#a3b18a", "#c2548d", "#4d908e"),
)
LABELLED_ARMS = ("refusal",)  # that hold safety labels on purpose


def render(
    title: str,
    facts: Mapping[str, str],
    parts: Sequence[Part],
    views: Sequence[View],
    dropped: Sequence[Dropped],
    balance: Mapping[str, Any] | None,
) -> str:
    """The page.

    Args:
      title: of the page.
      facts: how it was made, shown as they are.
      parts: every arm of every split.
      views: the records that are shown, at most `MAX_ROWS`, those of a part together.
      dropped: what the synthesis rejected or could not make.
      balance: its table of balance, if there is one.

    Raises:
      ValueError: there are too many views.
    """
    if len(views) > MAX_ROWS:
        raise ValueError(f"{len(views)} records; wanted at most {MAX_ROWS} on a page")
    packed = [charts.packing(part) for part in parts]
    kinds = _kinds(parts)
    return template("audit.html.jinja").render(
        title=title,
        facts=facts,
        rows=[_row(part, one) for part, one in zip(parts, packed, strict=True)],
        lengths=_lengths(parts),
        kinds=kinds,
        kind_bars=[_kind_bar(part, kinds) for part in parts],
        packed=list(zip(parts, packed, strict=True)),
        reasons=[r for r in REASONS if any(_leaks_by_reason(part)[r] for part in parts)],
        leaks=[(part, _leaks_by_reason(part)) for part in parts],
        hits=_listed_hits(parts),
        num_hits=sum(len(part.hits) for part in parts if part.arm not in LABELLED_ARMS),
        labelled=LABELLED_ARMS,
        dropped=dropped,
        balance=balance,
        balance_kinds=_balance_kinds(balance),
        leaves=leaves(views),
        num_views=len(views),
        num_records=sum(len(part.source) for part in parts),
        width=charts.WIDTH,
        height=charts.HEIGHT,
        band_width=charts.BAND_WIDTH,
    )


def leaves(views: Sequence[View]) -> list[dict[str, Any]]:
    """The records in leaves of at most `LEAF_ROWS`, no leaf of two parts."""
    found = []
    for (split, arm), group in itertools.groupby(views, key=lambda v: (v.split, v.arm)):
        together = list(group)
        for start in range(0, len(together), LEAF_ROWS):
            some = together[start : start + LEAF_ROWS]
            name = arm if split == "train" else f"{arm}, {split}"
            found.append({"title": f"{name} {start + 1}–{start + len(some)}", "views": some})
    return found


def _row(part: Part, packing: charts.Packing | None) -> dict[str, Any]:
    """What the first table says of a part."""
    return {
        "title": part.title,
        "records": len(part.source),
        "images": part.num_images,
        "tokens": None if part.plan is None else _spread(part.plan.lengths[:, 0]),
        "patches": None if part.plan is None else _spread(part.plan.lengths[:, 1]),
        "answers": _spread(part.answer_tokens),
        "answer_sum": int(part.answer_tokens.sum()),
        "dropped": None if packing is None else sum(packing.dropped.values()),
        "hits": len(part.hits),
        "labelled": part.arm in LABELLED_ARMS,
        "fault": part.fault,
        "unknown": part.unknown,
    }


def _spread(values: np.ndarray) -> tuple[int, int, int]:
    """Least, median and most."""
    return int(values.min()), int(np.median(values)), int(values.max())


def _lengths(parts: Sequence[Part]) -> list[tuple[Part, list[charts.Histogram | None]]]:
    """Of each part histograms of tokens and of answers' tokens; equal axes down a column."""
    nothing = np.zeros(0, np.int64)
    tokens = [nothing if p.plan is None else p.plan.lengths[:, 0] for p in parts]
    columns = charts.histograms(tokens), charts.histograms([p.answer_tokens for p in parts])
    return [(part, [column[i] for column in columns]) for i, part in enumerate(parts)]


def _kinds(parts: Sequence[Part]) -> dict[str, str]:
    """Kind -> colour, the commonest first; what has no colour of its own is grey."""
    total = collections.Counter(kind for part in parts for kind in part.kinds)
    colours = itertools.chain(COLOURS, itertools.repeat("#b8bec7"))
    return dict(zip((kind for kind, _ in total.most_common()), colours, strict=False))


def _kind_bar(part: Part, kinds: Mapping[str, str]) -> dict[str, Any]:
    """A bar of the kinds' shares."""
    counts = collections.Counter(part.kinds)
    segments, at = [], 0.0
    for kind, colour in kinds.items():
        if counts[kind]:
            wide = charts.BAND_WIDTH * counts[kind] / len(part.kinds)
            segments.append(
                {"kind": kind, "count": counts[kind], "x": at, "width": wide, "colour": colour}
            )
            at += wide
    return {"title": part.title, "segments": segments}


def _leaks_by_reason(part: Part) -> collections.Counter[str]:
    """In how many pairs each reason is found."""
    return collections.Counter(
        reason for hit in part.hits for reason in {leak.reason for leak in hit.leaks}
    )


def _listed_hits(parts: Sequence[Part]) -> list[tuple[Part, Hit]]:
    """The first hits of the arms that should have none, in turn from each."""
    groups = [[(p, hit) for hit in p.hits] for p in parts if p.arm not in LABELLED_ARMS]
    turns = itertools.chain.from_iterable(itertools.zip_longest(*groups))
    return list(itertools.islice((one for one in turns if one is not None), LISTED_HITS))


def _balance_kinds(balance: Mapping[str, Any] | None) -> list[str]:
    """Every kind that an arm of the table of balance has."""
    splits = {} if balance is None else balance["splits"]
    return sorted({k for arms in splits.values() for held in arms.values() for k in held["kinds"]})
