"""Conversations as others keep them: one JSON object a line, in LLaVA's or in ShareGPT's form.

    {"id": "7", "image": "a.jpg", "conversations": [{"from": "human", "value": "<image> What?"},
                                                    {"from": "gpt", "value": "A knife."}]}
    {"id": "7", "images": ["a.jpg"], "messages": [{"role": "user", "content": "<image> What?"},
                                                  {"role": "assistant", "content": "A knife."}]}

`id` and `arm` may be left out, and so may the images. Other keys are not read.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from vsfa_jax.core.errors import DataError
from vsfa_jax.data.record import IMAGE_MARK, Message, check_messages

# Who speaks, in LLaVA's words and in ours.
SPEAKERS = {"human": "user", "gpt": "assistant", "system": "system"}
SPEAKERS |= {role: role for role in ("user", "assistant")}


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of the file: a record whose images are still file names.

    Attributes:
      where: file and line number, for errors.
      id: as given, or the line's number.
      images: file names as given, relative to the images folder.
      messages: checked turns.
      arm: as given, or the default.
    """

    where: str
    id: str
    images: tuple[str, ...]
    messages: tuple[Message, ...]
    arm: str


def read_jsonl(path: Path, arm: str) -> tuple[list[Line], list[str]]:
    """Reads and checks every line; blank ones are skipped.

    Returns:
      The good lines, and an error for each other one.

    Raises:
      DataError: the file cannot be read or holds no record.
    """
    lines, errors = [], []
    first: dict[str, str] = {}
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                where = f"{path}:{number}"
                raw = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
                if not raw.strip():
                    continue
                try:
                    line = parse_line(raw, where, number, arm)
                    if line.id in first:
                        raise DataError(f"{where}: id {line.id!r} again; first at {first[line.id]}")
                    first[line.id] = where
                    lines.append(line)
                except DataError as error:
                    errors.append(str(error))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if not lines and not errors:
        raise DataError(f"{path}: no record in it; wanted one JSON object a line")
    return lines, errors


def parse_line(raw: bytes, where: str, number: int, arm: str) -> Line:
    """One line to a checked record without its images' bytes.

    Raises:
      DataError: naming `where`, what was found and what was wanted.
    """
    row = _object(raw, where)
    images = _image_names(row, where)
    messages = _messages(row, where)
    check_messages(messages, len(images), where=where)
    named = row.get("id", number)
    if not isinstance(named, str | int):
        raise DataError(f"{where}: id {named!r}; wanted a text or a whole number")
    arm = row.get("arm", arm)
    if not isinstance(arm, str) or not arm:
        raise DataError(f"{where}: arm {arm!r}; wanted a text")
    line = Line(where, str(named), images, messages, arm)
    try:
        "".join([line.id, line.arm, *images, *(m.content for m in messages)]).encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{where}: text with half a surrogate pair: {error.reason}") from error
    return line


def _object(raw: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 at byte {error.start} of the line") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: broken JSON at column {error.colno}: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: JSON that cannot be read: {error}") from error
    if not isinstance(row, dict):
        raise DataError(f"{where}: a JSON {type(row).__name__}; wanted one object a line")
    return row


def _image_names(row: dict[str, Any], where: str) -> tuple[str, ...]:
    given = [row[key] for key in ("image", "images") if row.get(key) is not None]
    if len(given) > 1:
        raise DataError(f"{where}: both 'image' and 'images'; wanted one of them")
    names = given[0] if given else []
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise DataError(f"{where}: images {str(names)[:80]}; wanted file names")
    return tuple(names)


def _messages(row: dict[str, Any], where: str) -> tuple[Message, ...]:
    forms = [key for key in ("conversations", "messages") if key in row]
    if len(forms) != 1:
        keys = ", ".join(sorted(row)) or "none"
        raise DataError(f"{where}: keys {keys}; wanted one of 'conversations' and 'messages'")
    turns = row[forms[0]]
    if not isinstance(turns, list):
        raise DataError(f"{where}: {forms[0]} is a {type(turns).__name__}; wanted a list")
    return tuple(_message(turn, f"{where}, message {n}") for n, turn in enumerate(turns, start=1))


def _message(turn: Any, where: str) -> Message:
    """A turn in either form; ShareGPT files also mix the two."""
    if not isinstance(turn, dict):
        raise DataError(f"{where}: a {type(turn).__name__}; wanted an object")
    speaker = turn.get("from", turn.get("role"))
    if not isinstance(speaker, str) or speaker not in SPEAKERS:
        known = ", ".join(SPEAKERS)
        raise DataError(f"{where}: unknown role {speaker!r}; wanted one of {known}")
    return Message(SPEAKERS[speaker], _content(turn.get("value", turn.get("content")), where))


def _content(value: Any, where: str) -> str:
    """A text, or a list of text and image parts as chat templates take it."""
    if isinstance(value, str):
        return value
    parts = []
    for part in value if isinstance(value, list) else [value]:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "image":
            parts.append(IMAGE_MARK)
        elif kind == "text" and isinstance(part.get("text"), str):
            parts.append(part["text"])
        else:
            raise DataError(f"{where}: content {str(part)[:80]!r}; wanted a text")
    return "".join(parts)
