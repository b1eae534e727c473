"""FLOPs of one dot or convolution; on a TPU most matrix products are written as the latter.

convolution [4096,512] x [512,64], dim_labels=bf_io->bf     2 * 4096 * 512 * 64
"""

from __future__ import annotations

import functools
import math
import re

import numpy as np

from vsfa_jax.planning.hlo import Array, Computation, HloError, Instruction

OPCODES = ("dot", "convolution")


def flops(computation: Computation, one: Instruction) -> float:
    """Multiplications and additions of one execution; 0 for any other instruction.

    Raises:
      HloError: dimension labels that are not known.
    """
    if one.opcode == "dot":
        return _dot(computation, one)
    return _convolution(computation, one) if one.opcode == "convolution" else 0.0


def _dot(computation: Computation, one: Instruction) -> float:
    [left] = computation.operands(one)[0].arrays
    axes = (one.attribute("lhs_contracting_dims") or "{}").strip("{}")
    inner = math.prod(left.dims[int(axis)] for axis in axes.split(",") if axis)
    return 2.0 * inner * one.arrays[0].size


def _convolution(computation: Computation, one: Instruction) -> float:
    [left], [right] = (each.arrays for each in computation.operands(one)[:2])
    labels = re.fullmatch(r"(\w+)_(\w+)->(\w+)", one.attribute("dim_labels") or "")
    if labels is None:
        raise HloError(f"{one.name}: dim_labels found {one.attribute('dim_labels')!r}")
    (batch, features), (_, features_out) = _sizes(left, labels[1]), _sizes(one.arrays[0], labels[3])
    positions = 1
    window = _window(one.attribute("window") or "")
    for axis in sorted(set(labels[1]) - set("bf")):
        place = int(axis)
        base = left.dims[labels[1].index(axis)]
        out = one.arrays[0].dims[labels[3].index(axis)]
        size = right.dims[labels[2].index(axis)]
        positions *= _positions(
            base, size, out, *(part[place] for part in window) if window else ()
        )
    groups = int(one.attribute("feature_group_count") or 1)
    batch_groups = int(one.attribute("batch_group_count") or 1)
    return 2.0 * (features // groups) * features_out * (batch // batch_groups) * positions


def _sizes(array: Array, labels: str) -> tuple[int, int]:
    return array.dims[labels.index("b")], array.dims[labels.index("f")]


def _window(text: str) -> tuple[tuple[int, ...], ...] | None:
    """By spatial axis: stride, padding below, dilation of the input and of the kernel."""
    fields = dict(part.split("=") for part in text.strip("{}").split() if "=" in part)
    if "size" not in fields:
        return None
    ones = "x".join("1" for _ in fields["size"].split("x"))
    pads = fields.get("pad", "x".join("0_0" for _ in fields["size"].split("x")))
    low = tuple(int(pad.split("_")[0]) for pad in pads.split("x"))
    stride, left, right = (
        tuple(int(number) for number in fields.get(name, ones).split("x"))
        for name in ("stride", "lhs_dilate", "rhs_dilate")
    )
    return stride, low, left, right


@functools.lru_cache(maxsize=1024)
def _positions(
    base: int,
    size: int,
    out: int,
    stride: int = 1,
    low: int = 0,
    dilate_base: int = 1,
    dilate_kernel: int = 1,
) -> int:
    """Pairs of an output and a kernel position along one axis that meet an input, not padding."""
    last = (base - 1) * dilate_base
    outputs = np.arange(out) * stride - low
    found = 0
    for kernel in range(size):
        place = outputs + kernel * dilate_kernel
        found += int(((place >= 0) & (place <= last) & (place % dilate_base == 0)).sum())
    return found
