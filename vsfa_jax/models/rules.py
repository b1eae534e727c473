"""Weight rules: our parameter, their tensor, and how one turns into the other."""

from __future__ import annotations

import dataclasses
import enum

import numpy as np


class Turn(enum.Enum):
    """How a checkpoint's tensor becomes our parameter (of one layer)."""

    SAME = "same"
    TRANSPOSE = "transpose"  # torch Linear [F, D] -> kernel [D, F]
    CONVOLUTION = "convolution"  # [D, 3, p, p] -> kernel [3 p p, D]


@dataclasses.dataclass(frozen=True)
class Rule:
    """`theirs` may hold {layer}: then `ours` is stacked over a leading L axis."""

    ours: str
    theirs: str
    turn: Turn = Turn.SAME

    @property
    def stacked(self) -> bool:
        """True when `ours` holds every layer."""
        return "{layer}" in self.theirs


def to_ours(tensor: np.ndarray, turn: Turn) -> np.ndarray:
    """One layer's tensor in our layout."""
    if turn is Turn.SAME:
        return tensor
    return tensor.reshape(tensor.shape[0], -1).T


def to_theirs(parameter: np.ndarray, turn: Turn, patch_size: int) -> np.ndarray:
    """One layer's parameter in the checkpoint's layout; the inverse of `to_ours`."""
    if turn is Turn.SAME:
        return parameter
    if turn is Turn.TRANSPOSE:
        return parameter.T
    return parameter.T.reshape(parameter.shape[1], -1, patch_size, patch_size)
