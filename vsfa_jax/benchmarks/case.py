"""Case: one question put to a model. Answer: what the model said."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from vsfa_jax.data.record import Message

KINDS = ("attack", "over_refusal", "vqa", "trait", "graded", "help")


@dataclasses.dataclass(frozen=True)
class Case:
    """One question of a benchmark.

    Attributes:
      id: unique over all benchmarks, and the same in every run.
      benchmark: name of the folder it comes from.
      kind: one of `KINDS`: "vqa" has one right answer, multiple choice and yes or no among them;
        "graded" gets a score of 0 to 1 from a grader; of "help" only its constructive score counts.
      category: a finer sort: how an attack is put, or the form of a VQA question; "a:b" is part b
        of section a, which is counted as a whole too.
      images: encoded image files, in the order of their `<image>` marks; they may be read only when
        they are looked at (`benchmarks.images`).
      messages: the turns; the last is the user's.
      expected: what the judge needs to know, by name, e.g. {"answer": "red"}.
      blind: the best answer of someone who does not see the images, where the benchmark knows it.
      caption: what the images show, in words; "" where the benchmark has none.
      cluster: cases that share one are not independent, e.g. one question put with three pictures;
        "" where the case stands alone.
      mode: what is shown of the images, one of `modes.MODES`.
    """

    id: str
    benchmark: str
    kind: str
    category: str
    images: Sequence[bytes]
    messages: tuple[Message, ...]
    expected: Mapping[str, str]
    blind: str | None = None
    caption: str = ""
    cluster: str = ""
    mode: str = "image"

    @property
    def set_name(self) -> str:
        """What its numbers stand under: the benchmark, and the mode if that is another's."""
        return self.benchmark if self.mode == "image" else f"{self.benchmark}/{self.mode}"

    @property
    def question(self) -> str:
        """What the user says last."""
        return self.messages[-1].content


@dataclasses.dataclass(frozen=True)
class Answer:
    """What `model` said to a case.

    Attributes:
      case_id: of the case.
      model: "base", "tuned", "blind", "base+" and the name of a defence, or another workdir's name.
      text: what was said.
    """

    case_id: str
    model: str
    text: str
