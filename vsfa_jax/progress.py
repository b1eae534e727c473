"""What a run shows while it goes: a bar on a terminal, plain lines anywhere else.

step 40/200  loss 1.2345  812 tokens/s  data wait 3%
case 64/620  5.3 cases/s  0:01:45 left
"""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, TextIO

from tqdm import tqdm

_LINE_EVERY_S = 10.0


class Progress:
    """Shows how far a run is, and what the last row of figures says."""

    def __init__(
        self,
        total: int,
        *,
        unit: str = "step",
        enabled: bool = True,
        stream: TextIO | None = None,
        line_every_s: float = _LINE_EVERY_S,
    ) -> None:
        """Shows nothing until the first `update`.

        Args:
          total: steps of the whole run, also those done before a resume.
          unit: what a step is called.
          enabled: False shows nothing.
          stream: standard error unless told otherwise.
          line_every_s: seconds between plain lines; the first and the last step always show.
        """
        self._total, self._unit = total, unit
        self._enabled = enabled
        self._stream = sys.stderr if stream is None else stream
        self._line_every_s = line_every_s
        self._next_line = 0.0
        self._bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, step: int, row: Mapping[str, Any]) -> None:
        """Shows that `step` steps are done.

        Args:
          step: how many.
          row: of which are shown loss, tokens_per_s and data_wait (0..1), cases_per_s and left_s.
        """
        if not self._enabled:
            return
        if self._stream.isatty():
            self._draw(step, row)
        elif time.monotonic() >= self._next_line or step == self._total:
            self._next_line = time.monotonic() + self._line_every_s
            print(
                f"{self._unit} {step}/{self._total}  {_describe(row)}",
                file=self._stream,
                flush=True,
            )

    def _draw(self, step: int, row: Mapping[str, Any]) -> None:
        if self._bar is None:
            self._bar = tqdm(
                total=self._total,
                initial=step - 1,
                unit=self._unit,
                file=self._stream,
                dynamic_ncols=True,
            )
        self._bar.set_postfix_str(_describe(row), refresh=False)
        self._bar.update(step - self._bar.n)


def _describe(row: Mapping[str, Any]) -> str:
    """What of the row is there, in words."""
    parts = []
    if "loss" in row:
        parts.append(f"loss {row['loss']:.4f}")
    if "tokens_per_s" in row:
        parts.append(f"{row['tokens_per_s']:.0f} tokens/s")
    if "data_wait" in row:
        parts.append(f"data wait {row['data_wait']:.0%}")
    if "cases_per_s" in row:
        parts.append(f"{row['cases_per_s']:.1f} cases/s")
    if "left_s" in row:
        parts.append(f"{datetime.timedelta(seconds=round(row['left_s']))} left")
    return "  ".join(parts)
