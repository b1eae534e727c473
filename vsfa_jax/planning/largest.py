"""The most rows a device that fit a slice, found in few compilations.

    rows     1 . . . . 7 8 . 10
    tried    x         x x        1 is known; from it 7 is guessed, which leaves room for one more

What a device needs is nearly a straight line in its rows, so that two figures foretell the end.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from vsfa_jax.planning.report import Plan

# What a run holds however many rows it has; everything else is taken to grow with them, so that
# the first guess is too small rather than too large.
FIXED = ("weights, ", "gathered weights", "adapter", "optimizer", "gradients", "the program")


@dataclasses.dataclass(frozen=True)
class Largest:
    """What was found.

    Attributes:
      rows: of a device, the most that fit.
      plan: of a step of so many.
      beyond: bytes that one row more would need, by the compiler or along the line.
      tried: rows that were compiled.
    """

    rows: int
    plan: Plan
    beyond: float
    tried: tuple[int, ...]


def largest(rows: int, plan: Plan, examine: Callable[[int], Plan], limit: int) -> Largest:
    """Searches from a step that fits.

    Args:
      rows: of a device, of that step.
      plan: of it.
      examine: compiles a step of so many rows a device.
      limit: the most programs that are compiled.

    Raises:
      ValueError: `plan` does not fit.
    """
    if not plan.fits:
        raise ValueError("wanted a plan that fits, to search from")
    found, best = {rows: plan}, rows
    guess = _first_guess(rows, plan)
    for _ in range(limit):
        over = min((n for n, one in found.items() if not one.fits), default=guess + 1)
        guess = min(max(guess, best + 1), max(over - 1, best + 1))
        if guess in found:
            break
        found[guess] = examine(guess)
        best = max(n for n, one in found.items() if one.fits)
        slope, start = _line(found)
        guess = int((plan.available - start) // slope)
        if guess <= best:
            break
    slope, start = _line(found)
    beyond = found[best + 1].needed if best + 1 in found else start + slope * (best + 1)
    return Largest(best, found[best], beyond, tuple(found)[1:])


def _first_guess(rows: int, plan: Plan) -> int:
    fixed = sum(size for name, size in plan.memory.items() if name.startswith(FIXED))
    return int((plan.available - fixed) // ((plan.needed - fixed) / rows))


def _line(found: dict[int, Plan]) -> tuple[float, float]:
    """(bytes a row, bytes of none) through the two largest steps whose needs are known.

    What the compiler says of a step that does not fit counts: it lays that one out too.
    """
    if len(found) == 1:
        ((rows, plan),) = found.items()
        return plan.needed / rows, 0.0
    low, high = sorted(found)[-2:]
    slope = (found[high].needed - found[low].needed) / (high - low)
    return slope, found[high].needed - slope * high
