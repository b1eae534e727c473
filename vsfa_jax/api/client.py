"""Client: asks many requests at once, each once, within bounds; every paid reply is kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from absl import logging
from anyio.from_thread import start_blocking_portal

from vsfa_jax.api.attempt import Connection
from vsfa_jax.api.bounds import Bounds
from vsfa_jax.api.cache import Cache
from vsfa_jax.api.prices import Prices
from vsfa_jax.api.progress import Progress
from vsfa_jax.api.replies import LASTING, Failure, Reply, read
from vsfa_jax.api.request import Request
from vsfa_jax.api.run import Run
from vsfa_jax.api.service import Service
from vsfa_jax.core.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What asking would do.

    Attributes:
      requests: that were given, equal ones counted once.
      cached: of them, those that are answered already.
      usd: what the others cost at most, by a rough count; None where a model has no price.
    """

    requests: int
    cached: int
    usd: float | None


class Client:
    """Asks a service; a context manager, which closes the cache.

    Args:
      service: to ask.
      cache: of its own; other clients may open the same file.
      title: of the run, for progress and in the cache.
      prices: of the models.
      budget_usd: the most to pay by this client; 0 is no bound. An attempt that may have been paid
        for counts as its estimate, though the service did not say so.
      spent_usd: what counts against the budget already.
      limit: the most requests to ask by this client, further attempts not counted; 0 is no bound.
      progress: False shows nothing.

    Raises:
      ConfigError: a bound is below 0.
    """

    def __init__(
        self,
        service: Service,
        cache: Cache,
        *,
        title: str,
        prices: Prices | None = None,
        budget_usd: float = 0.0,
        spent_usd: float = 0.0,
        limit: int = 0,
        progress: bool = True,
    ) -> None:
        self._service, self._cache, self._title = service, cache, title
        self._prices, self._progress = prices or Prices(), progress
        self._bounds = Bounds(title, limit=limit, budget_usd=budget_usd, spent_usd=spent_usd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._cache.close()

    @property
    def asked(self) -> int:
        """Requests that this client has asked."""
        return self._bounds.asked

    @property
    def usd(self) -> float:
        """US dollars that this client has paid, as far as is known."""
        return self._bounds.usd

    def price(self, requests: Sequence[Request]) -> Estimate:
        """What `ask` would do; asks nothing and needs no key.

        Raises:
          CacheError: the cache cannot be read.
        """
        kept, rest = self._look_up(requests)
        costs = [self._prices.estimate(request) for request in rest.values()]
        known = [cost for cost in costs if cost is not None]
        usd = sum(known) if len(known) == len(costs) else None
        return Estimate(len(kept) + len(rest), len(kept), usd)

    def ask(self, requests: Sequence[Request]) -> list[Reply | Failure]:
        """One reply or failure a request, in their order.

        What is in the cache is not asked again; equal requests are asked once. A failure is kept
        only where a whole reply came at temperature 0, which would come again.

        Raises:
          AuthenticationError: there is no key, or the service refuses it.
          OutOfQuotaError: the account has no quota left.
          OutOfBudgetError: the next request would pass `limit` or `budget_usd`.
          CacheError: the cache cannot be read or written.
          ConfigError: there is a budget, and a model without a price.
        Whichever it is, requests under way are waited for, no other is begun, and what was paid for
        is kept.
        """
        found, rest = self._look_up(requests)
        priceless = [r for r in rest.values() if self._prices.estimate(r) is None]
        if self._bounds.budget_usd and priceless:
            raise ConfigError(
                f"{self._title}: budget_usd wants a price of {priceless[0].fields['model']!r}"
            )
        logging.info("%s: %d replies kept, %d to ask for", self._title, len(found), len(rest))
        if rest:
            with start_blocking_portal() as portal:  # a notebook has a loop of its own
                found |= portal.call(self._ask, rest)
        return [found[self._key(request)] for request in requests]

    async def _ask(self, rest: dict[str, Request]) -> dict[str, Reply | Failure]:
        progress = Progress(self._title, len(rest), enabled=self._progress)
        try:
            async with Connection(self._service) as connection:
                run = Run(
                    self._service, connection, self._bounds, self._prices, self._settle, progress
                )
                return await run.all(rest)
        finally:
            progress.close()

    def _settle(self, key: str, request: Request, raw: bytes) -> Reply | Failure:
        """Reads a reply, prices it, and keeps it if it would come again."""
        outcome = read(request, raw)
        usd = self._prices.usd(request, outcome.usage)
        again = request.fields.get("temperature") == 0
        if isinstance(outcome, Reply) or (again and outcome.kind in LASTING):
            self._cache.put(key, request, raw, title=self._title, usd=usd)
        return dataclasses.replace(outcome, usd=usd)

    def _key(self, request: Request) -> str:
        return request.key_at(self._service.address())

    def _look_up(
        self, requests: Sequence[Request]
    ) -> tuple[dict[str, Reply | Failure], dict[str, Request]]:
        """By key: what is kept, and what is not."""
        kept: dict[str, Reply | Failure] = {}
        rest: dict[str, Request] = {}
        for request in requests:
            key = self._key(request)
            if key in kept or key in rest:
                continue
            row = self._cache.get(key)
            if row is None:
                rest[key] = request
            else:
                found = read(request, row.reply)
                kept[key] = dataclasses.replace(found, usd=row.usd, cached=True)
        return kept, rest
