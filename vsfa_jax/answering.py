"""Puts cases to a model: one answer a case, each with random numbers of its own.

An answer is kept as soon as it has ended. Several processes that share a mesh ask together, for
they hold the model together: each goes through the same batches of cases, looks at the images of
those whose rows it holds, and gets the answers to all.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from vsfa_jax.benchmarks.case import Answer, Case
from vsfa_jax.core.errors import StoppedError
from vsfa_jax.data.images import decode_image
from vsfa_jax.kept import Kept
from vsfa_jax.progress import Progress

GREEDY_KINDS = ("vqa", "graded")  # questions with right answers
ROUND = 4  # batches that a model which does not stream is asked together


class Model(Protocol):
    """What is asked."""

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


@runtime_checkable
class Streaming(Protocol):
    """A model that tells answers while it is still asked others; `models.Vlm` is one."""

    def stream(
        self,
        conversations: Sequence[Mapping[str, Any]],
        max_new_tokens: int,
        temperature: float,
        seeds: Sequence[int],
        batch_size: int,
    ) -> Iterator[Mapping[int, str]]:
        """Answers by their conversations' numbers, each once, those together that are known."""
        ...


def answers(
    model: Model | Streaming,
    cases: Sequence[Case],
    *,
    name: str,
    max_new_tokens: int,
    temperature: float,
    batch_size: int,
    seed: int,
    kept: Kept | None = None,
    stopped: Callable[[], bool] = lambda: False,
    shows: bool = False,
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
      stopped: asked whenever answers have ended.
      shows: whether progress is shown.

    Raises:
      ImageError: an image of a case cannot be decoded.
      StoppedError: `stopped` said so.
    """
    texts = dict(kept.answers(name)) if kept is not None else {}
    rest = [case for case in cases if case.id not in texts]
    pace = Pace(len(texts), len(texts) + len(rest))
    with Progress(pace.total, unit="case", enabled=shows) as progress:
        for greedy in (True, False):
            chosen = [case for case in rest if (case.kind in GREEDY_KINDS) == greedy]
            heat = 0.0 if greedy else temperature
            seeds = [case_seed(seed, case.id) for case in chosen]
            for ended in _ended(model, chosen, max_new_tokens, heat, seeds, batch_size):
                new = {chosen[number].id: text for number, text in ended.items()}
                texts |= new
                if kept is not None:
                    kept.add(name, new)
                progress.update(len(texts), pace.row(len(texts)))
                if stopped():
                    raise StoppedError("stopped by a signal; the same command asks only the rest")
    return [Answer(case.id, name, texts[case.id]) for case in cases]


def _ended(
    model: Model | Streaming,
    cases: Sequence[Case],
    max_new_tokens: int,
    temperature: float,
    seeds: Sequence[int],
    batch_size: int,
) -> Iterator[Mapping[int, str]]:
    """Answers by the numbers of their cases, as early as the model tells them."""
    if isinstance(model, Streaming):
        talks = Conversations(cases)
        yield from model.stream(talks, max_new_tokens, temperature, seeds, batch_size)
        return
    together = ROUND * batch_size
    for start in range(0, len(cases), together):
        said = model.generate(
            Conversations(cases[start : start + together]),
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            seeds=seeds[start : start + together],
            batch_size=batch_size,
        )
        yield dict(enumerate(said, start=start))


class Pace:
    """Cases a second, and seconds left, of `total` cases of which some are `done` already.

    The first answers wait for the compiler, so the pace is that of the others.
    """

    def __init__(self, done: int, total: int):
        self.total = total
        self._first = (done, time.monotonic())
        self._is_warm = False

    def row(self, done: int) -> dict[str, float]:
        """What is shown once so many are done."""
        now = time.monotonic()
        before, began = self._first
        rate = (done - before) / max(now - began, 1e-9)
        if not self._is_warm:
            self._first, self._is_warm = (done, now), True
        left = (self.total - done) / rate if rate else 0.0
        return {"cases_per_s": rate, "left_s": left}


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
