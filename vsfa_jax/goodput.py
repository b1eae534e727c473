"""Where a run's wall time goes, over every process that worked on it.

    start         from the process's beginning to the first wait for data, less compilation
    compilation   tracing and compiling, wherever it happens
    data_wait     waiting for a batch
    step          the steps, and what the loop does beside them
    checkpoint    restoring, and starting to save
    evaluation    held-out loss and probe
    lost          what was done after the checkpoint that a run went on from, in vain

A row of metrics carries these sums up to then as `seconds_NAME`, and `goodput`, the share of steps.
At any moment exactly one of them counts, so that they add up to the wall time; only what a killed
process did after its last row is in none of them.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jax

NAMES = ("start", "compilation", "data_wait", "step", "checkpoint", "evaluation", "lost")
_KEPT = ("start", "compilation")  # of a process that was killed: they are not done in vain twice
_PREFIX = "seconds_"
_COMPILING = "/jax/core/compile/"


class Clock:
    """Counts seconds. Use as a context manager, in one thread; from its making on `start` counts.

    with Clock() as clock:
        ...
        with clock.on("data_wait"): ...
    """

    def __init__(self, age_s: float = 0.0, now: Callable[[], float] = time.monotonic) -> None:
        """Begins.

        Args:
          age_s: seconds that `start` has taken already.
          now: seconds of a clock that never goes back.
        """
        self._now = now
        self._since = now() - age_s
        self._current = "start"
        self._seconds = dict.fromkeys(NAMES, 0.0)
        self._compiled: list[tuple[float, float]] = []  # since `_since`, apart and ascending

    def __enter__(self) -> Self:
        jax.monitoring.register_event_duration_secs_listener(self._hear)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        jax.monitoring.unregister_event_duration_listener(self._hear)

    @contextlib.contextmanager
    def on(self, name: str) -> Iterator[None]:
        """Counts for `name` inside the `with`, and then again for what counted before."""
        before = self.turn(name)
        try:
            yield
        finally:
            self.turn(before)

    def turn(self, name: str) -> str:
        """Counts for `name` from now on; what counted until now is returned.

        Raises:
          KeyError: there is no such name.
        """
        if name not in NAMES:
            raise KeyError(name)
        now = self._now()
        compiling = sum(end - begin for begin, end in self._compiled)
        self._seconds["compilation"] += compiling
        self._seconds[self._current] += now - self._since - compiling
        before, self._current = self._current, name
        self._since, self._compiled = now, []
        return before

    def row(self) -> dict[str, float]:
        """The sums up to now, for a row of metrics."""
        self.turn(self._current)
        total = sum(self._seconds.values())
        named = {_PREFIX + name: seconds for name, seconds in self._seconds.items()}
        return {**named, "goodput": self._seconds["step"] / total if total else 0.0}

    def begin_steps(self, rows: Sequence[Mapping[str, Any]], step: int) -> None:
        """Ends the start; adds the sums of the processes before this one.

        Args:
          rows: of metrics, one a step.
          step: that this process goes on from; what came after it is lost.
        """
        self.turn("step")
        known = [row for row in rows if _PREFIX + "step" in row]
        if not known:
            return
        last = max(map(_sums, known), key=lambda sums: sum(sums.values()))
        at = _sums(next((row for row in known if row["step"] == step), {}))
        for name in NAMES:
            kept = last[name] if name in (*_KEPT, "lost") else at[name]
            self._seconds[name] += kept
            self._seconds["lost"] += last[name] - kept

    def _hear(self, event: str, duration_secs: float, **_: str | int) -> None:
        """jax has compiled, or traced; a span holds those that ended in it."""
        if not event.startswith(_COMPILING):
            return
        end = self._now()
        begin = max(end - duration_secs, self._since)
        while self._compiled and self._compiled[-1][0] >= begin:
            self._compiled.pop()
        if self._compiled:
            begin = max(begin, self._compiled[-1][1])
        self._compiled.append((begin, end))


def _sums(row: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(row.get(_PREFIX + name, 0.0)) for name in NAMES}


def describe(row: Mapping[str, float]) -> str:
    """One line for the log: where the seconds of a row went."""
    parts = [f"{name} {row[_PREFIX + name]:.0f} s" for name in NAMES if round(row[_PREFIX + name])]
    return f"goodput {row['goodput']:.0%}: " + ", ".join(parts)


def age_of_process() -> float:
    """Seconds since this process began; 0 where the system does not say."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except OSError:
        return 0.0
    return max(0.0, uptime - int(fields[19]) / os.sysconf("SC_CLK_TCK"))
