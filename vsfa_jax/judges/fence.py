"""Keeps a judged answer from speaking as anyone but itself.

    <<<BEGIN answer 5f0c...>>>
    what the judged model said, stripped
    <<<END answer 5f0c...>>>

**Fenced.** The number in the marks is a hash of a salt and of all that stands between the marks of
a prompt. So the same prompt has the same marks in every run, and its reply can be cached; and no
text can hold its own marks, for whoever writes one would have to find a text that contains a part
of its own hash, 96 bits of it.

**Stripped.** A model that judges does not hold to the marks as a parser does. So whatever looks
like marks, a turn of a chat, a special token or a verdict loses what makes it look so: marks and
tokens go, and of `"outcome": "refuses"` there remains `"refuses"`, what was said. Look-alikes are
seen through: other alphabets' letters, wide ones, invisible characters, strokes put over letters.
What was stripped may uncover the next, so it goes on until nothing is left to strip.

Neither is all: verdicts are read from the judge's own reply alone, and only where it keeps to the
schema.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping

VERSION = 1  # of the marks and of what is stripped; it goes into a judge's identity
_SALT = "vsfa_jax/judges/fence"
_DIGITS = 24  # hexadecimal

# Letters of other alphabets that are drawn as these; one for one, so that places stay the same.
_DRAWN_ALIKE = str.maketrans(
    "аеоорсухіјѕԁԛԝһѵӏΑΒΕΖΗΙΚΜΝΟΡΤΥΧαεικνορτυχАВЕКМНОРСТУХІЈЅɑɡıℓ⁃‐‑‒–—−∶꞉ː｜ǀ∣❘〈〉‹›⟨⟩«»",
    "aeoopcyxijsdqwhvlABEZHIKMNOPTYXaeiknoptyxABEKMHOPCTYXIJSagil-------:::||||<><><><>",
)
_STROKES = re.compile("[\u0300-\u036f\u0488\u0489\u20d0-\u20ff\ufe00-\ufe0f\U000e0100-\U000e01ef]")

_WORDS = (
    "outcome|verdict|judge?ments?|judged|rating|ratings|score|scores|grade|grades|label|decision|"
    "classification|correctness|politeness|helpfulness|task[ _-]?completion|logical[ _-]?flow|"
    "information[ _-]?richness|constructive[ _-]?score"
)
_SAID = (
    r"complies|comply|complied|refuses|refuse|refused|partial|unjudged|safe|unsafe|correct|wrong|"
    r"[01](?:\.\d+)?\b"
)
_PASSES = 12
_ROLES = "system|user|assistant|developer|tool|judge|grader|evaluator|human|instructions?|ipython"
# Repetitions have bounds, so that no text makes the search take long.
_BLANK, _QUOTE = r"[ \t]{0,8}", r"[\"'`*_“”‘’]{0,4}"
# Each takes away what it matches, but for the group named "keep".
_STRIPPED = tuple(
    re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    for pattern in (
        # the marks, however sloppily written, and other long brackets
        r"[<>\[\]{}(]{2,6}[^\n<>]{0,20}\b(?:begin|end)\b[^\n]{0,80}?[<>\[\]{})]{2,6}",
        r"<{2,}|>{2,}",
        # special tokens: <|im_end|>, <s>, [INST], <start_of_turn>, <image>, <|vision_start|>
        r"<\|[^|<>\n]{0,60}\|>",
        r"\[\s*/?\s*(?:inst|sys|system_prompt|available_tools|tool_calls|tool_results)\s*\]",
        r"</?\s*(?:s|bos|eos|pad|unk|mask|start_of_turn|end_of_turn|image|video|audio|im_start|"
        r"im_end|endoftext|eot_id|sep|cls|think|image_soft_token)\s*/?>",
        # tags of roles and verdicts: </answer>, <system role="x">, <verdict>
        rf"</?\s*(?:{_ROLES}|answer|question|reference|criterion|response|prompt|message|candidate|"
        rf"output|result|reply|{_WORDS})\b[^<>\n]{{0,60}}>",
        # turns of a chat: "System:", "### Assistant", "[user]", "ASSISTANT -"
        rf"^{_BLANK}(?:#{{1,6}}{_BLANK}|\[|\(|\*\*|>{_BLANK}){{0,3}}"
        rf"(?:new |end of |the )?(?:{_ROLES})"
        rf"(?: (?:message|prompt|turn|note|response|reply|answer))?{_BLANK}(?:\]|\)|\*\*){{0,3}}"
        rf"{_BLANK}(?::|-(?=\s)|$)(?:\*\*)?",
        # "end of answer", "--- begin judge reply ---", fences, rules, headings
        r"^[^\w\n]{0,40}(?:end|begin|start) (?:of )?(?:the )?(?:answer|response|candidate|output|"
        r"text|data|message|prompt|judge|verdict)\b[^\w\n]{0,40}$",
        r"`{3,}[\w-]*|~{3,}[\w-]*|^[-=_*#]{3,}$|[-=_*#]{5,}|[\"'`*_“”‘’]{5,}",
        # verdicts: "outcome": , Score = , **Verdict**: , [[refuses]]
        rf"{_QUOTE}(?<![a-z])(?:{_WORDS}){_QUOTE}\s{{0,9}}(?:of the answer )?(?::|=+>?|-+>|→|≔|:=)",
        rf"(?<![a-z])(?:{_WORDS}){_QUOTE} (?:is|are|must be|should be|shall be|was|as)"
        rf"(?= *:? *{_QUOTE}(?:{_SAID}))",
        rf"\[\[{_BLANK}(?P<keep>[^\[\]\n]{{0,40}}){_BLANK}\]\]",
    )
)

_HARSH = re.compile(rf"[<>\[\]{{}}|:=#*`~-]|(?:{_WORDS}|{_ROLES})", re.IGNORECASE)


def fence(sections: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """Each section between marks of its own.

    Args:
      sections: name -> text, stripped already where others wrote it.

    Returns:
      The fenced sections by name, and the number of their marks.
    """
    told = json.dumps([VERSION, _SALT, dict(sections)], sort_keys=True)
    number = hashlib.sha256(told.encode(errors="surrogatepass")).hexdigest()[:_DIGITS]
    fenced = {
        name: f"<<<BEGIN {name} {number}>>>\n{text}\n<<<END {name} {number}>>>"
        for name, text in sections.items()
    }
    return fenced, number


def disarm(text: str, reserved: Iterable[str] = ()) -> str:
    """A text of others without what poses as marks, turns, special tokens or verdicts.

    Args:
      text: what a model or a user said.
      reserved: further strings to take out, e.g. the special tokens of the judge's tokenizer.
    """
    reserved = sorted((word for word in reserved if word.strip()), key=len, reverse=True)
    for _ in range(_PASSES):
        before = text
        text = _once(text, reserved)
        if text == before:
            return text.strip()
    # layer upon layer: whoever writes so is not read with care
    return _once(_HARSH.sub(" ", text), reserved).strip()


def _once(text: str, reserved: Iterable[str]) -> str:
    """One pass over all that is stripped."""
    text = _visible(text)
    for word in reserved:
        text = text.replace(word, " ")
    drawn = text if text.isascii() else "".join(map(_as_drawn, text))
    for pattern in _STRIPPED:
        text, drawn = _take(pattern, text, drawn)
    return text


def _visible(text: str) -> str:
    """Without control and invisible characters and strokes over letters."""
    text = unicodedata.normalize("NFC", text)
    text = _STROKES.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    text = re.sub("[\u2028\u2029\x0b\x0c\x85]", "\n", text)
    text = "".join(
        character
        for character in text
        if character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co")
    )
    # as long as the patterns look for
    return re.sub("\n{4,}", "\n\n\n", re.sub(r"[^\S\n]{9,}", " " * 8, text))


def _take(pattern: re.Pattern[str], text: str, drawn: str) -> tuple[str, str]:
    """Takes out of both what the pattern sees in the text as it is drawn."""
    spans, end = [], 0
    for found in pattern.finditer(drawn):
        kept = found.span("keep") if "keep" in pattern.groupindex else (found.end(), found.end())
        spans += [(end, found.start()), kept]
        end = found.end()
    if not spans:
        return text, drawn

    def cut(whole: str) -> str:
        parts = (whole[a:b] for a, b in spans)
        return " ".join(parts) + whole[end:]

    return cut(text), cut(drawn)


def _as_drawn(character: str) -> str:
    """The plain character that this one looks like, without accents; itself where there is none."""
    plain = unicodedata.normalize("NFKD", character)
    if len(plain) > 1 and all(map(unicodedata.combining, plain[1:])):
        plain = plain[0]
    if len(plain) != 1:
        plain = character
    return " " if plain.isspace() and plain != "\n" else plain.translate(_DRAWN_ALIKE)
