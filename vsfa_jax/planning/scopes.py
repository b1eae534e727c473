"""The named scopes of a model and its step, as they stand in a compiled program's op names.

jit(train_step)/while/body/transpose(jvp(language))/while/body/checkpoint/dot_general
"""

from __future__ import annotations

import functools
import re

SCOPES = (
    "vision",
    "language",
    "loss",
    "optimizer",
)  # where a model and its step say where they are


@functools.lru_cache(maxsize=65536)
def scopes_of(op_name: str) -> frozenset[str]:
    """The words of an op name; what `jvp(...)` and `transpose(...)` wrap stands by itself."""
    return frozenset(re.findall(r"\w+", op_name))


def scope_of(op_name: str) -> str:
    """The one of `SCOPES` that an instruction belongs to, "" for none."""
    found = scopes_of(op_name)
    return next((scope for scope in SCOPES if scope in found), "")


def is_backward(op_name: str) -> bool:
    """Whether it is of a backward pass, what is computed again for it included."""
    return "transpose" in scopes_of(op_name)


def is_rematerialised(op_name: str) -> bool:
    """Whether it is computed a second time."""
    return "rematted_computation" in scopes_of(op_name)
