"""Asked to stop: SIGTERM from a scheduler, or Ctrl-C, lets the current step end and be saved."""

from __future__ import annotations

import itertools
import signal
from types import FrameType, TracebackType
from typing import Self

import jax
from absl import logging
from jax.experimental import multihost_utils

_ASKED = itertools.count(1)  # of this process, for jax's watcher counts over all runs of it


class Preemption:
    """Remembers SIGTERM and SIGINT while it is entered, in the main thread.

        with Preemption() as preemption:
            for step in ...:
                if preemption.requested: save and return

    A second Ctrl-C interrupts at once. Of several processes any may get the signal. There SIGTERM
    belongs to jax's own watcher, which `agreed` asks, so that all stop at the same place; Ctrl-C
    becomes a SIGTERM, and `requested` follows the agreement.
    """

    def __init__(self) -> None:
        self.requested = self._heard = False
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

    def agreed(self) -> bool:
        """True from where every process is to stop; each must ask as often as the others."""
        if jax.process_count() > 1 and not self.requested:
            self.requested = multihost_utils.reached_preemption_sync_point(next(_ASKED))
        return self.requested

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self._heard and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._heard = True
        logging.warning("%s: stopping after this step", signal.Signals(number).name)
        if jax.process_count() > 1:
            signal.raise_signal(signal.SIGTERM)
        else:
            self.requested = True
