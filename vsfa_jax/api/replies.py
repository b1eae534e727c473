"""Reads what a service sent with status 200. What is not what was asked for is a Failure.

not JSON (a proxy's page, half an object)       not_json
JSON of another shape, an unknown ending        malformed
no choices, no text                             empty
the service or the model declines               content_filter, refusal
cut off at the bound on tokens                  length
text that is not JSON of the asked schema       wrong_schema
bytes that are no image, or only an address     no_image
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import jsonschema

from vsfa_jax.api.prices import Usage
from vsfa_jax.api.request import PICTURE, Request
from vsfa_jax.core.errors import ImageError
from vsfa_jax.data.images import decode_image

# No whole reply came; the next attempt may bring one.
PASSING = ("rate_limit", "server", "timeout", "connection", "not_json", "malformed", "empty")
# A whole reply came, and was paid for; the same question would bring the same.
LASTING = ("content_filter", "refusal", "length", "wrong_schema", "no_image")
FAILURES = (*PASSING, "bad_request", *LASTING)
_SHOWN = 200  # characters of a reply that a message quotes


@dataclasses.dataclass(frozen=True)
class Reply:
    """What was asked for.

    Attributes:
      text: of a chat, never blank; "" with a picture.
      value: the text's JSON, which keeps to the request's schema; None where it has none.
      image: of a picture, the encoded file, which was decoded once; b"" with a chat.
      usage: as the service counted, if it did.
      usd: what it has cost, when it was paid; None where that is unknown.
      cached: nothing was paid for it now.
    """

    text: str = ""
    value: Any = None
    image: bytes = b""
    usage: Usage | None = None
    usd: float | None = None
    cached: bool = False


@dataclasses.dataclass(frozen=True)
class Failure:
    """Why there is no reply: never data, never a verdict.

    Attributes:
      kind: one of `FAILURES`.
      message: for a human; holds no key.
      usage, usd, cached: as in `Reply`.
    """

    kind: str
    message: str
    usage: Usage | None = None
    usd: float | None = None
    cached: bool = False


def read(request: Request, raw: bytes) -> Reply | Failure:
    """What a reply's body amounts to.

    Args:
      request: that was answered.
      raw: the body of a response with status 200.
    """
    try:
        body = parse_json(raw.decode())
    except ValueError as error:
        return Failure("not_json", f"{error}: {_quote(raw.decode(errors='replace'))}")
    if not isinstance(body, dict):
        return Failure("malformed", f"found {_quote(str(body))}, wanted an object")
    usage = _usage(body.get("usage"))
    found = _picture(body) if request.endpoint == PICTURE else _chat(request, body)
    return dataclasses.replace(found, usage=usage)


def parse_json(text: str, schema: Mapping[str, Any] | None = None) -> Any:
    """JSON and nothing else: no fences, no NaN, no key twice.

    Raises:
      ValueError: it is not that, or does not keep to the schema.
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("JSON that is nested too deeply") from None
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("half a surrogate pair") from None
    faults = [] if schema is None else _faults(value, schema)
    if faults:
        raise ValueError("; ".join(faults[:3]))
    return value


def _faults(value: Any, schema: Mapping[str, Any]) -> list[str]:
    errors = jsonschema.Draft202012Validator(schema).iter_errors(value)
    return [f"{error.json_path}: {_quote(error.message)}" for error in errors]


def _chat(request: Request, body: Mapping[str, Any]) -> Reply | Failure:
    choices = body.get("choices")
    if choices == []:
        return Failure("empty", "no choices")
    choice = choices[0] if isinstance(choices, list) else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        return Failure("malformed", "no choice with a message")
    ending = choice.get("finish_reason")
    if ending == "content_filter":
        return Failure("content_filter", "the service has filtered its reply")
    if message.get("refusal"):
        return Failure("refusal", _quote(str(message["refusal"])))
    text = message.get("content")
    if ending == "length":
        return Failure("length", "cut off at the bound on tokens")
    if ending != "stop":
        return Failure("malformed", f"finish_reason: found {ending!r}, wanted 'stop'")
    if not isinstance(text, str) or not text.strip():
        return Failure("empty", f"content: found {_quote(repr(text))}, wanted text")
    return _text(request, text)


def _text(request: Request, text: str) -> Reply | Failure:
    form = request.fields.get("response_format") or {}
    if form.get("type") != "json_schema":
        return Reply(text=text)
    try:
        return Reply(text=text, value=parse_json(text, form["json_schema"]["schema"]))
    except ValueError as error:
        return Failure("wrong_schema", f"{error}: {_quote(text)}")


def _picture(body: Mapping[str, Any]) -> Reply | Failure:
    data = body.get("data")
    if data == []:
        return Failure("empty", "no picture")
    first = data[0] if isinstance(data, list) else None
    if not isinstance(first, dict):
        return Failure("malformed", "no picture")
    encoded = first.get("b64_json")
    if not isinstance(encoded, str):
        return Failure("no_image", "no b64_json; wanted the picture itself, not an address of it")
    try:
        image = base64.b64decode(encoded, validate=True)
        decode_image(image, where="the picture")
    except (binascii.Error, ValueError, ImageError) as error:
        return Failure("no_image", _quote(str(error)))
    return Reply(image=image)


def _usage(counted: Any) -> Usage | None:
    """OpenAI's two spellings: prompt and completion of chats, input and output of pictures."""
    if not isinstance(counted, dict):
        return None
    for names in (("prompt_tokens", "completion_tokens"), ("input_tokens", "output_tokens")):
        asked, told = (counted.get(name) for name in names)
        if type(asked) is int and type(told) is int and asked >= 0 and told >= 0:
            return Usage(asked, told)
    return None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("JSON with one key twice")
    return dict(pairs)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _quote(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
