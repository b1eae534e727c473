"""The headline: a vector for each model, never attack success alone, and which no other beats.

    attack success, over-refusal   lower is better    mean over the sets, each set once
    constructive score, ability    higher is better   the same

Attacks in another mode than their own are in no mean: they say what the image does, not how the
model fares.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from vsfa_jax.statistics import Interval, mean_of_sets, undominated
from vsfa_jax.tables import BASE, BLIND, Row

PARTS = {
    "asr": ("attack success", "lower"),
    "over_refusal": ("over-refusal", "lower"),
    "constructive": ("constructive score", "higher"),
    "ability": ("ability", "higher"),
}


@dataclasses.dataclass(frozen=True)
class Part:
    """One component of a model's vector.

    Attributes:
      mean: over the sets, each counting as one.
      low, high: its 95 % interval.
      sets: set -> rate.
      difference: from the base's mean, over the cases that both were judged on; None of the base.
      difference_low, difference_high: its 95 % interval.
    """

    mean: float
    low: float
    high: float
    sets: Mapping[str, float]
    difference: float | None
    difference_low: float | None
    difference_high: float | None


@dataclasses.dataclass(frozen=True)
class Vector:
    """A model's headline.

    Attributes:
      model: name of the row.
      parts: name of `PARTS` -> component; those that every set of it has a rate for.
      beaten_by: models that are nowhere worse and somewhere better, by their means; () where none
        is, or the model's vector is empty.
    """

    model: str
    parts: Mapping[str, Part]
    beaten_by: tuple[str, ...]


def vectors(rows: Sequence[Row]) -> list[Vector]:
    """One vector a model, in the order of the table."""
    whole = [r for r in rows if r.depth == 0 and r.measure.part and r.mode == "image"]
    models = dict.fromkeys(m for row in whole for m in row.rates if m != BLIND)
    found: dict[str, dict[str, Part]] = {}
    for model in models:
        made = {name: _part(name, model, whole) for name in PARTS}
        found[model] = {name: part for name, part in made.items() if part is not None}
    means = {
        model: [parts[name].mean if name in parts else None for name in PARTS]
        for model, parts in found.items()
    }
    beaten = undominated(means, [better for _, better in PARTS.values()])
    return [Vector(model, parts, tuple(beaten[model])) for model, parts in found.items()]


def _part(name: str, model: str, rows: Sequence[Row]) -> Part | None:
    """None where a set has no rate of the model, for a mean over other sets is another number."""
    own = [row for row in rows if row.measure.part == name]
    rates = {_set(row): row.rates.get(model) for row in own}
    if not own or any(rate is None or rate.rate is None for rate in rates.values()):
        return None
    known = {of: rate for of, rate in rates.items() if rate is not None and rate.rate is not None}
    mean, interval = mean_of_sets(
        [(rate.rate or 0.0, Interval(rate.low, rate.high)) for rate in known.values()]
    )
    changes = [row.changes.get(model) for row in own] if model != BASE else []
    moves = [
        (c.difference, Interval(c.low, c.high)) for c in changes if c and c.difference is not None
    ]
    move, span = mean_of_sets(moves) if moves and len(moves) == len(own) else (None, None)
    return Part(
        mean=mean,
        low=interval.low,
        high=interval.high,
        sets={of: rate.rate or 0.0 for of, rate in known.items()},
        difference=move,
        difference_low=span.low if span else None,
        difference_high=span.high if span else None,
    )


def _set(row: Row) -> str:
    return row.benchmark if row.measure.name != "graded" else f"{row.benchmark} (score)"


def as_json(found: Sequence[Vector]) -> list[dict[str, Any]]:
    """The vectors of table.json."""
    return [dataclasses.asdict(vector) for vector in found]


@dataclasses.dataclass(frozen=True)
class Point:
    """What one checkpoint came to, for the picture of attack success against over-refusal.

    Attributes:
      name: for readers.
      step: of the checkpoint, 0 of what was not trained.
      asr, over_refusal: (mean, low, high).
    """

    name: str
    step: int
    asr: tuple[float, float, float]
    over_refusal: tuple[float, float, float]


def point(name: str, step: int, parts: Mapping[str, Mapping[str, float]]) -> Point | None:
    """A vector's point; None where it lacks one of the two rates."""
    if "asr" not in parts or "over_refusal" not in parts:
        return None
    asr, over_refusal = (
        (parts[part]["mean"], parts[part]["low"], parts[part]["high"])
        for part in ("asr", "over_refusal")
    )
    return Point(name, step, asr, over_refusal)
