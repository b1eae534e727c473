"""A judge that asks a model behind an OpenAI-compatible service.

Attacks and harmless requests get complies, refuses or partial; graded answers MM-Vet's score; those
of "help" their constructive score. See `tasks` for what is asked, `fence` for how an answer is kept
from posing as a verdict, and `vsfa_jax/api` for what happens to faults: none becomes a verdict, and
what was paid for is not asked again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from vsfa_jax.api import Cache, Client, Failure, Prices, Service, chat
from vsfa_jax.benchmarks.case import Answer, Case
from vsfa_jax.core.errors import ConfigError
from vsfa_jax.judges.asked import Told, judge_by_asking
from vsfa_jax.judges.protocol import Judge, JudgeSettings
from vsfa_jax.judges.tasks import Task, task, task_of

OFFLINE = False
NAME = "api"
TASKS = ("compliance", "mm_vet", "constructive")
_TEMPERATURE, _SEED = 0.0, 0


def open_judge(settings: JudgeSettings) -> Judge:
    """The judge; nothing is asked before answers are given to it.

    It raises what `api.Client.ask` does.

    Raises:
      ConfigError: there is no model, no file for replies, or the service's address is none.
    """
    client_settings(settings)
    return judge_by_asking(NAME, task_of, lambda asked: ask(settings, asked, "judge api"))


def identity(settings: JudgeSettings) -> str:
    """Who judges and how: the model, and a hash of service, rubrics, schemas and sampling."""
    return identity_of(settings, TASKS)


def identity_of(settings: JudgeSettings, names: Sequence[str]) -> str:
    """The same of some tasks."""
    versions = [task(name).version for name in names]
    told = [settings.base_url, settings.model, settings.max_tokens, _TEMPERATURE, _SEED, versions]
    return f"{settings.model} {hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]}"


def ask(
    settings: JudgeSettings, asked: Sequence[tuple[Task, Case, Answer]], title: str
) -> list[Told]:
    """What the model replies to each, or why that cannot be read."""
    requests = [
        chat(
            model=settings.model,
            messages=task.messages(case, answer),
            schema=task.schema,
            temperature=_TEMPERATURE,
            seed=_SEED,
            max_tokens=settings.max_tokens,
        )
        for task, case, answer in asked
    ]
    service, prices = client_settings(settings)
    cache = Cache(settings.cache)
    with Client(
        service,
        cache,
        title=title,
        prices=prices,
        budget_usd=settings.budget_usd,
        spent_usd=cache.usd(),  # by all judges that share the file
    ) as client:
        found = client.ask(requests)
    return [
        (None, f"{each.kind}: {each.message}") if isinstance(each, Failure) else (each.value, "")
        for each in found
    ]


def client_settings(settings: JudgeSettings) -> tuple[Service, Prices]:
    """The service and its prices.

    Raises:
      ConfigError: see `open_judge`.
    """
    if not settings.model or not settings.cache:
        missing = "judge.cache" if settings.model else "judge.model"
        raise ConfigError(f"{missing}: found '', wanted one for a judge that asks a service")
    service = Service(
        base_url=settings.base_url,
        key_variable=settings.key_variable,
        timeout_s=settings.timeout_s,
        retries=settings.retries,
        concurrency=settings.concurrency,
    )
    asked, told = settings.usd_per_million_input, settings.usd_per_million_output
    is_known = asked > 0 or told > 0
    return service, Prices.of([(settings.model, asked, told, 0.0)] if is_known else [])
