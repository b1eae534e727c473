"""Puts cases to a model: one answer a case, each with random numbers of its own.

Several processes that share a mesh ask together, for they hold the model together: each goes
through the same rounds of cases, looks at the images of those whose rows it holds, and gets the
answers to all.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from vsfa_jax.benchmarks.case import Answer, Case
from vsfa_jax.core.errors import StoppedError
from vsfa_jax.data.images import decode_image
from vsfa_jax.kept import Kept

GREEDY_KINDS = ("vqa", "graded")  # questions with right answers
ROUND = 4  # batches that are sorted by length, held and kept together


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
    kept: Kept | None = None,
    stopped: Callable[[], bool] = lambda: False,
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
      kept: what was answered before, which is not asked again; takes what is answered now.
      stopped: asked after every round.

    Raises:
      ImageError: an image of a case cannot be decoded.
      StoppedError: `stopped` said so.
    """
    texts = dict(kept.answers(name)) if kept is not None else {}
    rest = [case for case in cases if case.id not in texts]
    for greedy in (True, False):
        chosen = [case for case in rest if (case.kind in GREEDY_KINDS) == greedy]
        for start in range(0, len(chosen), ROUND * batch_size):
            part = chosen[start : start + ROUND * batch_size]
            said = model.generate(
                Conversations(part),
                max_new_tokens=max_new_tokens,
                temperature=0.0 if greedy else temperature,
                seeds=[case_seed(seed, case.id) for case in part],
                batch_size=batch_size,
            )
            new = {case.id: text for case, text in zip(part, said, strict=True)}
            texts |= new
            if kept is not None:
                kept.add(name, new)
            if stopped():
                raise StoppedError("stopped by a signal; the same command asks only the rest")
    return [Answer(case.id, name, texts[case.id]) for case in cases]


class Conversations(Sequence[dict[str, Any]]):
    """Cases as a model takes them; the images of one are decoded when it is looked at."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self._cases = cases

    def __len__(self) -> int:
        return len(self._cases)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Conversations(self._cases[index])
        return conversation(self._cases[index])


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
