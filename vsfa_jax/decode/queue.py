"""Prompts that wait for a free row, looked at a while ahead so that like ones go together."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from vsfa_jax.data.batch import Example

_BYTES = 2**30  # of pixels that wait


@dataclasses.dataclass(frozen=True)
class Prompt:
    """One question.

    Attributes:
      number: which, for its answer.
      example: encoded for generation.
      seed: of its random numbers, uint32.
      limit: the most tokens of its answer, at least 1.
    """

    number: int
    example: Example
    seed: int
    limit: int


class Queue:
    """Takes prompts from an iterator when they are needed.

    Args:
      prompts: in the order in which they are asked.
      ahead: how many wait at most; fewer where their pixels would fill the memory.
    """

    def __init__(self, prompts: Iterator[Prompt], ahead: int):
        self._prompts, self._ahead = prompts, ahead
        self.waiting: list[Prompt] = []
        self._is_begun = False

    def fill(self, least: int) -> list[Prompt]:
        """Looks ahead; those that are new, of which `least` may come whatever their pixels take."""
        new: list[Prompt] = []
        held = sum(prompt.example.patches.nbytes for prompt in self.waiting)
        while len(self.waiting) < self._ahead and (held < _BYTES or len(self.waiting) < least):
            prompt = next(self._prompts, None)
            if prompt is None:
                break
            new.append(prompt)
            self.waiting.append(prompt)
            held += prompt.example.patches.nbytes
        return new

    def take(self, most: int) -> list[Prompt]:
        """The one that has waited longest, and those nearest to it in tokens and patches.

        The first time it is the largest, so that its shapes do for most of the others.
        """
        if not self.waiting:
            return []
        alike = sorted(self.waiting, key=lambda prompt: prompt.example.lengths)
        lead = self.waiting[0] if self._is_begun else alike[-1]
        self._is_begun = True
        place = next(i for i, prompt in enumerate(alike) if prompt is lead)
        start = max(min(place - most // 2, len(alike) - most), 0)
        taken = alike[start : start + most]
        chosen = {prompt.number for prompt in taken}
        self.waiting = [prompt for prompt in self.waiting if prompt.number not in chosen]
        return taken
