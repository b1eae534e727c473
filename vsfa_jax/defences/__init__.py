"""Defences at inference time, answered by the base through the same decoding: one file each.

A file has

    STAGES    names of what it asks, in order; the last one's answers are the defence's own
    answer    (cases, plain, ask) -> case id -> text; `plain` is what the base said without it, and
              ask(stage, cases) puts cases to the base

so that they stand in the table as rows beside the base and what was trained.
"""

from __future__ import annotations

import dataclasses
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType

from vsfa_jax.benchmarks.case import Answer, Case
from vsfa_jax.core import members
from vsfa_jax.data.record import Message

Ask = Callable[[str, Sequence[Case]], Mapping[str, str]]
MARK = "+"  # "base+ecso" is the row of a defence


def names() -> list[str]:
    """Every defence that is there."""
    return sorted(found.name for found in pkgutil.iter_modules(__path__))


def find(name: str) -> ModuleType:
    """A defence's file.

    Raises:
      ConfigError: there is no such file; the nearest is named.
    """
    return members.find(__name__, name, names(), "eval.defences: no defence")


def stages(row: str, name: str) -> list[str]:
    """The names under which a defence's questions are asked and kept; the last is its row's."""
    parts = find(name).STAGES
    return [f"{row}/{stage}" for stage in parts[:-1]] + [row]


def defend(
    row: str,
    name: str,
    cases: Sequence[Case],
    plain: Sequence[Answer],
    put: Callable[[str, Sequence[Case]], Sequence[Answer]],
) -> list[Answer]:
    """A defence's answers, one a case.

    Args:
      row: that the answers carry as their model.
      name: of the defence.
      cases: of any benchmarks.
      plain: what the base said to them.
      put: (name of a stage, cases) -> the base's answers.
    """
    module = find(name)
    called = dict(zip(module.STAGES, stages(row, name), strict=True))

    def ask(stage: str, asked: Sequence[Case]) -> dict[str, str]:
        return {answer.case_id: answer.text for answer in put(called[stage], asked)}

    texts = module.answer(cases, {answer.case_id: answer.text for answer in plain}, ask)
    return [Answer(case.id, row, texts[case.id]) for case in cases]


def with_system(case: Case, text: str) -> Case:
    """The case with a system message before its turns; one that is there already comes after it."""
    first, rest = case.messages[0], case.messages[1:]
    if first.role != "system":
        rest, first = case.messages, Message("system", "")
    told = Message("system", f"{text}\n\n{first.content}".strip())
    return dataclasses.replace(case, messages=(told, *rest))


def with_question(case: Case, question: str) -> Case:
    """The case with another last message."""
    last = dataclasses.replace(case.messages[-1], content=question)
    return dataclasses.replace(case, messages=(*case.messages[:-1], last))
