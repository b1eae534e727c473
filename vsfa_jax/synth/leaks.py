"""The leak guard: finds safety words, refusals, warnings, advice and judgement in a pair.

What an answer may do is say what there is to see, weapons and fire and wolves included. What it may
not do is say what to think of it or what to do about it. A label of harmlessness is a label as well:
"is not dangerous" leaks like "is dangerous".

Text that is seen in the picture is not the answer's own. It is left out where the question asks for
text, or where a sign, a title or a verb of reading introduces it, in quotation marks or not:

    What does the sign say?   DANGER. Keep out.                        neutral
    What is on the fence?     A sign that reads "Danger, keep out".    neutral
    What is on the fence?     A sign. Keep out, it is dangerous.       advice, danger label

A capitalised word inside a sentence is a name: "a poster of the film Dangerous Minds".
"""

from __future__ import annotations

import dataclasses
import functools
import re
import unicodedata
from collections.abc import Iterator, Mapping

from vsfa_jax.synth.leak_rules import NEUTRAL, OF_ANSWERS, RULES, SEEN_TEXT
from vsfa_jax.synth.leak_words import CLASSES

_MASK = "thing"  # stands where something neutral was
_TEXT = "text"  # stands where something read was
_SIGNS = str.maketrans("‘’‛ʼ′´`“”„‟″«»‹›–—−…", "'''''''\"\"\"\"\"\"\"\"\"---.")
_INVISIBLE = re.compile(r"[\u00ad\u200b-\u200f\u2060\ufeff]")
_SENTENCE_END = re.compile(r"(?<=[.!?;\n])[\"')\]]*\s+|\n+")
_CONTRACTIONS = (
    (r"\bcan(?:not|'t)", "can not"),
    (r"\bwon't", "will not"),
    (r"\bshan't", "shall not"),
    (r"n't\b", " not"),
    (r"'re\b", " are"),
    (r"'ve\b", " have"),
    (r"'ll\b", " will"),
    (r"'d\b", " would"),
    (r"\bi'm\b", "i am"),
    (r"\blet's\b", "let us"),
    (r"\b(it|that|this|there|what|he|she|here|who|where)'s\b", r"\1 is"),
)
_ASKS_TEXT = re.compile(
    r"\b(?:what|which|how)\b.*\b(?:say|says|read|reads|written|printed|text|letters|lettering|"
    r"inscription|slogan|message|title|headline|caption|spelled|words?|label(?:led|ed)|called|named)\b"
    r"|\bread (?:out )?the\b|\b(?:transcribe|quote)\b|\bwhat (?:does|do|is)\b.*\bwarn"
)
_ASKS_OPINION = re.compile(r"\bsay about|\bword (?:best |that )?(?:describes?|sums?)|\bin (?:one|a) word")
_QUOTED = re.compile(r"\"[^\"]*\"|(?<!\w)'[^']*(?:\w'\w[^']*)*'(?!\w)")
_CAPITALS = re.compile(r"\b[A-Z]{2,}[A-Z'0-9]*(?:[\s,.!:-]+[A-Z0-9]{2,}\b)*")
_NAME = re.compile(r"(?<![.!?:]\s)(?<=[\w,'\"-]\s)[A-Z][a-z]+(?: [A-Z][a-z]+)*|^[A-Z][a-z]+(?: [A-Z][a-z]+)+")
_NEVER_NAMES = frozenset({"I", "You", "One", "We"})
_SPEAKS = re.compile(
    r"\b(?:i|we|you|sorry|because|therefore|so|it is|this is|should|must|one|people|everyone|means?|"
    r"advisable|recommended|important|best|wise|which)\b"
)
_TOLD = re.compile(r"\b(?:written|printed|painted|there (?:is|are))\b")
_BEFORE, _AFTER = 90, 40  # characters around a quotation in which what carries it is looked for


# Every reason there is. "in person": the speaker or the reader is spoken of.
REASONS = tuple(dict.fromkeys([*RULES, *OF_ANSWERS]))


@dataclasses.dataclass(frozen=True)
class Leak:
    """One find: its reason, one of `REASONS`, and the words that gave it away."""

    reason: str
    words: str

    def __str__(self) -> str:
        return f"{self.reason}: {self.words}"


def leaks(question: str, answer: str) -> list[Leak]:
    """What in a pair is not neutral, in reading order, each find once."""
    asked, said = normalise(question), normalise(answer)
    found = _find(asked, _rules(), asks_text=False)
    found += _find(said, _rules(of_answers=True), asks_text=asks_for_text(asked))
    return list(dict.fromkeys(found))


def normalise(text: str) -> str:
    """Typographic signs, widths and accents made plain; one space between words."""
    text = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text).translate(_SIGNS))
    text = unicodedata.normalize("NFKD", text.translate(_SIGNS))
    text = "".join(c for c in text if not unicodedata.combining(c))
    return re.sub(r"[^\S\n]+", " ", text).strip()


