"""A judge that asks a checkpoint with this project's own decode: what `api` asks, offline.

A reply counts where it is JSON of the asked schema and nothing else; nothing holds the model to it
while it writes, so a model that cannot write JSON leaves its cases unjudged.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Sequence

import jax.numpy as jnp
from absl import logging

from vsfa_jax import models, tinyworld
from vsfa_jax.api import Cache, Request, chat, parse_json
from vsfa_jax.api.cache import Row
from vsfa_jax.benchmarks.case import Answer, Case
from vsfa_jax.core.errors import ConfigError
from vsfa_jax.judges.api import TASKS
from vsfa_jax.judges.asked import Told, judge_by_asking
from vsfa_jax.judges.protocol import Judge, JudgeSettings
from vsfa_jax.judges.tasks import Task, task, task_of

OFFLINE = False
NAME = "local"
_ROUND = 8  # batches that are kept together
_SUFFIXES = (".json", ".safetensors", ".jinja", ".txt", ".model")
_SHOWN = 200  # characters of a reply that a reason quotes


def open_judge(settings: JudgeSettings) -> Judge:
    """The judge; the checkpoint is loaded where the first answer comes that it has not judged.

    Raises:
      ConfigError: there is no checkpoint's path.
    """
    if not settings.path:
        raise ConfigError("judge.path: found '', wanted a checkpoint for judge 'local'")
    loaded: list[models.Vlm] = []

    def model() -> models.Vlm:
        if not loaded:
            path = tinyworld.resolve_model(settings.path)
            loaded.append(models.load(path, dtype=jnp.dtype(settings.dtype)))
        return loaded[0]

    return judge_by_asking(NAME, task_of, lambda asked: ask(model, settings, asked))


def identity(settings: JudgeSettings) -> str:
    """Which checkpoint judges and how: a hash of its files, rubrics, schemas and sampling."""
    told = [_digest(settings.path), settings.dtype, settings.max_tokens]
    told += [task(name).version for name in TASKS]
    return f"{settings.path} {hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]}"


def ask(
    model: Callable[[], models.Vlm],
    settings: JudgeSettings,
    asked: Sequence[tuple[Task, Case, Answer]],
) -> list[Told]:
    """What the checkpoint replies to each, or why that cannot be read.

    What it has replied before is in the file of replies, if there is one, and is not asked again.

    Args:
      model: loads it, where it is needed.
      settings: of the judge.
      asked: each with its task.

    Raises:
      CacheError: the file of replies cannot be read or written.
      WeightsError: the checkpoint cannot be loaded.
    """
    if not settings.cache:
        return _read_all(asked, _reply(model(), settings, asked) if asked else [])
    requests = [_request(settings, *one) for one in asked]
    with Cache(settings.cache) as cache:
        rows = {request: cache.get(request.key_at(NAME)) for request in requests}
        rest = {r: one for r, one in zip(requests, asked, strict=True) if rows[r] is None}
        logging.info("judge local: %d answers, %d judged before", len(rows), len(rows) - len(rest))
        waiting = list(rest.items())
        size = _ROUND * settings.batch_size
        for part in (waiting[i : i + size] for i in range(0, len(waiting), size)):
            said = _reply(model(), settings, [one for _, one in part])
            for (request, _), reply in zip(part, said, strict=True):
                cache.put(
                    request.key_at(NAME), request, reply.encode(), title="judge local", usd=None
                )
                rows[request] = Row(reply.encode(), None)
    replies = [row.reply.decode() for row in map(rows.get, requests) if row is not None]
    return _read_all(asked, replies)


def _reply(
    model: models.Vlm, settings: JudgeSettings, asked: Sequence[tuple[Task, Case, Answer]]
) -> list[str]:
    """Greedily decoded replies."""
    reserved = model.processor.tokenizer.all_special_tokens
    prompts = [task.messages(case, answer, reserved) for task, case, answer in asked]
    # one message: not every chat template has a place for a system's
    texts = ["\n\n".join(message["content"] for message in messages) for messages in prompts]
    return model.generate(
        [{"images": [], "messages": [{"role": "user", "content": text}]} for text in texts],
        max_new_tokens=settings.max_tokens,
        temperature=0.0,
        batch_size=settings.batch_size,
    )


def _request(settings: JudgeSettings, task: Task, case: Case, answer: Answer) -> Request:
    """What a reply follows from, as one request to the checkpoint."""
    return chat(
        model=f"{settings.path} {_digest(settings.path)}",
        messages=task.messages(case, answer),
        schema=task.schema,
        max_tokens=settings.max_tokens,
        extra={"dtype": settings.dtype},
    )


@functools.cache
def _digest(path: str) -> str:
    """SHA-256 over the names and contents of a checkpoint's files."""
    files = models.resolve(tinyworld.resolve_model(path)).iterdir()
    digest = hashlib.sha256()
    for file in sorted(f for f in files if f.is_file() and f.suffix in _SUFFIXES):
        with file.open("rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
        digest.update(f"{file.name} {found}\n".encode())
    return digest.hexdigest()


def _read_all(asked: Sequence[tuple[Task, Case, Answer]], replies: Sequence[str]) -> list[Told]:
    return [_read(task, reply) for (task, _, _), reply in zip(asked, replies, strict=True)]


def _read(task: Task, reply: str) -> Told:
    try:
        return parse_json(reply, task.schema), ""
    except ValueError as error:
        return None, f"wrong_schema: {error}: {reply[:_SHOWN]}"
