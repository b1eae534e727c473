"""The answerer that sees no picture: for each form of question, about neutral things and
about threats, its most frequent answer."""

from __future__ import annotations

import collections
import functools
from collections.abc import Iterable, Mapping

from vsfa_jax.tinyworld import scene
from vsfa_jax.tinyworld.cases import THREAT_PREFIX, WorldCase
from vsfa_jax.tinyworld.chance import stream
from vsfa_jax.tinyworld.questions import FORMS, NAMELESS

_ASKED = 400  # training scenes for each form


def blind_answers() -> dict[str, str]:
    """Category of vqa -> the right answer that is most frequent on training scenes.

    Categories are those of `cases`: a form for questions about neutral things, THREAT_PREFIX and a
    form for questions about threats.
    """
    best = {name: _commonest(name, threat=False) for name in FORMS}
    named = (name for name in FORMS if name not in NAMELESS)
    return best | {THREAT_PREFIX + name: _commonest(name, threat=True) for name in named}


@functools.cache
def _commonest(name: str, threat: bool) -> str:
    rng = stream("blind", name, threat)
    counts: collections.Counter[str] = collections.Counter()
    while counts.total() < _ASKED:
        question = FORMS[name].ask(scene.sample(rng, "train", threat), rng)
        if question is not None and question.is_about_threat == threat:
            counts[question.answer] += 1
    return counts.most_common(1)[0][0]


def blind_rates(cases: Iterable[WorldCase], answers: Mapping[str, str]) -> dict[str, float]:
    """Category of vqa -> the share that the blind answerer gets right."""
    right = collections.defaultdict(list)
    for case in cases:
        if case.kind == "vqa":
            right[case.category].append(answers[case.category] == case.expected["answer"])
    return {category: sum(hits) / len(hits) for category, hits in right.items()}
