"""What a compiled step takes of a chip's HBM, and what for.

arguments      the base, the adapter, moments, batch: by their shapes and shardings, exactly
temporaries    what lives at the peak: by a sweep over the schedule, by named scope
the rest       results that overwrite no argument, and the program itself
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from vsfa_jax.planning import collectives, traffic
from vsfa_jax.planning.hlo import Computation, HloError, Instruction, Program
from vsfa_jax.planning.liveness import Live, peak
from vsfa_jax.planning.scopes import is_backward, scope_of

WEIGHTS, SAVED, BLOCK = "gathered weights", "language, saved", "language, one block"
GRADIENTS, COPIES, OTHER = "gradients", "copies of arguments", "other"
CATEGORIES = ("vision", SAVED, BLOCK, "loss", GRADIENTS, WEIGHTS, "optimizer", COPIES, OTHER)

_UNITS = {"B": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = r"([\d.]+)([BKMGT])"
_USED = (
    re.compile(rf"\({_SIZE}\) exceeds available HBM \({_SIZE}\)"),
    re.compile(rf"Used {_SIZE} of {_SIZE} hbm"),
    re.compile(rf"Hbm usage: {_SIZE}.*exceeding available bytes: {_SIZE}"),
)
_ALLOCATION = re.compile(
    rf"^\s*\d+\. Size: {_SIZE}(?P<rest>(?:\n(?!\s*\d+\. Size|\s*=+).*)*)", re.MULTILINE
)


@dataclasses.dataclass(frozen=True)
class Temporaries:
    """What lives in HBM when temporaries take most.

    Attributes:
      by_category: bytes by `CATEGORIES`, those of 0 left out.
      largest: the arrays, the largest first.
      live_bytes: of all of them; the compiler's own figure is greater by gaps between arrays.
    """

    by_category: Mapping[str, int]
    largest: tuple[Live, ...]
    live_bytes: int


def temporaries(program: Program) -> Temporaries:
    """The temporaries of a program at their peak, by what they are for.

    What the compiler makes without saying where it comes from goes to what reads it next, and to
    "other" if that does not say so either.
    """
    found = peak(program)
    sums = dict.fromkeys(CATEGORIES, 0)
    for live in found:
        sums[category(program, live)] += live.bytes
    present = {name: size for name, size in sums.items() if size}
    return Temporaries(present, found, sum(live.bytes for live in found))


def category(program: Program, live: Live) -> str:
    """One of `CATEGORIES`."""
    computation = program.computations[live.computation]
    if _is_gathered(program, live):
        return WEIGHTS
    if _is_copy(computation, live.instruction):
        return COPIES
    name = _origin(computation, live.instruction)
    scope = scope_of(name)
    if scope == "language":
        if _is_in_layers(program, live.computation):
            return BLOCK
        return GRADIENTS if is_backward(name) else SAVED
    return scope or OTHER


def _origin(computation: Computation, one: Instruction) -> str:
    """The op name of an instruction; if it has no scope, of the nearest that reads its result."""
    wave, seen = [one], {one.name}
    while wave:
        found = next((each.op_name for each in wave if scope_of(each.op_name)), None)
        if found is not None:
            return found
        near = [user for each in wave for user in computation.users.get(each.name, ())]
        wave = [user for user in near if user.name not in seen]
        seen |= {user.name for user in wave}
    return one.op_name


def _is_gathered(program: Program, live: Live) -> bool:
    """Whether an array is what other chips sent."""
    one = live.instruction
    if collectives.kind_of(one):
        return True
    fused = program.computations.get(one.called.get("calls", ""))
    return fused is not None and any(
        each.target == traffic.ASYNC_START for each in fused.instructions.values()
    )


def _is_in_layers(program: Program, computation: str) -> bool:
    """Whether a computation runs once for each layer of the language model."""
    return any(
        (one.opcode == "while" and scope_of(one.op_name) == "language")
        or _is_in_layers(program, where.name)
        for where, one, _ in program.callers.get(computation, ())
    )


def _is_copy(computation: Computation, one: Instruction) -> bool:
    """Whether an array is an argument of the program in another layout, dtype or place."""
    if one.opcode == "parameter":
        return not isinstance(one.shape, tuple)
    if one.opcode in ("copy", "copy-start", "copy-done", "convert", "bitcast", "reshape"):
        return _is_copy(computation, computation.operands(one)[0])
    return False


@dataclasses.dataclass(frozen=True)
class Allocation:
    """One array that a refusing compiler lists: its bytes, and the rest of what it says of it."""

    bytes: int
    said: str


@dataclasses.dataclass(frozen=True)
class Refusal:
    """Why a program does not fit.

    Attributes:
      used_bytes: that it would need, rounded as the compiler prints it.
      available_bytes: of a chip, for a program; less than the chip has.
      largest: the arrays that the compiler lists, if it does.
    """

    used_bytes: int
    available_bytes: int
    largest: tuple[Allocation, ...]


def read_refusal(message: str) -> Refusal | None:
    """What an error of `compile()` says of memory; None if it is about something else."""
    for pattern in _USED:
        if found := pattern.search(message):
            used, available = (_bytes(*found.groups()[n : n + 2]) for n in (0, 2))
            listed = tuple(
                Allocation(_bytes(one[1], one[2]), " ".join(one["rest"].split()))
                for one in _ALLOCATION.finditer(message)
            )
            return Refusal(used, available, listed)
    return None


def _bytes(number: str, unit: str) -> int:
    return int(float(number) * _UNITS[unit])


def argument_bytes(arrays: Any) -> int:
    """Bytes of a tree of arrays on the chip that holds most, without padding.

    Args:
      arrays: a tree of `jax.ShapeDtypeStruct` or arrays, with shardings; one without is whole.
    """
    return sum(_shard_bytes(leaf) for leaf in jax.tree.leaves(arrays))


def _shard_bytes(leaf: Any) -> int:
    sharding = getattr(leaf, "sharding", None)
    shape: Sequence[int] = leaf.shape if sharding is None else sharding.shard_shape(leaf.shape)
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        raise HloError(f"{leaf.dtype}: a key has no bytes that are known here")
    return math.prod(shape) * leaf.dtype.itemsize
