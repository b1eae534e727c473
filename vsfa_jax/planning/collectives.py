"""What chips say to each other: kind, bytes, groups, and the mesh axes and slices they cross.

    replica_groups={{0,1},{2,3}}                   written out
    replica_groups=[2,4]<=[4,2]T(1,0)              0..7 as [4,2], transposed, as 2 groups of 4
    replica_groups=mesh['x'=2,'y'=2] {'y'}         numbers as a mesh, along axis y
    source_target_pairs={{0,1},{1,0}}              a collective permute's

A program for several slices numbers the devices of one. What goes to other slices is written as a
`send` and a `recv` through the host, with a collective within the slice before and after.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

import numpy as np

from vsfa_jax.planning.hlo import Array, Computation, HloError, Instruction, Program

KINDS = (
    "all-gather",
    "all-reduce",
    "reduce-scatter",
    "all-to-all",
    "ragged-all-to-all",
    "collective-permute",
    "collective-broadcast",
)
Groups = tuple[tuple[int, ...], ...]

_GROUPS = re.compile(
    r"replica_groups=(?P<explicit>\{[\d,{}]*\})|"
    r"replica_groups=(?P<iota>\[[\d,]+\]<=\[[\d,]+\](?:T\([\d,]+\))?)|"
    r"replica_groups=mesh\[(?P<mesh>[^\]]*)\](?:, device_ids=\((?P<ids>[^ ]*)\))?"
    r" \{(?P<along>[^}]*)\}"
)
_TRANSFER = re.compile(r'_xla_megascale_transfer_type="(\w+)"')
_BETWEEN = {  # slices
    "ALL_REDUCE": "all-reduce",
    "ALL_GATHER": "all-gather",
    "REDUCE_SCATTER": "reduce-scatter",
    "ALL_TO_ALL": "all-to-all",
    "ONE_TO_ONE": "collective-permute",
}
_PAIRS = re.compile(r"source_target_pairs=(\{[\d,{}]*\})")
_IOTA = re.compile(r"\[([\d,]+)\](?:<=\[([\d,]+)\])?(?:T\(([\d,]+)\))?")
_SIZED = re.compile(r"'([^']*)'=(\d+)")
_AXIS = re.compile(r"'([^']*)'(?::\((\d+)\)(\d+))?")


@dataclasses.dataclass(frozen=True)
class Fabric:
    """How a program's devices are named.

    Attributes:
      axes: sizes of the mesh by axis name, in the mesh's order.
      slices: slice of each device in the mesh's flat order; () for one slice.
    """

    axes: Mapping[str, int]
    slices: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """Devices."""
        return int(np.prod(list(self.axes.values()), dtype=int))

    def placed(self, groups: Groups, partitions: int) -> Groups:
        """Groups of a program's devices by their place in the mesh.

        Raises:
          HloError: the program is for neither all devices nor those of one slice.
        """
        if partitions == self.size:
            return groups
        own = [place for place, number in enumerate(self.slices) if number == self.slices[0]]
        if len(own) != partitions:
            raise HloError(f"program for {partitions} devices: the mesh has {self.size}")
        return tuple(tuple(own[member] for member in group) for group in groups)

    @property
    def across(self) -> Groups:
        """Devices of the same place in each slice."""
        numbers = sorted(set(self.slices))
        each = [[p for p, found in enumerate(self.slices) if found == n] for n in numbers]
        return tuple(zip(*each, strict=True))

    def crossed(self, groups: Groups) -> tuple[str, ...]:
        """The axes along which members of a group differ."""
        coordinates = np.array(np.unravel_index(range(self.size), tuple(self.axes.values()))).T
        differs = np.zeros(len(self.axes), bool)
        for group in groups:
            members = coordinates[list(group)]
            differs |= (members != members[0]).any(0)
        return tuple(name for name, crosses in zip(self.axes, differs, strict=True) if crosses)

    def crosses_slices(self, groups: Groups) -> bool:
        """Whether members of a group are of different slices."""
        if not self.slices:
            return False
        return any(len({self.slices[member] for member in group}) > 1 for group in groups)


@dataclasses.dataclass(frozen=True)
class Collective:
    """One collective of a program.

    Attributes:
      name: of the instruction.
      kind: one of `KINDS`; an all-reduce of which each chip keeps its part is a reduce-scatter.
      payload_bytes: of the whole array on one chip: what an all-gather gives, what the others take.
      groups: the devices that speak with each other, by their place in the mesh; pairs from source
        to target for a permute.
      axes: of the mesh, that are crossed.
      crosses_slices: whether slices are.
      executions: in one run of the program.
      op_name: where it comes from.
      is_async: whether the program goes on while it runs.
    """

    name: str
    kind: str
    payload_bytes: int
    groups: Groups
    axes: tuple[str, ...]
    crosses_slices: bool
    executions: float
    op_name: str
    is_async: bool

    @property
    def group_size(self) -> int:
        """Chips of a group; of a permute, 2."""
        return max(map(len, self.groups))

    @property
    def sent_bytes(self) -> float:
        """What a chip sends in one execution, if each byte goes once around a ring."""
        share = (self.group_size - 1) / self.group_size
        if self.kind == "collective-permute":
            return self.payload_bytes
        return self.payload_bytes * share * (2 if self.kind == "all-reduce" else 1)


def kind_of(instruction: Instruction) -> str | None:
    """The kind of collective that an instruction begins, None for any other."""
    kind = instruction.opcode.removesuffix("-start")
    if kind in KINDS:
        return kind
    found = _TRANSFER.search(instruction.attributes) if kind == "send" else None
    return _BETWEEN.get(found[1]) if found else None


def read(
    program: Program, computation: Computation, one: Instruction, fabric: Fabric, is_async: bool
) -> Collective:
    """One execution of the collective that `one` of `computation` is.

    Raises:
      HloError: its groups are in a form that is not known.
    """
    kind, is_sent = kind_of(one) or one.opcode, one.opcode == "send"
    if is_sent:
        found = fabric.across
    else:
        found = fabric.placed(groups(one.attributes, program.partitions), program.partitions)
    taken, given = arrays_of(computation, one)
    payload = sum(array.bytes for array in (given if kind == "all-gather" else taken))
    users = computation.users.get(one.name, ())
    if kind == "all-reduce" and users and all(each.opcode == "dynamic-slice" for each in users):
        kind = "reduce-scatter"
    return Collective(
        one.name,
        kind,
        payload,
        found,
        fabric.crossed(found),
        is_sent or fabric.crosses_slices(found),
        1.0,
        one.op_name,
        is_async or is_sent or one.opcode.endswith("-start"),
    )


def arrays_of(
    computation: Computation, one: Instruction
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """The arrays that a collective takes, and those that it gives."""
    taken = tuple(array for each in computation.operands(one) for array in each.arrays)
    if one.opcode == "send":
        return taken[:1], taken[:1]
    if (
        one.opcode.endswith("-start") and one.opcode != "all-reduce-start"
    ):  # what is taken comes first in its result
        return taken, one.arrays[len(taken) : 2 * len(taken)]
    return taken, one.arrays


def groups(attributes: str, devices: int) -> Groups:
    """The groups of a collective's attributes.

    Raises:
      HloError: they are in a form that is not known.
    """
    if pairs := _PAIRS.search(attributes):
        return _written_out(pairs[1])
    found = _GROUPS.search(attributes)
    if found is None:
        raise HloError(f"replica_groups: found {attributes[:160]!r}, wanted a form that is known")
    if found["explicit"]:
        return _written_out(found["explicit"]) or (tuple(range(devices)),)
    if found["iota"]:
        return _rows(_iota(found["iota"]))
    return _along_axes(found["mesh"], found["ids"], found["along"])


def _written_out(text: str) -> Groups:
    parts = re.findall(r"\{([\d,]+)\}", text)
    return tuple(tuple(int(number) for number in part.split(",")) for part in parts)


def _iota(text: str) -> np.ndarray:
    """[shape]<=[reshaped]T(order): counted up, reshaped, transposed, and reshaped again."""
    found = _IOTA.fullmatch(text)
    if found is None:
        raise HloError(f"device list: found {text!r}, wanted one like '[2,4]<=[4,2]T(1,0)'")
    shape, source, order = (
        tuple(int(number) for number in part.split(",")) if part else () for part in found.groups()
    )
    source = source or shape
    numbers = np.arange(np.prod(source)).reshape(source)
    return numbers.transpose(order or range(len(source))).reshape(shape)


def _along_axes(mesh: str, ids: str | None, along: str) -> Groups:
    """Groups along axes of a mesh, or along a part of one: 'x':(2)4, of x as [2, 4, rest]."""
    sizes = {name: int(size) for name, size in _SIZED.findall(mesh)}
    numbers = np.arange(np.prod(list(sizes.values()), dtype=int)) if ids is None else _iota(ids)
    parts: list[tuple[int, bool]] = []
    chosen = {name: (before, size) for name, before, size in _AXIS.findall(along)}
    order: dict[str, int] = {}
    for name, whole in sizes.items():
        before, size = chosen.get(name, ("", ""))
        if size:
            split = (int(before), int(size), whole // int(before) // int(size))
            order[name] = len(parts) + 1
            parts += [(split[0], False), (split[1], True), (split[2], False)]
        else:
            order[name] = len(parts)
            parts.append((whole, name in chosen))
    shaped = numbers.reshape([size for size, _ in parts])
    inner = [order[name] for name, _, _ in _AXIS.findall(along)]
    outer = [place for place in range(len(parts)) if place not in inner]
    count = int(np.prod([parts[place][0] for place in inner], dtype=int))
    return _rows(shaped.transpose(*outer, *inner).reshape(-1, count))


def _rows(numbers: np.ndarray) -> Groups:
    return tuple(tuple(int(number) for number in row) for row in numbers)
