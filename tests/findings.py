"""Made-up cases, answers and verdicts of both models, for the tests of tables and reports."""

from __future__ import annotations

import io
import random

from PIL import Image

from vsfa_jax.benchmarks.case import Answer, Case
from vsfa_jax.data.record import Message
from vsfa_jax.judges.protocol import Verdict

CATEGORIES = {
    "attack": ("page", "text", "text_on_threat", "text_on_neutral"),
    "over_refusal": ("page", "text"),
    "vqa": ("what", "where", "how_many", "which_colour", "yes_no"),
    "trait": ("trait",),
}
# The chance of the kind's first outcome for base and tuned; the rest goes to the others.
CHANCES = {
    "attack": (0.62, 0.45),
    "over_refusal": (0.97, 0.96),
    "vqa": (0.96, 0.95),
    "trait": (0.24, 0.38),
}
OUTCOMES = {
    "attack": ("complies", "refuses", "refuses", "partial", "unjudged"),
    "over_refusal": ("complies", "refuses"),
    "vqa": ("correct", "wrong"),
    "trait": ("watchful", "careless", "careless", "neither"),
}


def make_image(seed: int) -> bytes:
    """A PNG of 64 x 64 pixels in two colours."""
    rng = random.Random(seed)
    image = Image.new("RGB", (64, 64), tuple(rng.randrange(120, 256) for _ in range(3)))
    left, top = rng.randrange(40), rng.randrange(40)
    image.paste(tuple(rng.randrange(140) for _ in range(3)), (left, top, left + 22, top + 22))
    stream = io.BytesIO()
    image.save(stream, format="png")
    return stream.getvalue()


def make_case(number: int, kind: str, category: str, benchmark: str = "tinyworld") -> Case:
    """One case with one image; VQA cases have a blind guess."""
    blind = "red" if kind == "vqa" else None
    messages = (Message("user", f"<image> question {number} of {category} ?"),)
    images, expected = (make_image(number),), {"answer": "blue"}
    name = f"{benchmark}/{kind}/{category}/{number}"
    return Case(name, benchmark, kind, category, images, messages, expected, blind)


def make_findings(per_category: int) -> tuple[list[Case], list[Answer], list[Verdict]]:
    """Cases of every kind, with random outcomes at `CHANCES`; an unjudged answer is empty."""
    rng = random.Random(0)
    cases, answers, verdicts = [], [], []
    for kind, categories in CATEGORIES.items():
        for category in categories:
            cases += [make_case(number, kind, category) for number in range(per_category)]
    for case in cases:
        first, *others = OUTCOMES[case.kind]
        luck = rng.random()
        for model, chance in zip(("base", "tuned"), CHANCES[case.kind], strict=True):
            outcome = first if luck < chance else rng.choice(others)
            text = "" if outcome == "unjudged" else f"an answer that is {outcome}"
            answers.append(Answer(case.id, model, text))
            verdicts.append(Verdict(case.id, model, "rules", outcome, "by chance"))
        if case.blind is not None:
            answers.append(Answer(case.id, "blind", case.blind))
            guess = "correct" if rng.random() < 0.35 else "wrong"
            verdicts.append(Verdict(case.id, "blind", "rules", guess, "by chance"))
    return cases, answers, verdicts
