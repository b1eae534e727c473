"""Times the api room's client against a service on this machine that takes its time.

    python -m vsfa_jax.perf.api --requests=500 --concurrency=16 --delay_s=0.05

The least time is that of the service alone: requests / concurrency x delay. The ratio to it says
what the client adds: connections, JSON, checks, and a cache that is written to the disk before a
reply is returned. A second run, of the cache alone, says what a reply that is kept costs.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import tempfile
import time
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

from absl import flags

from vsfa_jax.api import Cache, Client, Reply, Request, Service, chat
from vsfa_jax.core import main as entry
from vsfa_jax.core.errors import TrainingError
from vsfa_jax.perf.provenance import provenance

PACKAGES = ("openai", "anyio", "httpx2")
_SAID = {
    "choices": [{"message": {"content": "yes", "role": "assistant"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 20, "completion_tokens": 1},
}

_REQUESTS = flags.DEFINE_integer("requests", 500, "Requests, all different.", 1)
_CONCURRENCY = flags.DEFINE_integer("concurrency", 16, "Requests under way at a time.", 1)
_DELAY_S = flags.DEFINE_float("delay_s", 0.05, "Seconds that the service takes for each.", 0.0)


def measure(*, requests: int, concurrency: int, delay_s: float) -> dict[str, Any]:
    """Asks, then asks the same again.

    Args:
      requests: their number.
      concurrency: under way at a time.
      delay_s: of the service.

    Returns:
      Seconds, and their ratio to the least.
    """
    asked = [
        chat(model="m", messages=[{"role": "user", "content": f"question {number}"}])
        for number in range(requests)
    ]
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=serve, args=(theirs, delay_s), daemon=True)
    server.start()
    try:
        url = f"http://127.0.0.1:{ours.recv()}/v1"
        service = Service(base_url=url, key_variable="", concurrency=concurrency)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "replies.sqlite"
            _ask(service, Path(folder) / "first.sqlite", asked[:concurrency])  # imports, threads
            seconds = _ask(service, path, asked)
            kept_s = _ask(service, path, asked)
    finally:
        server.terminate()
        server.join()
    least_s = -(-requests // concurrency) * delay_s
    return {
        "requests": requests,
        "concurrency": concurrency,
        "delay_s": delay_s,
        "seconds": round(seconds, 3),
        "least_s": round(least_s, 3),
        "ratio": round(seconds / least_s, 2) if least_s else None,
        "seconds_of_the_kept": round(kept_s, 3),
    }


def serve(pipe: Pipe, delay_s: float) -> None:
    """Answers every request with the same chat completion after `delay_s`; tells its port."""
    asyncio.run(_serve(pipe, delay_s))


async def _serve(pipe: Pipe, delay_s: float) -> None:
    body = json.dumps(_SAID).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                lines = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
                length = next(line for line in lines if line.startswith(b"content-length:"))
                await reader.readexactly(int(length.partition(b":")[2]))
                await asyncio.sleep(delay_s)
                writer.write(f"{head}\r\n\r\n".encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=256)
    pipe.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def _ask(service: Service, path: Path, requests: list[Request]) -> float:
    """Seconds until all is answered.

    Raises:
      TrainingError: a request failed.
    """
    with Client(service, Cache(path), title="api", progress=False) as client:
        start = time.monotonic()
        found = client.ask(requests)
        seconds = time.monotonic() - start
    failed = [each for each in found if not isinstance(each, Reply)]
    if failed:
        raise TrainingError(f"{len(failed)} requests failed, the first: {failed[0]}")
    return seconds


def main(requests: int, concurrency: int, delay_s: float) -> None:
    """Runs under `core.main`."""
    found = measure(requests=requests, concurrency=concurrency, delay_s=delay_s)
    print(json.dumps(found | provenance("vsfa_jax.perf.api", PACKAGES), indent=2))


if __name__ == "__main__":
    entry.run(main, {"requests": _REQUESTS, "concurrency": _CONCURRENCY, "delay_s": _DELAY_S})
