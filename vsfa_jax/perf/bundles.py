"""Reads the compiler's text: cycles and bytes of kernels in HLO, bundles in a schedule."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

_BUNDLE = re.compile(r"^\s*(?:0x[0-9a-f]+|0)\s*(?P<label>[A-Z]{2})?\s*:(?P<depth>[ >]*)\{")
_CALL = re.compile(r"^\s*(?:ROOT )?%?(?P<name>[\w.\-]+) = (?P<result>.*?) custom-call\(")
_OPERANDS = re.compile(r"operand_layout_constraints=\{(?P<operands>.*?)\}, [a-z_]+=")
_ARRAY = re.compile(
    r"(?P<dtype>pred|bf16|[fsu]\d+)\[(?P<shape>[\d,]*)\]"
    r"(?:\{(?P<order>[\d,]*)(?::(?P<tiling>[^}]*))?\})?"
)
_BITS = {"pred": 8, "bf16": 16}


@dataclasses.dataclass(frozen=True)
class Block:
    """A straight line of a kernel's schedule.

    Attributes:
      bundles: instruction words; each takes a cycle, or more where it must wait.
      depth: nesting of loops; the grid is the first.
      matmuls: instructions among them that feed a matrix unit.
    """

    bundles: int
    depth: int
    matmuls: int


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A custom call of a compiled program.

    Attributes:
      name: of the instruction.
      cycles: libtpu's estimate; None where it gave none, or one that knows no scalar inputs.
      bytes: of its operands and results, each once, padded to the tiles of their layout.
    """

    name: str
    cycles: int | None
    bytes: int


def kernels(hlo: str) -> list[Kernel]:
    """The TPU kernels of a compiled program's text."""
    found = []
    for line in hlo.splitlines():
        call = _CALL.match(line)
        if call is None or 'custom_call_target="tpu_custom_call"' not in line:
            continue
        cycles = re.search(r'"estimated_cycles":"(\d+)"', line)
        is_whole = '"scalar_inputs":"0"' in line
        operands = _OPERANDS.search(line)
        arrays = call["result"] + (operands["operands"] if operands else "")
        found.append(
            Kernel(
                name=call["name"],
                cycles=int(cycles[1]) if cycles and is_whole else None,
                bytes=sum(_bytes(array) for array in _ARRAY.finditer(arrays)),
            )
        )
    return found


def _bytes(array: re.Match[str]) -> int:
    """Bytes in HBM; a row of lanes is padded to 128 and the rows to a whole tile."""
    bits = _BITS.get(array["dtype"]) or int(array["dtype"][1:])
    sizes = [int(n) for n in array["shape"].split(",") if n]
    order = [int(n) for n in (array["order"] or "").split(",") if n]
    minor = [sizes[axis] for axis in order] or sizes[::-1]
    for place, tile in enumerate((128, 8)):
        if place < len(minor) and len(minor) > 1:
            minor[place] = -(-minor[place] // tile) * tile if place == 0 or minor[1] > 1 else 1
    total = bits // 8
    for size in minor:
        total *= size
    return total


def blocks(schedule: str) -> list[Block]:
    """The straight lines of a `*-final_bundles.txt`, in order; a jump or a label ends one."""
    return [block for block in _blocks(schedule) if block.bundles]


def _blocks(schedule: str) -> Iterator[Block]:
    bundles = depth = matmuls = 0
    for line in schedule.splitlines():
        found = _BUNDLE.match(line)
        if found is None:
            continue
        nested = found["depth"].count(">")
        if found["label"] or nested != depth:
            yield Block(bundles, depth, matmuls)
            bundles = matmuls = 0
        depth = nested
        bundles += 1
        matmuls += line.count("= vmatmul") + line.count("{ vmatmul")
        if "sbr.rel" in line:
            yield Block(bundles, depth, matmuls)
            bundles = matmuls = 0
    yield Block(bundles, depth, matmuls)
