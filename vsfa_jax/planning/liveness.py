"""Which arrays lie in HBM at once: a sweep over a compiled program's schedule.

The text is in the order in which instructions run, and says which of them write into what they
read. An array lives from the instruction that makes it to the last that reads it; a loop's body
adds its own peak to what lives around it. What a loop carries is the caller's; arguments and
results of the program are not temporaries and count nothing here.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence

from vsfa_jax.planning.hlo import HBM, Array, Computation, Instruction, Program, leaves

_ALIASES = ("bitcast", "tuple", "optimization-barrier", "while")  # give what they take
_VIEWS = ("bitcast", "tuple", "get-tuple-element")  # read nothing
_NOTHING = ("parameter", "constant", "partition-id", "replica-id", "after-all")
_OUTPUT_ALIAS = re.compile(r"\{(\d*)\}: \((\d+), \{\}")


@dataclasses.dataclass(frozen=True)
class Live:
    """A temporary at the peak.

    Attributes:
      instruction: that made it.
      computation: where that stands; the entry's name outside of all loops.
      array: its shape.
      bytes: that it takes, padded.
    """

    instruction: Instruction
    computation: str
    array: Array
    bytes: int


@dataclasses.dataclass
class _Buffer:
    """An array in HBM while one computation is swept."""

    maker: Instruction
    array: Array
    bytes: int
    first: int
    last: int


def peak(program: Program) -> tuple[Live, ...]:
    """The temporaries in HBM when they take most, the largest first."""
    found = _Sweep(program).of(program.entry)
    return tuple(sorted(found, key=lambda live: -live.bytes))


class _Sweep:
    """Peaks of computations, each without what it is given and gives."""

    def __init__(self, program: Program):
        self._program = program
        self._known: dict[str, tuple[Live, ...]] = {}

    def of(self, computation: Computation) -> tuple[Live, ...]:
        """What lives at the peak of one computation."""
        if computation.name not in self._known:
            self._known[computation.name] = self._peak(computation)
        return self._known[computation.name]

    def _peak(self, computation: Computation) -> tuple[Live, ...]:
        buffers = _buffers(computation)
        change = [0] * (len(computation.instructions) + 1)
        for buffer in buffers:
            change[buffer.first] += buffer.bytes
            change[buffer.last + 1] -= buffer.bytes
        best: tuple[int, int, tuple[Live, ...]] = (-1, 0, ())
        held = 0
        for place, one in enumerate(computation.instructions.values()):
            held += change[place]
            inner = self._inside(one)
            total = held + sum(live.bytes for live in inner)
            if total > best[0]:
                best = (total, place, inner)
        _, place, inner = best
        here = tuple(
            Live(buffer.maker, computation.name, buffer.array, buffer.bytes)
            for buffer in buffers
            if buffer.bytes and buffer.first <= place <= buffer.last
        )
        return here + inner

    def _inside(self, one: Instruction) -> tuple[Live, ...]:
        """What lives at the peak of what an instruction calls."""
        if one.opcode == "while":
            names: Sequence[str] = [one.called["body"]]
        elif one.opcode == "conditional":
            names = one.branches
        elif one.opcode in ("call", "call-start", "async-start"):
            names = [name for role, name in one.called.items() if role in ("calls", "to_apply")]
        else:
            return ()
        found = (self.of(self._program.computations[name]) for name in names)
        return max(found, key=lambda lives: sum(live.bytes for live in lives), default=())


def _buffers(computation: Computation) -> list[_Buffer]:
    """The buffers of a computation; those that it is given or gives with 0 bytes."""
    held: dict[str, list[_Buffer]] = {}  # by instruction, one for each array of its result
    made: list[_Buffer] = []
    for place, one in enumerate(computation.instructions.values()):
        if one.opcode not in _VIEWS:
            for buffer in (buffer for name in one.operands for buffer in held[name]):
                buffer.last = place
        held[one.name] = _results(computation, one, place, held)
        made += [buffer for buffer in held[one.name] if buffer.first == place]
    for buffer in held[computation.root.name]:
        buffer.bytes = 0
    return list({id(buffer): buffer for buffer in made}.values())


def _results(
    computation: Computation, one: Instruction, place: int, held: Mapping[str, list[_Buffer]]
) -> list[_Buffer]:
    """The buffers of an instruction's result: its operands' where it writes into them, else new."""
    taken = [held[name] for name in one.operands]
    flat = [buffer for buffers in taken for buffer in buffers]
    if one.opcode in _ALIASES:
        return flat
    if one.opcode == "get-tuple-element":
        return _element(computation.operands(one)[0], int(one.attribute("index") or 0), flat)
    if one.opcode.endswith("-update") and len(one.operands) == 1:
        return flat
    if one.opcode.endswith("-done"):
        before = _given_first(computation.operands(one)[0])
        return flat[before : before + len(one.arrays)]
    aliased = _aliased(computation, one, taken)
    is_nothing = one.opcode in _NOTHING
    return [
        aliased.get(number)
        or _Buffer(
            maker=one,
            array=array,
            bytes=0 if is_nothing or array.space != HBM else array.padded_bytes,
            first=place,
            last=place,
        )
        for number, array in enumerate(one.arrays)
    ]


def _element(source: Instruction, index: int, flat: list[_Buffer]) -> list[_Buffer]:
    """The buffers of one element of a tuple."""
    parts = source.shape if isinstance(source.shape, tuple) else (source.shape,)
    sizes = [sum(1 for _ in leaves(part)) for part in parts]
    start = sum(sizes[:index])
    return flat[start : start + sizes[index]]


def _given_first(start: Instruction) -> int:
    """Arrays of what an asynchronous instruction takes, which stand before its result's."""
    if start.opcode in ("copy-start", "recv", "all-reduce-start"):
        return 0
    parts = start.shape if isinstance(start.shape, tuple) else ()
    return sum(1 for _ in leaves(parts[0])) if parts else 0


def _aliased(
    computation: Computation, one: Instruction, taken: list[list[_Buffer]]
) -> dict[int, _Buffer]:
    """By number of a result's array, the operand's buffer that it is written into."""
    flat = [buffer for buffers in taken for buffer in buffers]
    if one.opcode in ("copy-start", "send"):
        return {int(one.opcode == "copy-start"): flat[0]}
    if one.opcode.endswith(("-start", "-update")):
        given = flat if one.opcode.endswith("-start") else flat[len(taken[0]) :]
        return dict(enumerate(given[: _given_first(one)]))
    found = {
        int(output or 0): taken[int(operand)][0]
        for output, operand in _OUTPUT_ALIAS.findall(
            one.attribute("output_to_operand_aliasing") or ""
        )
    }
    if found or '"aliasing_operands":{"lists":[{' not in one.attributes:
        return found
    for listed in one.backend_config["aliasing_operands"]["lists"]:
        numbers = sorted(int(number) for number in listed["indices"])
        output = numbers[-1] - len(taken)
        if len(numbers) > 1 and 0 <= output < len(one.arrays) and len(taken[numbers[0]]) == 1:
            found[output] = taken[numbers[0]][0]
    return found
