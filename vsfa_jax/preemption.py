"""Asked to stop: SIGTERM from a scheduler, or Ctrl-C, lets the current step end and be saved."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Self

import jax
from absl import logging
from jax.experimental import multihost_utils


class Preemption:
    """Remembers SIGTERM and SIGINT while it is entered, in the main thread.

        with Preemption() as preemption:
            for step in ...:
                if preemption.requested: save and return

    A second Ctrl-C interrupts at once. Where jax.distributed runs, SIGTERM belongs to its own
    watcher and `agreed` asks that, so that all processes stop at the same step.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        signals = [signal.SIGINT]
        if jax.process_count() == 1:
            signals.append(signal.SIGTERM)
        for number in signals:
            self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before.clear()

    def agreed(self, step: int) -> bool:
        """True where every process is to stop after this step; each must ask at each step."""
        if jax.process_count() > 1:
            return multihost_utils.reached_preemption_sync_point(step)
        return self.requested

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = True
        logging.warning("%s: stopping after this step", signal.Signals(number).name)
