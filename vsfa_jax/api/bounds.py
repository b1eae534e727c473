"""Bounds: how many requests may be asked and what they may cost, counted before they are begun."""

from __future__ import annotations

from vsfa_jax.core.errors import ConfigError, OutOfBudgetError


class Bounds:
    """Counts against `limit` requests and `budget_usd` US dollars; 0 is no bound.

    Attributes:
      asked: requests begun, further attempts not counted.
      usd: paid, as far as is known, `spent_usd` among it.

    Raises:
      ConfigError: a bound is below 0.
    """

    def __init__(
        self, title: str, *, limit: int, budget_usd: float, spent_usd: float = 0.0
    ) -> None:
        if budget_usd < 0 or limit < 0:
            raise ConfigError(
                f"{title}: found budget_usd {budget_usd} and limit {limit}, wanted 0 or more"
            )
        self._title, self._limit, self.budget_usd = title, limit, budget_usd
        self.asked, self.usd = 0, spent_usd
        self._perhaps_usd = 0.0  # of attempts that may have been paid for, nobody says
        self._under_way_usd = 0.0

    def begin(self, usd: float | None, under_way: int) -> bool:
        """Counts a request that costs about `usd`; False where those under way may yet make room.

        Raises:
          OutOfBudgetError: there is no room, and there will be none.
        """
        usd = usd or 0.0
        if self._limit and self.asked >= self._limit:
            raise OutOfBudgetError(
                f"{self._title}: the limit of {self._limit} requests is reached; their replies are "
                "kept, and the same command goes on from there"
            )
        spent = self.usd + self._perhaps_usd
        if self.budget_usd and spent + self._under_way_usd + usd > self.budget_usd:
            if under_way:
                return False
            raise OutOfBudgetError(
                f"{self._title}: paid or perhaps paid ${spent:.4f} of budget_usd "
                f"{self.budget_usd:g}, and the next request may cost ${usd:.4f}; what was paid for "
                "is kept, and with a new budget the same command goes on from there"
            )
        self.asked += 1
        self._under_way_usd += usd
        return True

    def doubt(self, usd: float | None) -> None:
        """An attempt may have been paid for, but the service did not say so."""
        self._perhaps_usd += usd or 0.0

    def end(self, estimate: float | None, usd: float | None) -> None:
        """A request begun with `estimate` has come to its end and cost `usd`."""
        self._under_way_usd -= estimate or 0.0
        self.usd += usd or 0.0
