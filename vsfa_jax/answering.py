"""Puts cases to a model: one answer a case, each with random numbers of its own."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from vsfa_jax.benchmarks.case import Answer, Case
from vsfa_jax.data.images import decode_image

GREEDY_KINDS = ("vqa",)  # questions with one right answer
ROUND = 16  # batches whose images are held at once


class Model(Protocol):
    """What is asked; `models.Vlm` is one."""

    def generate(
        self,
        conversations: Sequence[Mapping[str, Any]],
        max_new_tokens: int,
        temperature: float,
        seeds: Sequence[int],
        batch_size: int,
    ) -> list[str]:
        """One answer a conversation."""
        ...


def answers(
    model: Model,
    cases: Sequence[Case],
    *,
    name: str,
    max_new_tokens: int,
    temperature: float,
    batch_size: int,
    seed: int,
) -> list[Answer]:
    """One answer a case, in the order of the cases.

    Args:
      model: what is asked.
      cases: of any benchmarks.
      name: that the answers carry, "base" or "tuned".
      max_new_tokens: the most tokens of an answer.
      temperature: of sampling; kinds with one right answer are decoded greedily.
      batch_size: prompts decoded together.
      seed: with a case's id it gives the case's own random numbers, the same for every model.

    Raises:
      ImageError: an image of a case cannot be decoded.
    """
    texts: dict[str, str] = {}
    for greedy in (True, False):
        chosen = [case for case in cases if (case.kind in GREEDY_KINDS) == greedy]
        for start in range(0, len(chosen), ROUND * batch_size):
            part = chosen[start : start + ROUND * batch_size]
            said = model.generate(
                [conversation(case) for case in part],
                max_new_tokens=max_new_tokens,
                temperature=0.0 if greedy else temperature,
                seeds=[case_seed(seed, case.id) for case in part],
                batch_size=batch_size,
            )
            texts.update(zip((case.id for case in part), said, strict=True))
    return [Answer(case.id, name, texts[case.id]) for case in cases]


def conversation(case: Case) -> dict[str, Any]:
    """A case as a model takes it."""
    return {
        "images": [
            decode_image(data, where=f"case {case.id!r}, image {number}")
            for number, data in enumerate(case.images, start=1)
        ],
        "messages": [dataclasses.asdict(message) for message in case.messages],
    }


def case_seed(seed: int, case_id: str) -> int:
    """A case's own seed, 32 bits; independent of which other cases are asked."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{case_id}".encode()).digest()[:4], "big")
