"""The Constructive Score of any answer: the mean of five axes, by a model behind a service.

What the axes mean stands in `rubrics/constructive.txt`; a refusal that helps scores what it helps.
"""

from __future__ import annotations

from vsfa_jax.judges import api
from vsfa_jax.judges.asked import judge_by_asking
from vsfa_jax.judges.protocol import Judge, JudgeSettings
from vsfa_jax.judges.tasks import task

OFFLINE = False
NAME = "constructive"


def open_judge(settings: JudgeSettings) -> Judge:
    """The judge; as `api.open_judge`.

    Raises:
      ConfigError: there is no model, no file for replies, or the service's address is none.
    """
    api.client_settings(settings)
    return judge_by_asking(
        NAME, lambda kind: task(NAME), lambda asked: api.ask(settings, asked, "constructive score")
    )


def identity(settings: JudgeSettings) -> str:
    """Who judges and how, as `api.identity`."""
    return api.identity_of(settings, [NAME])
