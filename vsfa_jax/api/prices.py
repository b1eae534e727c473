"""What requests cost. A model without a price costs an unknown sum, never nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Self

from vsfa_jax.api.request import PICTURE, Request
from vsfa_jax.core.errors import ConfigError

MILLION = 1_000_000
_CHARACTERS_A_TOKEN = 3  # of English it is four: an estimate shall rather be too high
_TOKENS_AN_IMAGE = 1_500
_TOKENS_A_REPLY = 1_024  # where a request sets no bound
_TOKENS_A_MESSAGE = 8  # roles and marks


@dataclasses.dataclass(frozen=True)
class Usage:
    """Tokens that the service has counted: of the question, and of the reply."""

    input_tokens: int
    output_tokens: int


@dataclasses.dataclass(frozen=True)
class Price:
    """Of one model: US dollars for a million tokens in and out, and for a picture."""

    input_usd: float
    output_usd: float
    picture_usd: float = 0.0


@dataclasses.dataclass(frozen=True)
class Prices:
    """The price of each model, by the name that requests give it."""

    by_model: Mapping[str, Price] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, rows: Iterable[tuple[str, float, float, float]]) -> Self:
        """From a config's rows: (model, input_usd, output_usd, picture_usd), as in `Price`.

        Raises:
          ConfigError: a price is below zero, or a model has two.
        """
        by_model: dict[str, Price] = {}
        for model, *numbers in rows:
            if model in by_model or not all(0 <= number < float("inf") for number in numbers):
                raise ConfigError(
                    f"the price of {model!r}: found {tuple(numbers)}, wanted one row a model of "
                    "finite US dollars, at least 0"
                )
            by_model[model] = Price(*numbers)
        return cls(by_model)

    def usd(self, request: Request, usage: Usage | None) -> float | None:
        """What a reply has cost; None where the model has no price or nobody counted tokens."""
        price = self.by_model.get(request.fields["model"])
        if price is None:
            return None
        if usage is not None:
            tokens = usage.input_tokens * price.input_usd + usage.output_tokens * price.output_usd
            return tokens / MILLION + _pictures(request) * price.picture_usd
        if request.endpoint == PICTURE and not (price.input_usd or price.output_usd):
            return _pictures(request) * price.picture_usd
        return None

    def estimate(self, request: Request) -> float | None:
        """What a request is going to cost at most, by a rough count; None without a price."""
        return self.usd(request, _expected(request))


def _expected(request: Request) -> Usage:
    fields = request.fields
    if request.endpoint == PICTURE:
        return Usage(_tokens(fields["prompt"]), 0)
    asked = sum(
        _TOKENS_A_MESSAGE + sum(map(_tokens, _parts(message.get("content"))))
        for message in fields["messages"]
    )
    asked += _tokens(str(fields.get("response_format", "")))
    told = fields.get("max_tokens", fields.get("max_completion_tokens", _TOKENS_A_REPLY))
    return Usage(asked, int(told))


def _parts(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [content]


def _tokens(part: Any) -> int:
    if isinstance(part, Mapping):
        if part.get("type") != "text":
            return _TOKENS_AN_IMAGE
        part = part.get("text")
    return -(-len(part.encode()) // _CHARACTERS_A_TOKEN) if isinstance(part, str) else 0


def _pictures(request: Request) -> int:
    return int(request.fields.get("n", 1)) if request.endpoint == PICTURE else 0
