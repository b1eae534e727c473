"""The optimized, scheduled HLO text of a compiled program as computations and instructions.

%fusion.41 = bf16[512,1024]{1,0:T(8,128)(2,1)S(1)} fusion(%a, %b), kind=kOutput, calls=%f.3
 name        dtype dims    order tiles       space opcode operands  attributes
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

HBM, VMEM = 0, 1  # memory spaces of a layout: S(1) is VMEM, none is HBM

_HEAD = re.compile(r"^(?P<entry>ENTRY )?%?(?P<name>[\w.\-<>]+) \(.*\) -> .*\{$")
_LINE = re.compile(r"^\s+(?P<root>ROOT )?%?(?P<name>[\w.\-<>]+) = ")
_ARRAY = re.compile(r"(?P<dtype>[a-z]\w*)\[(?P<dims>[^\]]*)\](?:\{(?P<layout>[^}]*)\})?")
_TOKEN = re.compile(r"[(),]|" + _ARRAY.pattern)
_TILE = re.compile(r"\((\d+(?:,\d+)*)\)")
_SPACE = re.compile(r"S\((\d+)\)")
_OPERAND = re.compile(r"%([\w.\-<>]+)")
_CALLED = re.compile(
    r"\b(calls|body|condition|to_apply|true_computation|false_computation)=%?(\S+?)(?:,|$)"
)
_BRANCHES = re.compile(r"\bbranch_computations=\{([^}]*)\}")
_OP_NAME = re.compile(r'\bop_name="((?:[^"\\]|\\.)*)"')
_TARGET = re.compile(r'\bcustom_call_target="([^"]*)"')
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_ALIAS = re.compile(r"\{([\d, ]*)\}: \((\d+), \{([\d, ]*)\}")
_PARTITIONS = re.compile(r"\bnum_partitions=(\d+)")
_BITS = {"pred": 8, "token": 0, "opaque": 0}


class HloError(Exception):
    """A compiled program's text is not what this room knows to read."""


