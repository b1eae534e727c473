"""Bytes that one instruction moves from and to HBM: an estimate from what it takes and gives.

Every array in HBM that a top-level instruction reads or writes counts once, padded to its tiles;
what stays inside a fusion or in VMEM costs nothing. Of an array that a fusion only slices, the
slice counts; of one that it updates in place, the update. A kernel that reads an array several
times is underestimated, a gather that reads whole tiles for a few rows too.
"""

from __future__ import annotations

from collections.abc import Iterable

from vsfa_jax.planning.collectives import arrays_of, kind_of
from vsfa_jax.planning.hlo import HBM, Array, Computation, Instruction, Program, leaves

ASYNC_START, ASYNC_DONE = "AsyncCollectiveStart", "AsyncCollectiveDone"

_FREE = {
    *("parameter", "constant", "get-tuple-element", "tuple", "bitcast", "after-all"),
    *("while", "conditional", "call", "call-start", "async-start", "async-update"),
    *("partition-id", "replica-id", "optimization-barrier", "iota", "recv"),
}
_FREE_TARGETS = {
    *("AllocateBuffer", "ConcatBitcast", "AssumeGatherIndicesInBound", ASYNC_START, ASYNC_DONE),
}
_PARTIAL = ("dynamic-slice", "slice", "gather")  # read what they give of their first operand
_VIEWS = ("bitcast", "reshape")


def hbm_bytes(program: Program, computation: Computation, one: Instruction) -> int:
    """Bytes of one execution of a top-level instruction, its called loops and branches aside."""
    if one.opcode in _FREE or one.opcode.endswith("-done") or one.target in _FREE_TARGETS:
        return 0
    operands = computation.operands(one)
    if kind_of(one):
        return collective_bytes(computation, one)
    if one.opcode == "fusion":
        fused = program.computations[one.called["calls"]]
        read = sum(_read(program, fused, parameter) for parameter in fused.parameters)
        return read + _written(program, fused, fused.root)
    if one.opcode == "copy-start":
        return _in_hbm(operands[0].arrays) + _in_hbm(one.arrays[:1])
    if one.opcode.endswith(("-start", "-update")) and isinstance(one.shape, tuple):
        taken, given = (tuple(leaves(part)) for part in one.shape[:2])
        part = sum(array.padded_bytes for array in given)
        return sum(min(_in_hbm([array]), part) for array in taken) + _in_hbm(given)
    if one.opcode in _PARTIAL:
        return _part(operands[0].arrays[0], one.arrays[0]) + _in_hbm(one.arrays)
    if one.opcode == "dynamic-update-slice":
        update = operands[1].arrays[0]
        return _in_hbm([update]) + _part(one.arrays[0], update)
    distinct = {each.name: each for each in operands}.values()
    return sum(_in_hbm(each.arrays) for each in distinct) + _in_hbm(one.arrays)


def collective_bytes(computation: Computation, one: Instruction) -> int:
    """Bytes of a collective, which stands alone or in a fusion: what it takes and gives, once."""
    taken, given = arrays_of(computation, one)
    return _in_hbm(taken) + _in_hbm(given)


def _in_hbm(arrays: Iterable[Array]) -> int:
    return sum(array.padded_bytes for array in arrays if array.space == HBM)


def _part(whole: Array, part: Array) -> int:
    """Bytes of a part of an array that may lie in HBM."""
    return min(whole.padded_bytes, part.padded_bytes) if whole.space == HBM else 0


def _read(program: Program, fused: Computation, source: Instruction) -> int:
    """Bytes that a fused computation reads of its parameter, or of a view of it."""
    whole = _in_hbm(source.arrays)
    if not whole:
        return 0
    read = 0
    for user in fused.users.get(source.name, ()):
        is_first = user.operands[0] == source.name
        if user.opcode in _VIEWS:
            read += _read(program, fused, user)
        elif user.opcode == "fusion":
            inner = program.computations[user.called["calls"]]
            places = [n for n, name in enumerate(user.operands) if name == source.name]
            read += sum(_read(program, inner, inner.parameters[place]) for place in places)
        elif is_first and user.opcode in _PARTIAL:
            read += sum(array.padded_bytes for array in user.arrays)
        elif is_first and user.opcode == "dynamic-update-slice":
            continue
        elif user.opcode != "tuple" and not kind_of(user) and user.target not in _FREE_TARGETS:
            return whole
    return min(read, whole)


def _written(program: Program, fused: Computation, one: Instruction) -> int:
    """Bytes that a fused computation writes as its result `one`."""
    if one.opcode == "tuple":
        return sum(_written(program, fused, each) for each in fused.operands(one))
    if one.opcode == "parameter" or kind_of(one) or one.target in _FREE_TARGETS:
        return 0
    if one.opcode == "get-tuple-element":
        return _written(program, fused, fused.operands(one)[0])
    source = one
    while source.opcode in _VIEWS:
        source = fused.operands(source)[0]
    if source.opcode == "fusion" and len(source.arrays) == 1:
        inner = program.computations[source.called["calls"]]
        return min(_written(program, inner, inner.root), _in_hbm(one.arrays))
    if source.opcode == "dynamic-update-slice":
        return _part(one.arrays[0], fused.operands(source)[1].arrays[0])
    if source.opcode == "parameter" or kind_of(source):
        return 0
    return _in_hbm(one.arrays)
