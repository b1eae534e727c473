"""Requests to services that speak as OpenAI's does, at temperature 0 unless told otherwise.

    service = Service(base_url="http://localhost:8000/v1", key_variable="")
    with Client(service, Cache("replies.sqlite"), title="questions") as client:
        found = client.ask([chat(model="m", messages=[{"role": "user", "content": "hello"}])])

A reply is read strictly; what cannot be read is a Failure with a kind, and never data. A paid reply
is on the disk before it is returned, and is not paid for again.
"""

from vsfa_jax.api.cache import Cache
from vsfa_jax.api.client import Client, Estimate
from vsfa_jax.api.prices import Price, Prices, Usage
from vsfa_jax.api.replies import FAILURES, Failure, Reply, parse_json
from vsfa_jax.api.request import Request, chat, image_part, picture, text_part
from vsfa_jax.api.service import Service

__all__ = [
    "FAILURES",
    "Cache",
    "Client",
    "Estimate",
    "Failure",
    "Price",
    "Prices",
    "Reply",
    "Request",
    "Service",
    "Usage",
    "chat",
    "image_part",
    "parse_json",
    "picture",
    "text_part",
]
