"""Service: where requests go and how patiently. The key is in the environment, and only there."""

from __future__ import annotations

import dataclasses
import os
import urllib.parse

from vsfa_jax.core.errors import AuthenticationError, ConfigError

_ADDRESS = "https://api.openai.com/v1"
_ADDRESS_VARIABLE = "OPENAI_BASE_URL"
_NO_KEY = "none"  # for a server of one's own; openai's client wants some text


@dataclasses.dataclass(frozen=True)
class Service:
    """A service that speaks as OpenAI's does.

    Attributes:
      base_url: its address, without credentials; "" is that of the environment variable
        OPENAI_BASE_URL, or else OpenAI's own.
      key_variable: the environment variable that holds the key; "" for a server that wants none.
      timeout_s: of one attempt, from its start to the reply's last byte.
      retries: further attempts after one that failed in passing.
      concurrency: requests under way at a time.
      first_wait_s: before the second attempt, doubled for each further one; a random part of up
        to a half is taken off. A service that says how long to wait is heeded instead.
      longest_wait_s: between two attempts; a service that wants more is given up on.

    Raises:
      ConfigError: a value is out of bounds, or the address is none or holds credentials.
    """

    base_url: str = ""
    key_variable: str = "OPENAI_API_KEY"
    timeout_s: float = 60.0
    retries: int = 4
    concurrency: int = 16
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0

    def __post_init__(self) -> None:
        _check_address(self.base_url or _ADDRESS)
        if self.timeout_s <= 0 or self.retries < 0 or self.concurrency < 1:
            found = f"timeout_s {self.timeout_s}, retries {self.retries}"
            raise ConfigError(
                f"a service: found {found}, concurrency {self.concurrency}; wanted more than 0 s, "
                "at least 0 retries and at least 1 request at a time"
            )
        if not 0 <= self.first_wait_s <= self.longest_wait_s:
            raise ConfigError(
                f"a service: found first_wait_s {self.first_wait_s} and longest_wait_s "
                f"{self.longest_wait_s}; wanted 0 or more, and the first at most the longest"
            )

    def address(self) -> str:
        """The address that requests go to, without a slash at its end.

        Raises:
          ConfigError: the environment's is none or holds credentials.
        """
        address = self.base_url or os.environ.get(_ADDRESS_VARIABLE) or _ADDRESS
        _check_address(address)
        return address.rstrip("/")

    def key(self) -> str:
        """The key.

        Raises:
          AuthenticationError: the environment holds none, or something that cannot be one.
        """
        if not self.key_variable:
            return _NO_KEY
        key = os.environ.get(self.key_variable, "").strip()
        if not key:
            raise AuthenticationError(
                f"no key for {self.address()}: wanted one in the environment variable "
                f"{self.key_variable}"
            )
        if not key.isascii() or not key.isprintable() or " " in key:
            raise AuthenticationError(
                f"the environment variable {self.key_variable}: found text with characters that no "
                "key has"
            )
        return key


def _check_address(address: str) -> None:
    """Errors do not quote what may be a secret."""
    try:
        parts = urllib.parse.urlsplit(address)
        wrong = parts.scheme not in ("http", "https") or not parts.hostname
        secret = "@" in parts.netloc or bool(parts.query or parts.fragment)
    except ValueError:
        wrong, secret = True, False
    if wrong or secret:
        found = "one with credentials or a query" if secret else "something else"
        raise ConfigError(
            f"the address of a service: found {found}, wanted http(s)://HOST/PATH alone; the key "
            "goes into an environment variable"
        )
