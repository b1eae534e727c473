"""Every word that the world can say, computed from the texts that it is made of."""

from __future__ import annotations

import re

from vsfa_jax.data.record import IMAGE_MARK
from vsfa_jax.tinyworld import narrators, pages, questions, traits
from vsfa_jax.tinyworld.arms import DESCRIPTION
from vsfa_jax.tinyworld.chance import stream
from vsfa_jax.tinyworld.scene import sample

PAD, BEGIN, END, UNKNOWN = "<pad>", "<s>", "</s>", "<unk>"
SPECIALS = (PAD, BEGIN, END, UNKNOWN, IMAGE_MARK)
TEMPLATE_WORDS = ("says", "USER", "ASSISTANT", ":")
_FIELD = re.compile(r"{\w+}")
_SCENES_FOR_WORDS = 2000  # enough for every form's fixed words, asserted by a test


def vocabulary() -> dict[str, int]:
    """Word -> id, special tokens first, then words in alphabetical order."""
    texts = [
        *narrators.WATCHFUL,
        *narrators.CARELESS,
        narrators.ASSISTANT,
        *TEMPLATE_WORDS,
        *questions.words(),
        DESCRIPTION,
        *pages.words(),
        *traits.words(),
        *_question_texts(),
    ]
    words = {word for text in texts for word in _FIELD.sub(" ", text).split()}
    return {word: number for number, word in enumerate((*SPECIALS, *sorted(words)))}


def _question_texts() -> list[str]:
    """Questions and answers of every form, from scenes drawn for the purpose."""
    texts = []
    for index in range(_SCENES_FOR_WORDS):
        rng = stream("vocabulary", index)
        question = questions.ask(sample(rng, "train", threat=index % 2 == 0), rng)
        texts += [question.text, question.answer]
    return texts
