"""How often a loop of a compiled program runs, from its counter where the compiler does not say.

init       tuple(0, x)                         starts at 0
condition  compare(counter, 32), direction=LT  runs while below 32
body       tuple(counter + 1, ...)             in steps of 1
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from vsfa_jax.planning.hlo import Computation, HloError, Instruction, Program

Trips = Callable[[Instruction], float | None]

_SAME = ("copy", "bitcast", "convert", "reshape", "broadcast", "copy-start", "copy-done")
_SIGNS = {"add": 1, "subtract": -1}
_MIRRORED = {"LT": "GT", "LE": "GE", "GT": "LT", "GE": "LE", "NE": "NE"}


@dataclasses.dataclass(frozen=True)
class Counter:
    """A value that is element `index` of a loop's carry, plus `offset`."""

    index: int
    offset: int


class Loops:
    """The trip counts of a program.

    Args:
      program: parsed.
      given: says it of loops that end by the data; asked first.
    """

    def __init__(self, program: Program, given: Trips | None = None):
        self._program = program
        self._given = given

    def trips(self, computation: Computation, loop: Instruction) -> float:
        """How often the body of `loop`, which stands in `computation`, runs.

        Raises:
          HloError: nobody says; the loop is named with where it comes from.
        """
        said = self._given(loop) if self._given else None
        found = self._counted(computation, loop) if said is None else said
        if found is None:
            raise HloError(
                f"loop {loop.name} in {computation.name}, of {loop.op_name!r}: it ends by the "
                "data; wanted a trip count to be given for it"
            )
        return found

    def _counted(self, computation: Computation, loop: Instruction) -> int | None:
        if loop.trip_count is not None:
            return loop.trip_count
        condition = self._program.computations[loop.called["condition"]]
        body = self._program.computations[loop.called["body"]]
        where, compare = self._through_fusions(condition, condition.root)
        if compare.opcode != "compare":
            return None
        direction = compare.attribute("direction") or ""
        left, right = where.operands(compare)
        counter, bound = self._counter(where, left), self._integer(where, right)
        if counter is None:
            counter, bound = self._counter(where, right), self._integer(where, left)
            direction = _MIRRORED.get(direction, "")
        if counter is None or bound is None:
            return None
        start = self._element(computation, loop.operands[0], counter.index)
        last = self._carried(body, counter.index)
        if start is None or last is None:
            return None
        return _count(start + counter.offset, bound, last.offset, direction)

    def _carried(self, body: Computation, index: int) -> Counter | None:
        """What the body makes of element `index`, if that is the element itself plus a constant."""
        if body.root.opcode != "tuple":
            return None
        last = self._counter(body, body.operands(body.root)[index])
        return last if last is not None and last.index == index else None

    def _through_fusions(
        self, computation: Computation, one: Instruction
    ) -> tuple[Computation, Instruction]:
        """The instruction that computes what a fusion gives."""
        while one.opcode == "fusion" or (one.opcode in _SAME and one.operands):
            if one.opcode == "fusion":
                computation = self._program.computations[one.called["calls"]]
                one = computation.root
            else:
                one = computation.operands(one)[0]
        return computation, one

    def _counter(self, where: Computation, one: Instruction) -> Counter | None:
        """`one` as an element of the loop's carry plus a constant, if it is that."""
        where, one = self._through_fusions(where, one)
        if one.opcode == "parameter":
            outside = self._argument(where, one)
            return self._counter(*outside) if outside else None
        if one.opcode == "get-tuple-element":
            source = where.operands(one)[0]
            index = int(one.attribute("index") or 0)
            return Counter(index, 0) if source.opcode == "parameter" else None
        if one.opcode in _SIGNS:
            left, right = where.operands(one)
            found, step = self._counter(where, left), self._integer(where, right)
            if found is None and one.opcode == "add":
                found, step = self._counter(where, right), self._integer(where, left)
            if found is not None and step is not None:
                return Counter(found.index, found.offset + _SIGNS[one.opcode] * step)
        return None

    def _argument(
        self, where: Computation, parameter: Instruction
    ) -> tuple[Computation, Instruction] | None:
        """What a fusion gives its computation as a parameter."""
        callers = self._program.callers.get(where.name, ())
        if len(callers) != 1 or callers[0][2] != "calls":
            return None
        outside, caller, _ = callers[0]
        return outside, outside.operands(caller)[int(parameter.inside)]

    def _integer(self, where: Computation, one: Instruction) -> int | None:
        """The value of a constant, however it gets here; None where it is none."""
        where, one = self._through_fusions(where, one)
        if one.opcode == "constant":
            return int(one.inside) if one.inside.lstrip("-").isdigit() else None
        if one.opcode == "parameter":
            outside = self._argument(where, one)
            return self._integer(*outside) if outside else None
        if one.opcode == "get-tuple-element":
            return self._element(where, one.operands[0], int(one.attribute("index") or 0))
        if one.opcode in _SIGNS:
            left, right = (self._integer(where, each) for each in where.operands(one))
            if left is not None and right is not None:
                return left + _SIGNS[one.opcode] * right
        return None

    def _element(self, where: Computation, name: str, index: int) -> int | None:
        """An element of a tuple, if it is a constant; a loop must leave it as it is."""
        one = where.instructions[name]
        if one.opcode == "tuple":
            return self._integer(where, where.operands(one)[index])
        if one.opcode == "while":
            body = self._program.computations[one.called["body"]]
            is_kept = self._carried(body, index) == Counter(index, 0)
            return self._element(where, one.operands[0], index) if is_kept else None
        if one.opcode == "parameter":
            return self._outside(where, index)
        return None

    def _outside(self, where: Computation, index: int) -> int | None:
        """The constant that the loop around `where` carries at `index`."""
        callers = [
            each for each in self._program.callers.get(where.name, ()) if each[2] != "to_apply"
        ]
        if len(callers) != 1 or callers[0][2] not in ("body", "condition"):
            return None
        outside, loop, _ = callers[0]
        return self._element(outside, loop.name, index)


def _count(start: int, bound: int, step: int, direction: str) -> int | None:
    """Trips of a counter from `start` in steps of `step` while it compares so with `bound`."""
    if direction in ("LE", "GE"):
        bound, direction = (bound + 1, "LT") if direction == "LE" else (bound - 1, "GT")
    if direction == "NE" and step:
        return (bound - start) // step if (bound - start) % step == 0 else None
    if (direction == "LT" and step > 0) or (direction == "GT" and step < 0):
        return max(0, -((start - bound) // step))
    return None
