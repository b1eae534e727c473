"""Run: many requests under way at a time, each tried again with patience, within bounds."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import anyio
import anyio.to_thread

from vsfa_jax.api.attempt import Connection, Fault
from vsfa_jax.api.bounds import Bounds
from vsfa_jax.api.prices import Prices
from vsfa_jax.api.progress import Progress
from vsfa_jax.api.replies import PASSING, Failure, Reply
from vsfa_jax.api.request import Request
from vsfa_jax.api.service import Service
from vsfa_jax.core.errors import (
    AuthenticationError,
    CacheError,
    OutOfBudgetError,
    OutOfQuotaError,
)

STOPS = (AuthenticationError, CacheError, OutOfBudgetError, OutOfQuotaError)
_PERHAPS_PAID = ("timeout", "not_json", "malformed", "empty")

Settle = Callable[[str, Request, bytes], Reply | Failure]


class Run:
    """Asks until all is answered or something stops it.

    Args:
      service: its patience.
      connection: to the service.
      bounds: that are kept to.
      prices: for estimates.
      settle: from a request's key, the request and the reply's bytes to what they amount to; keeps
        them. It is called in a thread, for it waits for the disk.
      progress: shows what is done.
    """

    def __init__(
        self,
        service: Service,
        connection: Connection,
        bounds: Bounds,
        prices: Prices,
        settle: Settle,
        progress: Progress,
    ) -> None:
        self._service, self._connection = service, connection
        self._bounds, self._prices = bounds, prices
        self._settle, self._progress = settle, progress
        self._under_way = 0
        self._one_ended = anyio.Event()
        self._stopped = anyio.Event()
        self._stop: Exception | None = None
        self._quiet_until = 0.0  # the service wants to be left alone until then, by anyio's clock
        self._random = random.Random()

    async def all(self, requests: Mapping[str, Request]) -> dict[str, Reply | Failure]:
        """What each request, by its key, amounts to.

        Raises:
          STOPS: what stopped it, after those under way have ended.
        """
        found: dict[str, Reply | Failure] = {}
        limiter = anyio.CapacityLimiter(self._service.concurrency)

        async def one(key: str, request: Request, estimate: float | None) -> None:
            outcome = None
            try:
                outcome = await self._ask(key, request, estimate)
            except STOPS as error:
                self._halt(error)
            finally:
                limiter.release_on_behalf_of(key)
                self._end(estimate, outcome)
            if outcome is not None:
                found[key] = outcome

        async with anyio.create_task_group() as group:
            for key, request in requests.items():
                estimate = self._prices.estimate(request)
                await limiter.acquire_on_behalf_of(key)
                if not await self._may_begin(estimate):
                    break
                self._under_way += 1
                group.start_soon(one, key, request, estimate)
        if self._stop is not None:
            raise self._stop
        return found

    async def _may_begin(self, estimate: float | None) -> bool:
        """Waits for room within the budget; False where the run stops."""
        try:
            while not self._stopped.is_set():
                if self._bounds.begin(estimate, self._under_way):
                    return True
                await self._one_ended.wait()
        except OutOfBudgetError as error:
            self._halt(error)
        return False

    async def _ask(
        self, key: str, request: Request, estimate: float | None
    ) -> Reply | Failure | None:
        """Tries until a whole reply comes or patience ends; None where the run stops meanwhile."""
        for attempt in range(self._service.retries + 1):
            await self._pause(self._quiet_until - anyio.current_time())
            if self._stopped.is_set():
                return None
            failure, wanted_s = await self._try(key, request)
            if isinstance(failure, Reply) or failure.kind not in PASSING:
                return failure
            if failure.kind in _PERHAPS_PAID:
                self._bounds.doubt(estimate)
            wait_s = self._backoff(attempt) if wanted_s is None else wanted_s
            if wait_s > self._service.longest_wait_s:
                told = f"{failure.message}; the service wants {wait_s:.0f} s of rest"
                return Failure(failure.kind, told)
            if wanted_s is not None:  # it holds for all
                self._quiet_until = max(self._quiet_until, anyio.current_time() + wait_s)
            if attempt == self._service.retries:
                return Failure(failure.kind, f"{failure.message} (attempts: {attempt + 1})")
            await self._pause(wait_s)
        return None

    async def _try(self, key: str, request: Request) -> tuple[Reply | Failure, float | None]:
        """One attempt's outcome, and the seconds of rest that the service wants, if it says so."""
        got = await self._connection.send(request)
        if isinstance(got, Fault):
            return Failure(got.kind, got.message), got.wait_s
        return await anyio.to_thread.run_sync(self._settle, key, request, got), None

    def _backoff(self, attempt: int) -> float:
        longest = min(self._service.first_wait_s * 2**attempt, self._service.longest_wait_s)
        return longest * self._random.uniform(0.5, 1.0)

    async def _pause(self, seconds: float) -> None:
        """Sleeps, or less where the run stops."""
        if seconds > 0:
            with anyio.move_on_after(seconds):
                await self._stopped.wait()

    def _halt(self, error: Exception) -> None:
        """The first fault that stops the run is the one that is told."""
        if self._stop is None:
            self._stop = error
        self._stopped.set()

    def _end(self, estimate: float | None, outcome: Reply | Failure | None) -> None:
        self._under_way -= 1
        self._bounds.end(estimate, None if outcome is None else outcome.usd)
        self._one_ended.set()
        self._one_ended = anyio.Event()
        if outcome is not None:
            self._progress.update(outcome.usd, isinstance(outcome, Failure))