@dataclasses.dataclass(frozen=True)
class Array:
    """One array of a program, on one chip.

    Attributes:
      dtype: HLO's name, as "bf16" or "s32".
      dims: its sizes.
      order: axes from the minor one on; empty where the text gives no layout.
      tile: sizes of the layout's first tile; () for none. Padding fills the last one.
      space: memory space; `HBM`, `VMEM` or another one of the chip's small ones.
    """

    dtype: str
    dims: tuple[int, ...]
    order: tuple[int, ...]
    tile: tuple[int, ...]
    space: int

    @property
    def bits(self) -> int:
        """Of an element."""
        if self.dtype in _BITS:
            return _BITS[self.dtype]
        found = re.match(r"[a-z]+(\d+)", self.dtype)
        if found is None:
            raise HloError(f"dtype: found {self.dtype!r}, wanted one that tells its bits")
        return int(found[1])

    @property
    def size(self) -> int:
        """Elements."""
        return math.prod(self.dims)

    @property
    def bytes(self) -> int:
        """Without padding."""
        return -(-self.size * self.bits // 8)

    @property
    def padded_bytes(self) -> int:
        """Of memory: the minor axes filled up to whole tiles."""
        sizes = [self.dims[axis] for axis in self.order] or list(self.dims[::-1])
        sizes += [1] * (len(self.tile) - len(sizes))
        for place, tile in enumerate(reversed(self.tile)):
            sizes[place] = -(-sizes[place] // tile) * tile
        return -(-math.prod(sizes) * self.bits // 8)


Shape = Array | tuple["Shape", ...]


def leaves(shape: Shape) -> Iterator[Array]:
    """The arrays of a shape, from the left."""
    if isinstance(shape, Array):
        yield shape
    else:
        for part in shape:
            yield from leaves(part)


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of a computation.

    Attributes:
      name: without the percent sign.
      opcode: as "fusion" or "all-gather-start".
      shape: of the result; a tuple of shapes for a tuple.
      operands: names of instructions of the same computation.
      inside: what stands between the parentheses, a parameter's number or a constant's value.
      attributes: the rest of the line.
      is_root: it is the computation's result.
    """

    name: str
    opcode: str
    shape: Shape
    operands: tuple[str, ...]
    inside: str
    attributes: str
    is_root: bool

    @functools.cached_property
    def arrays(self) -> tuple[Array, ...]:
        """The arrays of the result."""
        return tuple(leaves(self.shape))

    @functools.cached_property
    def called(self) -> Mapping[str, str]:
        """Computations by role: calls, body, condition, to_apply."""
        return {role: name.rstrip("}") for role, name in _CALLED.findall(self.attributes)}

    @functools.cached_property
    def branches(self) -> tuple[str, ...]:
        """Computations of a conditional, the one of index 0 or False first."""
        if found := _BRANCHES.search(self.attributes):
            return tuple(_OPERAND.findall(found[1]))
        names = (self.called.get(f"{case}_computation") for case in ("false", "true"))
        return tuple(name for name in names if name)

    @functools.cached_property
    def op_name(self) -> str:
        """Where it comes from, as "jit(step)/jvp(vision)/while/body/dot_general"; may be ""."""
        return _group(_OP_NAME, self.attributes)

    @functools.cached_property
    def target(self) -> str:
        """What a custom call calls; else ""."""
        return _group(_TARGET, self.attributes)

    @functools.cached_property
    def trip_count(self) -> int | None:
        """How often a loop runs, where the compiler says so."""
        found = _TRIPS.search(self.attributes)
        return int(found[1]) if found else None

    @functools.cached_property
    def backend_config(self) -> Mapping[str, Any]:
        """What the compiler's backend noted; empty for none."""
        _, mark, text = self.attributes.partition("backend_config={")
        if not mark:
            return {}
        try:
            return json.JSONDecoder().raw_decode("{" + text)[0]
        except json.JSONDecodeError as error:
            raise HloError(f"{self.name}: backend_config is no JSON: {error}") from error

    def attribute(self, name: str) -> str | None:
        """The value of a plain or braced attribute, as "{1,2}" or "bf_io->bf"."""
        found = re.search(rf"(?:^|[ ,]){name}=", self.attributes)
        if found is None:
            return None
        rest = self.attributes[found.end() :]
        if not rest.startswith("{"):
            return rest.partition(",")[0]
        depth = 0
        for place, letter in enumerate(rest):
            depth += (letter == "{") - (letter == "}")
            if depth == 0:
                return rest[: place + 1]
        return rest


@dataclasses.dataclass(frozen=True)
class Computation:
    """A computation; its instructions in the order in which they run.

    Attributes:
      name: without the percent sign.
      instructions: by name.
    """

    name: str
    instructions: Mapping[str, Instruction]

    @functools.cached_property
    def root(self) -> Instruction:
        """The instruction whose result is the computation's."""
        return next(one for one in self.instructions.values() if one.is_root)

    @functools.cached_property
    def parameters(self) -> tuple[Instruction, ...]:
        """By number."""
        found = [one for one in self.instructions.values() if one.opcode == "parameter"]
        return tuple(sorted(found, key=lambda one: int(one.inside)))

    @functools.cached_property
    def users(self) -> Mapping[str, Sequence[Instruction]]:
        """By an instruction's name, those that take its result, in order."""
        found: dict[str, list[Instruction]] = {}
        for one in self.instructions.values():
            for name in dict.fromkeys(one.operands):
                found.setdefault(name, []).append(one)
        return found

    def operands(self, instruction: Instruction) -> tuple[Instruction, ...]:
        """The instructions whose results it takes."""
        return tuple(self.instructions[name] for name in instruction.operands)


@dataclasses.dataclass(frozen=True)
class Alias:
    """A result that takes the place of an argument: indices into the result and the argument."""

    output: tuple[int, ...]
    parameter: int
    within: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled program.

    Attributes:
      entry: the computation that runs.
      computations: all of them by name.
      aliases: results that overwrite donated arguments.
      partitions: devices that it is for; those of one slice where there are several.
    """

    entry: Computation
    computations: Mapping[str, Computation]
    aliases: tuple[Alias, ...]
    partitions: int

    @functools.cached_property
    def callers(self) -> Mapping[str, Sequence[tuple[Computation, Instruction, str]]]:
        """By computation, the instructions that call it: where, which, as what."""
        found: dict[str, list[tuple[Computation, Instruction, str]]] = {}
        for computation in self.computations.values():
            for one in computation.instructions.values():
                roles = [*one.called.items(), *(("branch", name) for name in one.branches)]
                for role, name in roles:
                    found.setdefault(name, []).append((computation, one, role))
        return found


def parse(text: str) -> Program:
    """Reads `compiled.as_text()`.

    Raises:
      HloError: no entry computation, or a line of a computation that is no instruction.
    """
    computations: dict[str, Computation] = {}
    entry = name = None
    instructions: dict[str, Instruction] = {}
    for line in text.splitlines():
        if name is None:
            if line.endswith("{") and (head := _HEAD.match(line)):
                name, instructions = head["name"], {}
                entry = name if head["entry"] else entry
        elif line.startswith("}"):
            computations[name] = Computation(name, instructions)
            name = None
        elif line.strip():
            one = _instruction(line)
            instructions[one.name] = one
    if entry is None or entry not in computations:
        raise HloError("HLO text: found no ENTRY computation")
    head_line = text[: text.find("\n")]
    partitions = int(_group(_PARTITIONS, head_line) or 1)
    return Program(computations[entry], computations, tuple(_aliases(head_line)), partitions)


def parse_shape(text: str) -> Shape:
    """A shape such as "(bf16[8,128]{1,0}, s32[])".

    Raises:
      HloError: it is none.
    """
    stack: list[list[Shape]] = [[]]
    for token in _TOKEN.finditer(text):
        if token[0] == "(":
            stack.append([])
        elif token[0] == ")":
            done = tuple(stack.pop())
            stack[-1].append(done)
        elif token[0] != ",":
            stack[-1].append(_array(token["dtype"], token["dims"], token["layout"] or ""))
    if len(stack) != 1 or len(stack[0]) != 1:
        raise HloError(f"shape: found {text[:80]!r}, wanted an array or a tuple")
    return stack[0][0]


@functools.lru_cache(maxsize=4096)
def _array(dtype: str, dims: str, layout: str) -> Array:
    order, _, rest = layout.partition(":")
    tiled = re.match(r"T((?:\([^)]*\))+)", rest)
    tile = _TILE.match(tiled[1]) if tiled else None
    space = _SPACE.search(rest)
    return Array(
        dtype,
        _integers(dims.replace("<=", "")),
        _integers(order),
        _integers(tile[1]) if tile else (),
        int(space[1]) if space else HBM,
    )


def _instruction(line: str) -> Instruction:
    head = _LINE.match(line)
    if head is None:
        raise HloError(f"HLO text: found {line.strip()[:80]!r}, wanted an instruction")
    start = head.end()
    end = _closing(line, start) + 1 if line[start] == "(" else line.index(" ", start)
    opening = line.index("(", end)
    closing = _closing(line, opening)
    inside = line[opening + 1 : closing]
    return Instruction(
        name=head["name"],
        opcode=line[end:opening].strip(),
        shape=parse_shape(line[start:end]),
        operands=tuple(_OPERAND.findall(inside)),
        inside=inside,
        attributes=line[closing + 1 :].lstrip(", "),
        is_root=head["root"] is not None,
    )


def _closing(text: str, opening: int) -> int:
    """Where the parenthesis that opens at `opening` closes."""
    depth = 0
    for found in re.compile(r"[()]").finditer(text, opening):
        depth += 1 if found[0] == "(" else -1
        if depth == 0:
            return found.start()
    raise HloError(f"HLO text: a parenthesis stays open in {text.strip()[:80]!r}")


def _aliases(head: str) -> Iterator[Alias]:
    _, mark, rest = head.partition("input_output_alias={")
    if mark:
        for output, parameter, within in _ALIAS.findall(rest[: rest.find(") }") + 1]):
            yield Alias(_integers(output), int(parameter), _integers(within))


def _integers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.replace(" ", "").split(",") if part)


def _group(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found[1] if found else ""
