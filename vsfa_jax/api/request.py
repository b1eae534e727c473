"""Request: what is asked of a service, in one canonical spelling, so that equal ones are one."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import jsonschema

from vsfa_jax.core.errors import ConfigError, ImageError
from vsfa_jax.data.images import decode_image

CHAT, PICTURE = "chat/completions", "images/generations"
_KEY_FORMAT = 1  # a change of what a key is made of makes every cached reply unknown
_SIGNATURES = {  # the first bytes of the formats that services take
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"RIFF": "image/webp",
}


@dataclasses.dataclass(frozen=True)
class Request:
    """One question to a service.

    Attributes:
      endpoint: `CHAT` or `PICTURE`, the path below the service's address.
      body: what is sent, as JSON with sorted keys and no spaces.
    """

    endpoint: str
    body: str

    @property
    def fields(self) -> dict[str, Any]:
        """The body as it was before it became text."""
        fields: dict[str, Any] = json.loads(self.body)
        return fields

    @property
    def key(self) -> str:
        """SHA-256, in hexadecimal, of the endpoint and the body."""
        return self.key_at("")

    def key_at(self, base_url: str) -> str:
        """The same with the service's address: one model's name is another model elsewhere."""
        parts = [_KEY_FORMAT, base_url, self.endpoint, self.body]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def chat(
    *,
    model: str,
    messages: Sequence[Mapping[str, Any]],
    schema: Mapping[str, Any] | None = None,
    temperature: float | None = 0.0,
    seed: int | None = 0,
    max_tokens: int | None = 512,
    extra: Mapping[str, Any] | None = None,
) -> Request:
    """A question that is answered with text.

    Args:
      model: the service's name of it.
      messages: {"role": ..., "content": text or list of parts}; see `text_part`, `image_part`.
      schema: that the reply's JSON keeps to. A service is asked to keep to it (OpenAI's
        `response_format`), and the reply is held to it here whatever the service does.
      temperature: None where the model takes none.
      seed: of the service's sampling; None where it takes none.
      max_tokens: the most tokens of the reply. None is for models that want
        `max_completion_tokens`, which then goes into `extra`.
      extra: further fields of the body.

    Raises:
      ConfigError: the schema is none, or something cannot be said in JSON.
    """
    fields: dict[str, Any] = {"model": model, "messages": [dict(message) for message in messages]}
    optional = {"temperature": temperature, "seed": seed, "max_tokens": max_tokens}
    fields |= {name: value for name, value in optional.items() if value is not None}
    if schema is not None:
        try:
            jsonschema.Draft202012Validator.check_schema(schema)
        except jsonschema.SchemaError as error:
            raise ConfigError(f"the schema of a request: {error.message}") from None
        about = {"name": "reply", "schema": dict(schema), "strict": True}
        fields["response_format"] = {"type": "json_schema", "json_schema": about}
    return Request(CHAT, _canonical(fields | dict(extra or {})))


def picture(
    *,
    model: str,
    prompt: str,
    size: str = "1024x1024",
    seed: int | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Request:
    """A question that is answered with a picture, its bytes within the reply.

    Args:
      model: the service's name of it.
      prompt: what the picture shows.
      size: "WIDTHxHEIGHT" in pixels, or what else the service calls a size.
      seed: for services that take one.
      extra: further fields of the body. Services that answer with an address unless told
        otherwise want {"response_format": "b64_json"}: no address is ever followed.

    Raises:
      ConfigError: something cannot be said in JSON.
    """
    fields: dict[str, Any] = {"model": model, "prompt": prompt, "size": size, "n": 1}
    if seed is not None:
        fields["seed"] = seed
    return Request(PICTURE, _canonical(fields | dict(extra or {})))


def text_part(text: str) -> dict[str, Any]:
    """Text among the parts of a message."""
    return {"type": "text", "text": text}


def image_part(data: bytes) -> dict[str, Any]:
    """An encoded image among the parts of a message, as a data URL.

    Raises:
      ImageError: the bytes are no image, or none of PNG, JPEG, GIF and WebP.
    """
    media = next((name for start, name in _SIGNATURES.items() if data.startswith(start)), None)
    if media is None:
        raise ImageError(f"bytes that begin with {data[:8]!r}; wanted PNG, JPEG, GIF or WebP")
    decode_image(data, where="an image of a request")
    url = f"data:{media};base64,{base64.b64encode(data).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def _canonical(fields: Mapping[str, Any]) -> str:
    try:
        text = json.dumps(
            fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
        text.encode()
    except (TypeError, ValueError) as error:  # an object, NaN, half a surrogate pair
        raise ConfigError(f"a request that cannot be sent as JSON: {error}") from None
    return text
