"""The services of a run: one budget and one cache of paid replies for all of its stages."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from vsfa_jax.api import Cache, Client, Estimate, Failure, Prices, Reply, Request, Service
from vsfa_jax.core.errors import OutOfBudgetError
from vsfa_jax.synth import settings as schema
from vsfa_jax.synth.settings import Settings

_NOTHING_LEFT = 1e-9  # US dollars: a client takes 0 for no bound
_NO_FILE = Path(":memory:")


class Services:
    """Asks for a stage at a time.

    Args:
      settings: of the run.
      cache: the file of paid replies.
      budget_usd: the most to pay, over all stages; 0 is no bound.
      limit: the most requests to ask, over all stages; 0 is no bound.
    """

    def __init__(self, settings: Settings, cache: Path, *, budget_usd: float, limit: int) -> None:
        self._settings, self._cache = settings, cache
        self._budget_usd, self._limit = budget_usd, limit
        self._prices = Prices.of(settings.prices)
        self.usd, self.asked = 0.0, 0

    def ask(self, stage: str, requests: Sequence[Request]) -> list[Reply | Failure]:
        """See `Client.ask`; pictures are the painter's, everything else is the chat service's."""
        if not requests:
            return []
        if self._limit and self.asked >= self._limit:
            estimate = self.price(stage, requests)
            if estimate.cached < estimate.requests:
                raise OutOfBudgetError(
                    f"{stage}: the limit of {self._limit} requests is reached; their replies are "
                    "kept, and the same command goes on from there"
                )
        with self._client(stage, self._cache) as client:
            try:
                return client.ask(requests)
            except OutOfBudgetError as error:
                asked, usd = self.asked + client.asked, self.usd + client.usd
                raise OutOfBudgetError(
                    f"{error} (all stages of this call: {asked} requests, ${usd:.4f})"
                ) from error
            finally:
                self.usd += client.usd
                self.asked += client.asked

    def price(self, stage: str, requests: Sequence[Request]) -> Estimate:
        """See `Client.price`; makes no file."""
        with self._client(stage, self._cache if self._cache.exists() else _NO_FILE) as client:
            return client.price(requests)

    def _client(self, stage: str, cache: Path) -> Client:
        wanted = self._settings.painter if stage == "images" else self._settings.chat
        left = max(self._budget_usd - self.usd, _NOTHING_LEFT) if self._budget_usd else 0.0
        return Client(
            service(wanted),
            Cache(cache),
            title=stage,
            prices=self._prices,
            budget_usd=left,
            limit=max(self._limit - self.asked, 1) if self._limit else 0,
            progress=self._settings.progress,
        )


def service(wanted: schema.Service) -> Service:
    """The service that the settings name."""
    return Service(**dataclasses.asdict(wanted))
