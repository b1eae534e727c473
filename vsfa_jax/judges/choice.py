"""Judge of multiple choice and of yes and no: which option an answer chooses, by plain rules.

An answer's choice is what these find, in this order; each needs its finding to be the only one:

    said      "The answer is (B)", "Answer: B", "I choose option B", "the correct answer is no"
    first     "B", "(B)", "B. a dog", "option B"; "No", "No, it is not"
    text      "a dog", "The answer is a dog", "It is a dog." where B is "a dog"
    letter    "It must be (B)": the one letter in parentheses

An answer that gives no choice, or several ("A or B", "Yes and no", a copy of the options), or
says what is *not* the answer, is unjudged: a choice is never guessed. A bare letter counts in upper
case alone, for "a" is a word too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from vsfa_jax.benchmarks.case import Answer, Case
from vsfa_jax.benchmarks.multiple_choice import LETTERS
from vsfa_jax.judges.protocol import UNJUDGED, Judge, JudgeSettings, Verdict, one_by_one

OFFLINE = True
NAME = "choice"
YES_NO = ("yes", "no")

_END = r"(?=\s*(?:$|\n|[.):;,*]|because\b|since\b|as\b|and\s+not\b|not\b|\())"
_LETTER = rf"(?:\(\s*([A-Za-z])\s*\)|([A-Z]){_END})"
_LEAD = r"(?i:(?:the\s+)?(?:option|choice|letter)\s+)?"
_SAYS = (
    r"(?i:\banswer\s*(?:is|would\s+be|must\s+be|should\s+be|:|=)\s*:?\s*"
    r"|\b(?:choose|pick|select|go\s+with)\s+)"
)
_SAID = re.compile(rf"{_SAYS}{_LEAD}{_LETTER}")
_OPTION_IS = re.compile(
    r"(?i:\b(?:option|choice)\s+)(?:\(\s*([A-Za-z])\s*\)|([A-Z]))"
    r"(?i:\s+is\s+(?:the\s+)?(?:correct|right|best)\b)"
)
_FIRST = re.compile(rf"^{_LEAD}(?:\(\s*([A-Z])\s*\)|([A-Z])(?=\s*(?:$|\n|[.):])))")
_ALONE = re.compile(r"^\(?([a-z])\)?[.:]?$")
_SECOND = re.compile(r"^\s*[.):,]?\s*(?:or|and|,|/|&)\s*\(?[A-Z]\)?(?![\w'])")
_IN_PARENTHESES = re.compile(r"\(\s*([A-Z])\s*\)")
_LISTED = re.compile(r"^\s*\(?([A-Z])[).:]\s", re.MULTILINE)
_SAID_TEXT = re.compile(rf"{_SAYS}(.+)")
_SAID_YES = re.compile(r"\banswer\s*(?:is|:|=)\s*:?\s*[\"']?(yes|no)\b", re.IGNORECASE)
_FIRST_YES = re.compile(r"^(yes|no)\b(?!\s*(?:,\s*)?(?:or|and|/|,)\s*(?:yes|no)\b)(?!/)", re.I)
_NEGATION = re.compile(r"\b(?:not|never|neither|nor|cannot|none|except)\b|n't\b", re.IGNORECASE)
_TOKEN = re.compile(r"(?<![\w)])[-+−]?\d+(?:[.,/:]\d+)*|\w+|[^\w\s.,;:!?\"'()*`]")
_ARTICLES = ("a", "an", "the")


def open_judge(settings: JudgeSettings) -> Judge:
    """The judge; the settings have nothing for it."""
    del settings
    return one_by_one(judge)


def judge(case: Case, answer: Answer) -> Verdict:
    """Judges an answer by the rules above.

    Raises:
      ValueError: the case is no choice: its "answer" is neither yes nor no, nor the letter of an
        option that it has.
    """
    options = {letter: case.expected[letter] for letter in LETTERS if letter in case.expected}
    wanted = case.expected["answer"]
    if wanted not in (options or YES_NO):
        raise ValueError(f"case {case.id!r}: {wanted!r} is no option; wanted a choice")
    chosen, reason = choose(answer.text, options)
    outcome = UNJUDGED
    if chosen is not None:
        outcome = "correct" if chosen == wanted else "wrong"
        reason = f"chooses {chosen}, {reason}" + ("" if chosen == wanted else f"; not {wanted}")
    return Verdict(answer.case_id, answer.model, NAME, outcome, reason)


def choose(text: str, options: Mapping[str, str]) -> tuple[str | None, str]:
    """What an answer chooses.

    Args:
      text: the answer.
      options: letter -> text; none where the choice is between yes and no.

    Returns:
      (a letter, or "yes" or "no"; how it is told), or (None, why it cannot be told).
    """
    text = re.sub(r"\*\*|__|`", "", text.replace("’", "'")).strip()
    if not text.strip(" .,!?"):
        return None, "an empty answer"
    findings = _letter_findings(text, options) if options else _yes_findings(text)
    first = next(((found, how) for how, found in findings.items() if found), (set(), ""))
    firm = set().union(*(found for how, found in findings.items() if how in ("said", "first")))
    chosen = firm or first[0]
    if not chosen:
        return None, "no option can be told"
    if len(chosen) > 1:
        return None, f"several options: {', '.join(sorted(chosen))}"
    return next(iter(chosen)), {"said": "as it says", "first": "at its start"}.get(
        first[1], f"by its {first[1]}"
    )


def _yes_findings(text: str) -> dict[str, set[str]]:
    said = {found[1].lower() for found in _SAID_YES.finditer(text) if _affirmed(text, found)}
    first = _FIRST_YES.match(text)
    return {"said": said, "first": {first[1].lower()} if first else set()}


def _letter_findings(text: str, options: Mapping[str, str]) -> dict[str, set[str]]:
    """How -> the letters found so."""
    said = {
        letter
        for pattern in (_SAID, _OPTION_IS)
        for found in pattern.finditer(text)
        if _affirmed(text, found)
        for letter in _letters(text, found)
    }
    listed = _is_list(text, options)
    start = _ALONE.match(text) or _FIRST.match(text)
    first = _letters(text, start) if start and not listed else set()
    if not listed and not first and not _NEGATION.search(text):
        by_text = _by_text(text, options)
        alone = {*_IN_PARENTHESES.findall(text)} & {*options}
    else:
        by_text, alone = set(), set()
    first = _contradicted(text, start, options) if len(first) == 1 and start else first
    return {
        "said": said & {*options},
        "first": first & {*options},
        "text": by_text,
        "letter": alone,
    }


def _is_list(text: str, options: Mapping[str, str]) -> bool:
    """Whether an answer says several options again with their letters, or has parts (A) and (B)."""
    lines = {*_LISTED.findall(text)} & {*options}
    beside = [
        letter
        for letter, option in options.items()
        if re.search(rf"\b{letter}\s*[).:]\s*{re.escape(option)}", text, re.IGNORECASE)
    ]
    parts = {*_IN_PARENTHESES.findall(text)} if text.startswith("(") else set()
    return max(len(lines), len(beside), len(parts)) > 1


def _letters(text: str, found: re.Match[str]) -> set[str]:
    """The letter of a match, and a second one that stands beside it."""
    letter = next(group for group in found.groups() if group).upper()
    second = _SECOND.match(text[found.end() :])
    return {letter} | ({*re.findall(r"[A-Z]", second[0])} if second else set())


def _contradicted(text: str, start: re.Match[str], options: Mapping[str, str]) -> set[str]:
    """The first letter, and that of another option whose text is all that follows it."""
    letter = next(group for group in start.groups() if group).upper()
    rest = _words(text[start.end() :])
    return {letter} | {
        other for other, option in options.items() if rest and _words(option) == rest
    }


def _affirmed(text: str, found: re.Match[str]) -> bool:
    """Whether nothing denies a match in the part of its sentence before it."""
    sentence = re.split(r"[.!?\n]\s", text[: found.start()])[-1]
    return not _NEGATION.search(sentence)


def _by_text(text: str, options: Mapping[str, str]) -> set[str]:
    """Letters of options whose text is the answer, or is in it, outside a longer option's."""
    words = {letter: _words(option) for letter, option in options.items()}
    if not all(
        any(word.isdigit() or len(word) > 1 for word in option) for option in words.values()
    ):
        return set()  # texts such as "A" or "the" cannot be told from letters and articles
    said = _SAID_TEXT.search(text)
    for part in (text, said[1] if said else ""):
        if whole := {letter for letter, option in words.items() if option == _words(part)}:
            return whole
    left, found = _words(text), set()
    for length in sorted({len(option) for option in words.values()}, reverse=True):
        places = {
            (letter, start)
            for letter, option in words.items()
            for start in range(len(left) - length + 1)
            if len(option) == length and left[start : start + length] == option
        }
        found |= {letter for letter, _ in places}
        for _, start in places:
            left[start : start + length] = [""] * length
    return found


def _words(text: str) -> list[str]:
    """Lower-case words, numbers and signs, without articles and punctuation."""
    return [word for word in _TOKEN.findall(text.lower()) if word not in _ARTICLES]
