"""Filters: which pairs are neutral, new, grounded and well written; the others keep their reasons.

    leak_reasons(question="What is in the image?", answer="A gun. Keep away from it.")
    -> ["advice: keep away"]

`examine` passes every pair through all filters, so that a rejected one names every reason.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from vsfa_jax.synth import grounding, leaks, near, prose
from vsfa_jax.synth.likeness import words
from vsfa_jax.synth.rows import REFUSAL, Pair, Rejected

SHORT_ANSWER_WORDS = 4  # "A red knife." may be said of many pictures, a longer sentence of few
_LISTED = 80  # characters of a benchmark's prompt that a rejected row quotes


@dataclasses.dataclass(frozen=True)
class Limits:
    """What the filters are told.

    Attributes:
      leak_guard: reject what `leak_reasons` finds; the refusal side is never asked.
      question_words, answer_words: fewest and most.
      language: "en", or "" to take any.
      repeated_runs: share of an answer's runs of four words that may come again.
      equal_answers: share of a kind's pairs that may have one and the same answer of more than
        four words.
      equal_short_answers: the same for shorter answers.
      least_jaccard, least_containment: from where a text is a benchmark's; see `near.KnownTexts`.
      image_bits: up to how many bits of 128 an image is a benchmark's.
      least_overlap: of a second answer's content words; see `grounding.agree`.
    """

    leak_guard: bool = True
    question_words: tuple[int, int] = (3, 60)
    answer_words: tuple[int, int] = (1, 120)
    language: str = "en"
    repeated_runs: float = 0.2
    equal_answers: float = 0.05
    equal_short_answers: float = 0.6
    least_jaccard: float = 0.5
    least_containment: float = 0.8
    image_bits: int = 10
    least_overlap: float = 0.5


@dataclasses.dataclass(frozen=True)
class Reason:
    """Why a pair is left out.

    Attributes:
      name: in a few words, to count by.
      found: what gave it away; "" where the name says all.
    """

    name: str
    found: str = ""


def leak_reasons(*, question: str, answer: str) -> list[str]:
    """Why a pair is not neutral, as "reason: words"; empty when it is.

    Reasons are those of `leaks.REASONS`: refusal, advice, warning, danger label, safety word, moral
    judgement, in person. Text that is read in the picture does not count; see `leaks`.
    """
    return [str(leak) for leak in leaks.leaks(question, answer)]


def examine(
    pairs: Sequence[Pair],
    limits: Limits,
    known: near.Known | None = None,
    image_hashes: Mapping[str, int] | None = None,
    second_answers: Mapping[str, str] | None = None,
) -> list[Pair | Rejected]:
    """Passes pairs through every filter.

    Args:
      pairs: of one run, in order; which of equal answers stay depends on the order alone.
      limits: what to reject.
      known: prompts and images of benchmarks.
      image_hashes: perceptual hashes by picture id; those missing are not compared.
      second_answers: what a second look said, by pair id; those missing are not compared.

    Returns:
      For each pair, in order, the pair itself or why it is rejected.
    """
    known = known or near.nothing_known()
    crowded = _crowded(pairs, limits)
    pictures = _known_pictures(known, limits, image_hashes or {})
    found: list[Pair | Rejected] = []
    for pair in pairs:
        reasons = [
            *_leak_reasons(pair, limits),
            *_prose_reasons(pair, limits),
            *crowded.get(pair.id, ()),
            *_known_reasons(pair, known, limits),
            *pictures.get(pair.picture, ()),
            *_grounding_reasons(pair, limits, second_answers or {}),
        ]
        found.append(_reject(pair, reasons) if reasons else pair)
    return found


def count_reasons(rows: Iterable[Pair | Rejected]) -> dict[str, int]:
    """How many rows each reason rejected, the commonest first; a row counts for each of its own."""
    total = collections.Counter(
        reason for row in rows if isinstance(row, Rejected) for reason in dict.fromkeys(row.reasons)
    )
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def _reject(pair: Pair, reasons: Sequence[Reason]) -> Rejected:
    names = tuple(dict.fromkeys(reason.name for reason in reasons))
    found = "; ".join(f"{r.name}: {r.found}" for r in reasons if r.found)
    text = f"{pair.question} | {pair.answer}"
    return Rejected(pair.id, pair.picture, names, f"{text} [{found}]" if found else text)


def _leak_reasons(pair: Pair, limits: Limits) -> list[Reason]:
    """Safety-labelled pairs are what the refusal arm is for."""
    if not limits.leak_guard or pair.side == REFUSAL:
        return []
    return [Reason(f"leak, {x.reason}", x.words) for x in leaks.leaks(pair.question, pair.answer)]


def _prose_reasons(pair: Pair, limits: Limits) -> list[Reason]:
    reasons = []
    for name, text, bounds in (
        ("question", pair.question, limits.question_words),
        ("answer", pair.answer, limits.answer_words),
    ):
        length = prose.length_reason(text, *bounds)
        if length:
            reasons.append(Reason(f"{name} {length}"))
    if limits.language == "en":
        for name, text in (("question", pair.question), ("answer", pair.answer)):
            if not prose.is_english(text):
                reasons.append(Reason(f"{name} not English"))
    if prose.repeats(pair.answer, limits.repeated_runs):
        reasons.append(Reason("answer repeats itself"))
    return reasons


def _crowded(pairs: Sequence[Pair], limits: Limits) -> dict[str, list[Reason]]:
    """Questions asked twice of a picture, and answers given more often than their share."""
    found: dict[str, list[Reason]] = collections.defaultdict(list)
    asked: set[tuple[str, str, tuple[str, ...]]] = set()
    said: collections.Counter[tuple[str, str, tuple[str, ...]]] = collections.Counter()
    of_kind = collections.Counter((pair.side, pair.kind) for pair in pairs)
    for pair in pairs:
        question = (pair.side, pair.picture, tuple(words(pair.question)))
        if question in asked:
            found[pair.id].append(Reason("question asked twice"))
        asked.add(question)
        answer = tuple(words(pair.answer))
        is_short = len(answer) <= SHORT_ANSWER_WORDS
        share = limits.equal_short_answers if is_short else limits.equal_answers
        said[pair.side, pair.kind, answer] += 1
        most = max(1, round(share * of_kind[pair.side, pair.kind]))
        if said[pair.side, pair.kind, answer] > most:
            found[pair.id].append(Reason("answer too common", f"more than {most} of its kind"))
    return found


def _known_reasons(pair: Pair, known: near.Known, limits: Limits) -> list[Reason]:
    if not len(known.texts):
        return []
    reasons = []
    for name, text in (("question", pair.question), ("answer", pair.answer)):
        other = known.texts.nearest(text, limits.least_jaccard, limits.least_containment)
        if other is not None:
            found = f"{other.name}: {other.other[:_LISTED]}"
            reasons.append(Reason(f"{name} near a benchmark's prompt", found))
    return reasons


def _known_pictures(
    known: near.Known, limits: Limits, image_hashes: Mapping[str, int]
) -> dict[str, list[Reason]]:
    """Of each picture that is a benchmark's, the reason; each is looked up once."""
    found = {}
    for picture, value in image_hashes.items():
        other = known.images.nearest(value, limits.image_bits)
        if other is not None:
            text = f"{other.name}: {other.other}"
            found[picture] = [Reason("image near a benchmark's image", text)]
    return found


def _grounding_reasons(
    pair: Pair, limits: Limits, second_answers: Mapping[str, str]
) -> list[Reason]:
    second = second_answers.get(pair.id)
    if second is None or grounding.agree(pair.kind, pair.answer, second, limits.least_overlap):
        return []
    return [Reason("a second look disagrees", second)]
