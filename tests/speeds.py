"""Which of a contract's cases run by default; the rest are of the slow set."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def cases(values: Iterable[Any], default: Collection[Any]) -> list[Any]:
    """Parameters of a test, those outside `default` marked as slow; a tuple is one case."""
    made = []
    for value in values:
        marks = () if value in default else (pytest.mark.slow,)
        parts = value if isinstance(value, tuple) else (value,)
        made.append(pytest.param(*parts, marks=marks, id="-".join(map(str, parts))))
    return made
