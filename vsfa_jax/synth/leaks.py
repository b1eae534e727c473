"""The leak guard: finds safety words, refusals, warnings, advice and judgement in a pair.

An answer may say what there is to see, weapons and fire and wolves included. It may not say what to
think of it or what to do about it. A label of harmlessness is a label as well: "is not dangerous"
leaks as "is dangerous" does.

Text that is seen in the picture is not the answer's own. It is left out where the question asks for
text, or where a sign, a title or a verb of reading introduces it, in quotation marks or not:

    What does the sign say?   DANGER. Keep out.                        neutral
    What is on the fence?     A sign that reads "Danger, keep out".    neutral
    What is on the fence?     A sign. Keep out, it is dangerous.       advice, danger label

A capitalised word inside a sentence is a name: "a poster of the film Dangerous Minds".
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Iterator, Mapping

from vsfa_jax.synth.leak_grammar import grammar

# "in person": the speaker or the reader is spoken of, who are not in the picture.
REASONS = (
    *("refusal", "advice", "warning", "danger label", "safety word", "moral judgement"),
    "in person",
)
_MASK = "thing"  # stands where something neutral was
_TEXT = "text"  # stands where something read was
_PLAIN_FOR = {"'": "‘’‛ʼ′´`", '"': "“”„‟″«»‹›", "-": "–—−‐‑", ".": "…"}
_SIGNS = str.maketrans({sign: plain for plain, signs in _PLAIN_FOR.items() for sign in signs})
_INVISIBLE = re.compile(r"[\u00ad\u200b-\u200f\u2060\ufeff]")
_SENTENCE_END = re.compile(r"(?<=[.!?;\n])[\"')\]]*\s+|\n+")
_CONTRACTIONS = (
    (re.compile(r"\bcan(?:not|'t)"), "can not"),
    (re.compile(r"\bwon't"), "will not"),
    (re.compile(r"\bshan't"), "shall not"),
    (re.compile(r"n't\b"), " not"),
    (re.compile(r"'re\b"), " are"),
    (re.compile(r"'ve\b"), " have"),
    (re.compile(r"'ll\b"), " will"),
    (re.compile(r"'d\b"), " would"),
    (re.compile(r"\bi'm\b"), "i am"),
    (re.compile(r"\blet's\b"), "let us"),
    (re.compile(r"\b(it|that|this|there|what|he|she|here|who|where)'s\b"), r"\1 is"),
)
_ASKS_TEXT = re.compile(
    r"\b(?:what|which|how)\b.*\b(?:say|says|read|reads|written|printed|text|letters|lettering|"
    r"inscription|slogan|message|title|headline|caption|spelled|words?|label(?:led|ed)|called|"
    r"named)\b"
    r"|\bread (?:out )?the\b|\b(?:transcribe|quote)\b|\bwhat (?:does|do|is)\b.*\bwarn"
)
_ASKS_OPINION = re.compile(
    r"\bsay about|\bword (?:best |that )?(?:describes?|sums?)|\bin (?:one|a) word"
)
_QUOTED = re.compile(r"\"[^\"]*\"|(?<!\w)'[^']*(?:\w'\w[^']*)*'(?!\w)")
_CAPITALS = re.compile(r"\b[A-Z]{2,}[A-Z'0-9]*(?:[\s,.!:-]+[A-Z0-9]{2,}\b)*")
_NAME = re.compile(
    r"(?<![.!?:]\s)(?<=[\w,'\"-]\s)[A-Z][a-z]+(?: [A-Z][a-z]+)*|^[A-Z][a-z]+(?: [A-Z][a-z]+)+"
)
_NO_NAMES = frozenset({"I", "You", "One", "We"})
# Marks of somebody who speaks, in an answer that might be nothing but text of the picture.
_SPEAKS = re.compile(
    r"\b(?:i|we|you|sorry|because|therefore|so|it is|this is|that is|should|must|one|people|"
    r"everyone|means?|meaning|may|might|could|advisable|recommended|important|best|wise|which)\b"
)
_TOLD = re.compile(r"\b(?:written|printed|painted|there (?:is|are))\b")
_GOES_ON = re.compile(r"[,-] ?(?:and|so|which|meaning|because|therefore|you|it|as|indicating)\b.*")
_MOST_READ = 8  # words of an unquoted answer that may be nothing but text of the picture
_BEFORE, _AFTER = 90, 40  # characters around a quotation in which what carries it is looked for


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
    found = _find(asked, grammar().of_questions, asks_text=False)
    found += _find(said, grammar().of_answers, asks_text=asks_for_text(asked))
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


def _find(
    text: str, constructions: Mapping[str, re.Pattern[str]], *, asks_text: bool
) -> list[Leak]:
    found = []
    reads_on = asks_text and not _QUOTED.search(text) and not _TOLD.search(text.lower())
    for number, sentence in enumerate(_sentences(text, asks_text)):
        masked = _mask(sentence, asks_text, read_out=asks_text and (reads_on or number == 0))
        for reason, pattern in constructions.items():
            match = pattern.search(masked)
            if match:
                found.append(Leak(reason, match.group().strip(" ,:-")))
    return found


def _sentences(text: str, asks_text: bool) -> Iterator[str]:
    """Sentences, quotations of seen text left out before they could part one."""

    def quoted(match: re.Match[str]) -> str:
        around = text[max(0, match.start() - _BEFORE) : match.start()]
        around += " " + text[match.end() : match.end() + _AFTER]
        is_seen = asks_text or grammar().carrier.search(around.lower())
        return _TEXT if is_seen else " " + match.group()[1:-1] + " "

    for part in _SENTENCE_END.split(_QUOTED.sub(quoted, text)):
        if part.strip():
            yield part.strip()


def _mask(sentence: str, asks_text: bool, read_out: bool) -> str:
    """A sentence in lower case without what is neutral in it."""
    rules = grammar()
    if asks_text or rules.carrier.search(sentence.lower()):
        sentence = _CAPITALS.sub(_TEXT, sentence)
    sentence = _NAME.sub(_name, sentence)
    sentence = sentence.lower().strip(" .!?\"'()")
    for pattern, plain in _CONTRACTIONS:
        sentence = pattern.sub(plain, sentence)
    is_short = len(sentence.split()) <= _MOST_READ
    if read_out and is_short and not _SPEAKS.search(sentence):
        return _TEXT
    for pattern in rules.neutral:
        sentence = pattern.sub(_MASK, sentence)
    seen = rules.seen_text.search(sentence)
    if seen and rules.carrier.search(sentence):
        goes_on = _GOES_ON.search(sentence, seen.end())
        sentence = f"{sentence[: seen.end()]} {_TEXT} {goes_on.group() if goes_on else ''}"
    return sentence


def _name(match: re.Match[str]) -> str:
    """Masks a name; "I" and what else is written with a capital stays."""
    return match.group() if match.group() in _NO_NAMES else _MASK
