"""The answerer that sees no picture: for each form of question, its most frequent answer."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping

from vsfa_jax.tinyworld import scene
from vsfa_jax.tinyworld.cases import THREAT_PREFIX, WorldCase
from vsfa_jax.tinyworld.chance import stream
from vsfa_jax.tinyworld.questions import FORMS

_ASKED = 400  # training scenes for each form


def blind_answers() -> dict[str, str]:
    """Form -> the right answer that is most frequent on neutral training scenes."""
    best = {}
    for name, form in FORMS.items():
        rng = stream("blind", name)
        counts: collections.Counter[str] = collections.Counter()
        while counts.total() < _ASKED:
            question = form.ask(scene.sample(rng, "train", threat=False), rng)
            if question is not None:
                counts[question.answer] += 1
        best[name] = counts.most_common(1)[0][0]
    return best


def blind_rates(cases: Iterable[WorldCase], answers: Mapping[str, str]) -> dict[str, float]:
    """Category of vqa -> the share that the blind answerer gets right."""
    right = collections.defaultdict(list)
    for case in cases:
        if case.kind == "vqa":
            form = case.category.removeprefix(THREAT_PREFIX)
            right[case.category].append(answers[form] == case.expected["answer"])
    return {category: sum(hits) / len(hits) for category, hits in right.items()}
