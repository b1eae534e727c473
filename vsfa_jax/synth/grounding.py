"""Whether two answers to the same question about the same picture agree.

A second look, by the same teacher or another, is asked the question without being told the first
answer. Agreement is judged by kind: numbers for counts, colours by name, yes and no, and otherwise
by the words that carry meaning.
"""

from __future__ import annotations

from vsfa_jax.synth.likeness import words

NUMBERS = {
    name: number
    for number, names in enumerate(
        (
            *(("zero", "none", "no", "nothing", "neither"), ("one", "single", "a", "an", "once")),
            *(("two", "both", "pair", "couple", "twice"), ("three",), ("four",), ("five",)),
            *(("six",), ("seven",), ("eight",), ("nine",), ("ten",), ("eleven",), ("twelve",)),
        )
    )
    for name in names
}
COLOURS = frozenset(
    {
        *("red", "orange", "yellow", "green", "blue", "purple", "violet", "pink", "brown", "black"),
        *("white", "grey", "beige", "cyan", "turquoise", "golden", "silver", "magenta", "teal"),
    }
)
_SPELLED = {"gray": "grey", "color": "colour", "gold": "golden", "centre": "center"}
_OPPOSITES = (("left", "right"), ("above", "below"), ("top", "bottom"), ("open", "closed"))
_EMPTY = frozenset(
    {
        *("the", "a", "an", "of", "and", "in", "on", "at", "to", "is", "are", "was", "were", "it"),
        *("its", "with", "by", "from", "that", "this", "there", "as", "for", "or", "be", "has"),
        *("have", "had", "which", "image", "picture", "photo", "scene", "shows", "shown", "show"),
        *("visible", "seen", "can", "see", "i", "he", "she", "they", "his", "her", "their", "one"),
        "some",
    }
)
_STEMMED = ("ing", "es", "ed", "s")
_LEAST_STEM = 4  # letters that an ending leaves


def agree(kind: str, first: str, second: str, least_overlap: float = 0.5) -> bool:
    """Whether two answers say the same.

    Args:
      kind: of the question, one of `rows.KINDS`; "count" and "colour" have rules of their own.
      first, second: the answers.
      least_overlap: the share of the shorter answer's content words that the longer one must have.
    """
    one, other = _plain(first), _plain(second)
    if _yes_or_no(one) is not None and _yes_or_no(other) is not None:
        if _yes_or_no(one) != _yes_or_no(other):
            return False
        if min(len(one), len(other)) == 1:
            return True
    if kind == "count":
        counts = _number(one), _number(other)
        if None not in counts:
            return counts[0] == counts[1]
    if kind == "colour":
        colours = COLOURS & set(one), COLOURS & set(other)
        if all(colours):
            return colours[0] <= colours[1] or colours[1] <= colours[0]
    return not _opposed(one, other) and _overlap(one, other) >= least_overlap


def _plain(text: str) -> list[str]:
    return [_SPELLED.get(word, word) for word in words(text)]


def _yes_or_no(found: list[str]) -> str | None:
    return found[0] if found and found[0] in ("yes", "no") else None


def _number(found: list[str]) -> int | None:
    """The first number said; articles count only if nothing else does."""
    for word in found:
        if word.isdecimal():
            return int(word)
        if word in NUMBERS and word not in ("a", "an", "no"):
            return NUMBERS[word]
    return next((NUMBERS[word] for word in found if word in NUMBERS), None)


def _opposed(one: list[str], other: list[str]) -> bool:
    """Whether one answer says left where the other says right, and so on."""
    return any(
        (a in one and b in other and a not in other and b not in one)
        or (b in one and a in other and b not in other and a not in one)
        for a, b in _OPPOSITES
    )


def _overlap(one: list[str], other: list[str]) -> float:
    first, second = _content(one), _content(other)
    if not first or not second:
        return float(one == other)
    return len(first & second) / min(len(first), len(second))


def _content(found: list[str]) -> set[str]:
    """Words that carry meaning, without their commonest endings."""
    return {_stem(word) for word in found if word not in _EMPTY}


def _stem(word: str) -> str:
    for ending in _STEMMED:
        if word.endswith(ending) and len(word) - len(ending) >= _LEAST_STEM:
            return word[: -len(ending)]
    return word
