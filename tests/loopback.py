"""A service on this machine that answers as a script says, and keeps what it was asked.

Scripts see each request's body and its number among equal bodies, from 0, and give an `Answer`;
`drop`, `hang` and `delay_s` are faults of the connection.
"""

from __future__ import annotations

import base64
import collections
import dataclasses
import http.server
import io
import json
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from PIL import Image


@dataclasses.dataclass(frozen=True)
class Answer:
    """One response. `drop` closes the connection without one; `cut` sends half of the body."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    delay_s: float = 0.0
    drop: bool = False
    cut: bool = False


Script = Callable[[dict[str, Any], int], Answer]


def say(text: str | None, **changed: Any) -> Answer:
    """A chat completion; `changed` are fields of its message, `finish_reason` and `usage`."""
    usage = changed.pop("usage", {"prompt_tokens": 10, "completion_tokens": 5})
    ending = changed.pop("finish_reason", "stop")
    message = {"role": "assistant", "content": text, **changed}
    choice = {"index": 0, "message": message, "finish_reason": ending}
    return as_json({"id": "1", "choices": [choice], "usage": usage})


def show(image: bytes | None = None) -> Answer:
    """A generated picture."""
    encoded = base64.b64encode(png() if image is None else image).decode()
    return as_json({"created": 1, "data": [{"b64_json": encoded}]})


def refuse(status: int, code: str = "", message: str = "no", **headers: str) -> Answer:
    """An error as OpenAI words it."""
    told = {"error": {"message": message, "type": code, "code": code}}
    return dataclasses.replace(as_json(told), status=status, headers=headers)


def as_json(value: Any) -> Answer:
    return Answer(json.dumps(value).encode(), headers={})


def png(colour: str = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(file, "PNG")
    return file.getvalue()


def echo(body: dict[str, Any], number: int) -> Answer:
    """Says the last message's text."""
    return say(f"you said: {body['messages'][-1]['content']}")


class Loopback:
    """The server; a context manager.

    Attributes:
      url: for `Service(base_url=...)`.
      bodies: of every request, in the order of their coming.
      keys: the authorization headers.
      answered: bodies that got a whole response.
      most: requests that were under way at a time.
    """

    def __init__(self, script: Script = echo) -> None:
        self.script = script
        self.bodies: list[dict[str, Any]] = []
        self.answered: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.times: list[float] = []
        self.most = self._now = 0
        self._seen: collections.Counter[str] = collections.Counter()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def forget(self, script: Script) -> None:
        """Another script, as if nothing had been asked yet."""
        self.script = script
        self._seen.clear()
        for told in (self.bodies, self.answered, self.keys, self.times):
            told.clear()
        self.most = 0

    def take(self, body: dict[str, Any], key: str) -> Answer:
        """Counts a request and asks the script."""
        text = json.dumps(body, sort_keys=True)
        with self._lock:
            number = self._seen[text]
            self._seen[text] += 1
            self.bodies.append(body)
            self.keys.append(key)
            self.times.append(time.monotonic())
            self._now += 1
            self.most = max(self.most, self._now)
        return self.script(body, number)

    def end(self, body: dict[str, Any], whole: bool) -> None:
        """A request is no longer under way."""
        with self._lock:
            self._now -= 1
            if whole:
                self.answered.append(body)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news."""


def _handler(loopback: Loopback) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = loopback.take(body, self.headers.get("Authorization", ""))
            whole = False
            try:
                time.sleep(answer.delay_s)
                whole = self._respond(answer)
            finally:
                loopback.end(body, whole)

        def _respond(self, answer: Answer) -> bool:
            if answer.drop:
                self.close_connection = True
                return False
            self.send_response(answer.status)
            for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body[: len(answer.body) // 2] if answer.cut else answer.body)
            self.wfile.flush()
            self.close_connection = self.close_connection or answer.cut
            return not answer.cut

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    return Handler
