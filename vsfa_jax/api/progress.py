"""What a run of requests shows while it goes: a bar on a terminal, plain lines anywhere else.

questions  120/500  38.2/s  $0.0412 so far, about $0.1716 in all  10 s left  3 failed
"""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

from tqdm import tqdm

_LINE_EVERY_S = 10.0


class Progress:
    """Counts what is done, and shows it.

    Args:
      title: of the run.
      total: requests to ask.
      enabled: False shows nothing.
      stream: standard error unless told otherwise.
      line_every_s: seconds between plain lines; the last request always shows.
    """

    def __init__(
        self,
        title: str,
        total: int,
        *,
        enabled: bool = True,
        stream: TextIO | None = None,
        line_every_s: float = _LINE_EVERY_S,
    ) -> None:
        self._title, self._total, self._enabled = title, total, enabled and total > 0
        self._stream = sys.stderr if stream is None else stream
        self._line_every_s = line_every_s
        self._start = time.monotonic()
        self._next_line = self._start
        self._done = self._failed = self._priced = 0
        self._usd = 0.0
        self._bar: Any = None

    def update(self, usd: float | None, failed: bool) -> None:
        """One more request has come to its end; usd is None where its cost is unknown."""
        self._done += 1
        self._failed += failed
        if usd is not None:
            self._priced += 1
            self._usd += usd
        if not self._enabled:
            return
        if self._stream.isatty():
            self._draw()
        elif time.monotonic() >= self._next_line or self._done == self._total:
            self._next_line = time.monotonic() + self._line_every_s
            line = f"{self._title}  {self._done}/{self._total}  {self.describe()}"
            print(line, file=self._stream, flush=True)

    def describe(self) -> str:
        """Rate, cost so far and in all, time left, failures."""
        rate = self._done / max(time.monotonic() - self._start, 1e-9)
        parts = [f"{rate:.1f}/s"]
        if self._priced:
            whole = self._usd / self._done * self._total
            parts.append(f"${self._usd:.4f} so far, about ${whole:.4f} in all")
        if self._priced < self._done:
            parts.append(f"cost of {self._done - self._priced} unknown")
        if self._done < self._total:
            parts.append(f"{(self._total - self._done) / rate:.0f} s left")
        if self._failed:
            parts.append(f"{self._failed} failed")
        return "  ".join(parts)

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.close()

    def _draw(self) -> None:
        if self._bar is None:
            self._bar = tqdm(
                total=self._total,
                unit="request",
                desc=self._title,
                file=self._stream,
                dynamic_ncols=True,
            )
        self._bar.set_postfix_str(self.describe(), refresh=False)
        self._bar.update(self._done - self._bar.n)
