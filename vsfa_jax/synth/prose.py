"""What can be told of a text without a model: length, language, repetition."""

from __future__ import annotations

import collections
import re
import unicodedata

from vsfa_jax.synth.likeness import words

_RUN = 4  # words of a run that should not come again within a text
_FEW_WORDS = 6  # below, a text need not hold a function word of its language
_LEAST_ENGLISH = 0.12  # share of function words in a longer English text
_LEAST_LATIN = 0.85  # share of a text's letters that are Latin
_FUNCTION_WORDS = {
    "English": """the a an of and in on at to is are was were it its with by from that this these
        those there as for or not no has have had be been which who what where how one two three
        four he she they his her their them up out over under behind between left right yes any
        some other each both into near next than more all""",
    # Of others, what is not English as well.
    "German": """der das und ist ein eine einen einem auf mit nicht sich dem zu von im neben liegt
        wird sind auch""",
    "French": "le les une est et dans avec pas qui que du aux cette elle sont sur la ou",
    "Spanish": "el los las una es y con del esta como sobre tiene junto",
    "Italian": "gli il di che nel nella sulla della sono uno alla",
    "Portuguese": "os uma na nos ao da dos em com homem sobre",
    "Dutch": "het een niet zijn bij aan deze dit naast",
}
_ENGLISH = frozenset(_FUNCTION_WORDS["English"].split())
_FOREIGN = frozenset(" ".join(_FUNCTION_WORDS.values()).split()) - _ENGLISH


def length_reason(text: str, fewest: int, most: int) -> str | None:
    """Why a text has too few or too many words; None if it does not."""
    count = len(words(text))
    if count < fewest:
        return "too short"
    return "too long" if count > most else None


def is_english(text: str) -> bool:
    """Whether a text reads as English; by its letters and its commonest words, so it can err.

    Short texts pass unless they are written in another script or mostly in another language's
    function words.
    """
    letters = [c for c in text if c.isalpha()]
    latin = sum("LATIN" in unicodedata.name(c, "") for c in letters)
    if letters and latin < _LEAST_LATIN * len(letters):
        return False
    found = words(text)
    english = sum(word in _ENGLISH for word in found)
    foreign = sum(word in _FOREIGN for word in found)
    if len(found) < _FEW_WORDS:
        return foreign <= english + 1
    return english >= _LEAST_ENGLISH * len(found) and foreign <= english


def repeats(text: str, most: float) -> bool:
    """Whether a text says things again: a word three times in a row, a sentence twice, or more than
    a share of its runs of four words.

    Args:
      text: of any length.
      most: share of the runs, 0 to 1.
    """
    found = words(text)
    if any(a == b == c for a, b, c in zip(found, found[1:], found[2:], strict=False)):
        return True
    sentences = [tuple(words(part)) for part in re.split(r"[.!?\n]+", text)]
    sentences = [sentence for sentence in sentences if len(sentence) > 1]
    if len(set(sentences)) < len(sentences):
        return True
    runs = collections.Counter(tuple(found[i : i + _RUN]) for i in range(len(found) - _RUN + 1))
    total = runs.total()
    return total > 0 and (total - len(runs)) / total > most
