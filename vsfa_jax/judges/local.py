"""A judge that asks a checkpoint with this project's own decode: what `api` asks, offline.

A reply counts where it is JSON of the asked schema and nothing else; nothing holds the model to it
while it writes, so a model that cannot write JSON leaves its cases unjudged.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import jax.numpy as jnp
from absl import logging

from vsfa_jax import models, tinyworld
from vsfa_jax.api import parse_json
from vsfa_jax.benchmarks.case import Answer, Case
from vsfa_jax.core.errors import ConfigError
from vsfa_jax.judges.api import TASKS
from vsfa_jax.judges.asked import Told, judge_by_asking
from vsfa_jax.judges.protocol import Judge, JudgeSettings
from vsfa_jax.judges.tasks import Task, task, task_of

OFFLINE = False
NAME = "local"
_SHOWN = 200  # characters of a reply that a reason quotes


def open_judge(settings: JudgeSettings) -> Judge:
    """The judge; the checkpoint is loaded where the first answers are given to it.

    Raises:
      ConfigError: there is no checkpoint's path.
    """
    if not settings.path:
        raise ConfigError("judge.path: found '', wanted a checkpoint for judge 'local'")
    loaded: list[models.Vlm] = []

    def ask(asked: Sequence[tuple[Task, Case, Answer]]) -> list[Told]:
        if asked and not loaded:
            path = tinyworld.resolve_model(settings.path)
            loaded.append(models.load(path, dtype=jnp.dtype(settings.dtype)))
        return [] if not asked else ask_model(loaded[0], settings, asked)

    return judge_by_asking(NAME, task_of, ask)


def identity(settings: JudgeSettings) -> str:
    """Which checkpoint judges and how; its weights are known by their path alone."""
    told = [settings.path, settings.dtype, settings.max_tokens, [task(n).version for n in TASKS]]
    return f"{settings.path} {hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]}"


def ask_model(
    model: models.Vlm, settings: JudgeSettings, asked: Sequence[tuple[Task, Case, Answer]]
) -> list[Told]:
    """What a loaded model replies to each, decoded greedily, or why that cannot be read."""
    reserved = model.processor.tokenizer.all_special_tokens
    prompts = [task.messages(case, answer, reserved) for task, case, answer in asked]
    logging.info("judge local: %d answers", len(prompts))
    replies = model.generate(
        [
            # one message: not every chat template has a place for a system's
            {
                "images": [],
                "messages": [
                    {"role": "user", "content": "\n\n".join(m["content"] for m in messages)}
                ],
            }
            for messages in prompts
        ],
        max_new_tokens=settings.max_tokens,
        temperature=0.0,
        batch_size=settings.batch_size,
    )
    return [_read(task, reply) for (task, _, _), reply in zip(asked, replies, strict=True)]


def _read(task: Task, reply: str) -> Told:
    try:
        return parse_json(reply, task.schema), ""
    except ValueError as error:
        return None, f"wrong_schema: {error}: {reply[:_SHOWN]}"
