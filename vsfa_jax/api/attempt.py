"""One attempt at a request: the reply's bytes, or what went wrong. What must stop a run, raises."""

from __future__ import annotations

import dataclasses
import datetime
import email.utils
from collections.abc import Mapping
from typing import Any, Self

import anyio
import openai

from vsfa_jax.api.request import Request
from vsfa_jax.api.service import Service
from vsfa_jax.core.errors import AuthenticationError, OutOfQuotaError

_OUT_OF_QUOTA = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
_FILTERED = {"content_filter", "content_policy_violation", "moderation_blocked"}
_REFUSED, _PAYMENT, _SLOWER, _BUSY = (401, 403), 402, 429, (408, 409, 425)
_SHOWN = 200  # characters of a service's own message that ours quotes


@dataclasses.dataclass(frozen=True)
class Fault:
    """An attempt that brought no reply.

    Attributes:
      kind: one of `replies.FAILURES`.
      message: for a human, without the key.
      wait_s: how long the service wants to be left alone, if it said so.
    """

    kind: str
    message: str
    wait_s: float | None = None


class Connection:
    """An open client of one service, for one event loop; an async context manager.

    Args:
      service: to connect to.

    Raises:
      AuthenticationError: the environment holds no key.
    """

    def __init__(self, service: Service) -> None:
        self._service, self._key = service, service.key()
        self._client = openai.AsyncOpenAI(
            api_key=self._key,
            base_url=service.address(),
            timeout=service.timeout_s,
            max_retries=0,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def send(self, request: Request) -> bytes | Fault:
        """Sends a request once; the body of a response with status 200, or a Fault.

        Raises:
          AuthenticationError: the service refuses the key.
          OutOfQuotaError: the account has no money or no quota left.
        """
        try:
            with anyio.fail_after(self._service.timeout_s):
                body: bytes = await self._client.post(
                    f"/{request.endpoint}", cast_to=bytes, body=request.fields
                )
                return body
        except (openai.APITimeoutError, TimeoutError):
            return Fault("timeout", f"no whole reply within {self._service.timeout_s:g} s")
        except openai.APIConnectionError as error:
            cause = type(error.__cause__ or error).__name__
            return Fault("connection", f"no connection, or one that broke off ({cause})")
        except openai.APIStatusError as error:
            found = error
        # outside of the handler: openai's error holds the request's headers, and with them the key
        return self._refused(found)

    def _refused(self, error: openai.APIStatusError) -> Fault:
        """What a status other than 200 means."""
        status, codes = error.status_code, {error.code, error.type}
        said = self._say(error)
        if status == _PAYMENT or codes & _OUT_OF_QUOTA:
            raise OutOfQuotaError(
                f"{self._service.address()} has no quota left: {said}; what was paid for is kept, "
                "and once there is quota the same command goes on from there"
            )
        if status in _REFUSED:
            variable = self._service.key_variable
            found = f"refuses the key of {variable}" if variable else "wants a key, none was named"
            raise AuthenticationError(f"{self._service.address()} {found}: {said}")
        if status == _SLOWER:
            return Fault("rate_limit", said, wait_s(error.response.headers))
        if status >= 500 or status in _BUSY:
            return Fault("server", said, wait_s(error.response.headers))
        if codes & _FILTERED:
            return Fault("content_filter", said)
        return Fault("bad_request", said)

    def _say(self, error: openai.APIStatusError) -> str:
        """Status and the service's own words, which may quote the key back."""
        body: Any = error.body
        told = body.get("message") if isinstance(body, Mapping) else body
        words = " ".join(str(told or "").split()).replace(self._key, "[key]")
        return f"status {error.status_code}" + (f", {words[:_SHOWN]}" if words else "")


def wait_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that a response asks to be left alone for: `Retry-After`, a number or a date."""
    told = headers.get("retry-after-ms")
    try:
        if told is not None:
            return max(0.0, float(told) / 1000)
        told = headers.get("retry-after")
        return None if told is None else max(0.0, float(told))
    except ValueError:
        pass
    try:
        until = email.utils.parsedate_to_datetime(str(told))
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=datetime.UTC)
    return max(0.0, (until - datetime.datetime.now(datetime.UTC)).total_seconds())
