"""Reads the leak guard's constructions and word classes, and makes regular expressions of them.

The two files of `leak_guard/` say what the guard looks for, and how they are written.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping
from pathlib import Path

_FOLDER = Path(__file__).parent / "leak_guard"
_OF_ANSWERS = ", of answers"
_MASKS = ("neutral", "seen text")


@dataclasses.dataclass(frozen=True)
class Grammar:
    """The guard's constructions.

    Attributes:
      neutral: what is masked first, in order.
      seen_text: after what a sentence reports what is written in the picture.
      carrier: a word for something that can be read.
      of_questions, of_answers: by reason, one expression for all of its constructions.
    """

    neutral: tuple[re.Pattern[str], ...]
    seen_text: re.Pattern[str]
    carrier: re.Pattern[str]
    of_questions: Mapping[str, re.Pattern[str]]
    of_answers: Mapping[str, re.Pattern[str]]


@functools.cache
def grammar() -> Grammar:
    """The grammar that the package comes with, compiled once."""
    classes = read_classes((_FOLDER / "words.txt").read_text("utf-8"))
    sections = read_sections((_FOLDER / "constructions.txt").read_text("utf-8"))
    shared = {name: lines for name, lines in sections.items() if name not in _MASKS}
    asked = {name: lines for name, lines in shared.items() if not name.endswith(_OF_ANSWERS)}
    said = {name: list(lines) for name, lines in asked.items()}
    for name, lines in shared.items():
        if name.endswith(_OF_ANSWERS):
            said.setdefault(name.removesuffix(_OF_ANSWERS), []).extend(lines)
    return Grammar(
        neutral=tuple(expression([line], classes) for line in sections["neutral"]),
        seen_text=expression(sections["seen text"], classes),
        carrier=expression(["{carrier}"], classes),
        of_questions={name: expression(lines, classes) for name, lines in asked.items()},
        of_answers={name: expression(lines, classes) for name, lines in said.items()},
    )


def read_classes(text: str) -> dict[str, list[str]]:
    """Word classes by name: a name with a colon, its words on indented lines."""
    classes: dict[str, list[str]] = {}
    name = ""
    for line in _lines(text):
        if line.startswith(" "):
            classes[name].extend(word.replace("_", " ") for word in line.split())
        else:
            name = line.rstrip(":")
            classes[name] = []
    return classes


def read_sections(text: str) -> dict[str, list[str]]:
    """Lines by the [section] that they stand under."""
    sections: dict[str, list[str]] = {}
    name = ""
    for line in _lines(text):
        if line.startswith("[") and line.endswith("]"):
            name = line[1:-1]
            sections[name] = []
        else:
            sections[name].append(line)
    return sections


def expression(lines: list[str], classes: Mapping[str, list[str]]) -> re.Pattern[str]:
    """One regular expression that matches what any of the lines does, in whole words.

    Raises:
      KeyError: a line names a class that there is not.
    """

    def union(name: str) -> str:
        return "(?:" + "|".join(sorted(classes[name], key=len, reverse=True)) + ")"

    def expand(match: re.Match[str]) -> str:
        name = match.group(1)
        if name == "start":
            return rf"(?:(?:^|(?<=[,:-]) ?)(?:{union('lead')}[ ,]+)*)"
        if name.startswith(".."):
            return rf"(?:[\w'-]+ ){{0,{name[2:]}}}"
        return rf"(?:{union(name[:-1])} )*" if name.endswith("*") else union(name)

    text = "|".join(re.sub(r"\{(start|\.\.\d|[a-z]\w*\*?)\}", expand, line) for line in lines)
    return re.compile(rf"(?<![\w'])(?:{text})(?!\w)")


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip() and line[0] != "#"]