def asks_for_text(question: str) -> bool:
    """Whether a normalised question asks what is written in the picture."""
    question = question.lower()
    return bool(_ASKS_TEXT.search(question)) and not _ASKS_OPINION.search(question)


def _find(text: str, rules: Mapping[str, list[re.Pattern[str]]], *, asks_text: bool) -> list[Leak]:
    found = []
    reads_on = asks_text and not _QUOTED.search(text) and not _TOLD.search(text.lower())
    for number, sentence in enumerate(_sentences(text, asks_text)):
        sentence = _mask(sentence, asks_text, read_out=asks_text and (reads_on or number == 0))
        for reason, patterns in rules.items():
            for pattern in patterns:
                match = pattern.search(sentence)
                if match:
                    found.append(Leak(reason, match.group().strip(" ,:-")))
                    break
    return found


def _sentences(text: str, asks_text: bool) -> Iterator[str]:
    """Sentences, quotations of seen text left out before they could part one."""
    carrier = _patterns()["carrier"]

    def quoted(match: re.Match[str]) -> str:
        around = text[max(0, match.start() - _BEFORE) : match.start()]
        around += " " + text[match.end() : match.end() + _AFTER]
        seen = asks_text or carrier.search(around.lower())
        return _TEXT if seen else " " + match.group()[1:-1] + " "

    for part in _SENTENCE_END.split(_QUOTED.sub(quoted, text)):
        if part and part.strip():
            yield part.strip()


def _mask(sentence: str, asks_text: bool, read_out: bool) -> str:
    """A sentence in lower case without what is neutral in it."""
    patterns = _patterns()
    if asks_text or patterns["carrier"].search(sentence.lower()):
        sentence = _CAPITALS.sub(_TEXT, sentence)
    sentence = _NAME.sub(_name, sentence)
    sentence = sentence.lower().strip(" .!?\"'()")
    for pattern, plain in _CONTRACTIONS:
        sentence = re.sub(pattern, plain, sentence)
    if read_out:
        sentence = _read_out(sentence)
    for number in range(len(NEUTRAL)):
        sentence = patterns[f"neutral {number}"].sub(_MASK, sentence)
    for number in range(len(SEEN_TEXT)):
        seen = patterns[f"seen {number}"].search(sentence)
        if seen and patterns["carrier"].search(sentence):
            sentence = sentence[: seen.end()] + _after_quotation(sentence[seen.end() :])
    return sentence


def _name(match: re.Match[str]) -> str:
    """Masks a name; a word that merely begins a quotation or "I" stays."""
    return match.group() if match.group() in _NEVER_NAMES else _MASK


def _read_out(sentence: str) -> str:
    """The answer to "what does it say?" is what it says, unless someone speaks of themselves."""
    return sentence if _SPEAKS.search(sentence) else _TEXT


def _after_quotation(rest: str) -> str:
    """What follows an unquoted text in its sentence: from where the speaker goes on."""
    goes_on = re.search(r"[,-] ?(?:and|so|which|meaning|because|therefore|you|it|as|indicating)\b.*", rest)
    return f"{_TEXT} {goes_on.group()}" if goes_on else _TEXT


@functools.cache
def _rules(of_answers: bool = False) -> dict[str, list[re.Pattern[str]]]:
    more = OF_ANSWERS if of_answers else {}
    return {
        reason: [_compile(text) for text in (*RULES.get(reason, ()), *more.get(reason, ()))]
        for reason in REASONS
    }


@functools.cache
def _patterns() -> dict[str, re.Pattern[str]]:
    """The patterns that are looked up by name."""
    named = {f"neutral {i}": text for i, text in enumerate(NEUTRAL)}
    named |= {f"seen {i}": text for i, text in enumerate(SEEN_TEXT)}
    named["carrier"] = "{carrier}"
    return {name: _compile(text) for name, text in named.items()}


def _compile(text: str) -> re.Pattern[str]:
    """A pattern of `leak_rules` as a regular expression that begins and ends at words."""
    text = re.sub(r"\{(start|\.\.\d|\w+\*?)\}", _expand, text)
    return re.compile(rf"(?<![\w'])(?:{text})(?![\w])")


def _expand(match: re.Match[str]) -> str:
    name = match.group(1)
    if name == "start":
        return rf"(?:(?:^|(?<=[,:-]) ?)(?:{_union('lead')}[ ,]+)*)"
    if name.startswith(".."):
        return rf"(?:[\w'-]+ ){{0,{name[2:]}}}"
    union = _union(name.rstrip("*"))
    return rf"(?:{union} )*" if name.endswith("*") else union


def _union(name: str) -> str:
    return "(?:" + "|".join(sorted(CLASSES[name], key=len, reverse=True)) + ")"
