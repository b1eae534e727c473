"""Abstracts of papers: JSON lines, or the Atom feed that arXiv's API answers with.

    {"id": "2603.08486", "title": "...", "abstract": "..."}

A feed is read without any document type, so that no entity can be declared in it.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat

from vsfa_jax.core.errors import DataError
from vsfa_jax.data.record import refuse_all

MAX_FILE_BYTES = 64 * 2**20
MAX_ABSTRACT = 20_000  # characters; the longest of arXiv have 1,920
_ATOM = "{http://www.w3.org/2005/Atom}"


@dataclasses.dataclass(frozen=True)
class Abstract:
    """A paper's abstract; `id` is unique in its file."""

    id: str
    title: str
    text: str


def read_abstracts(path: Path) -> list[Abstract]:
    """Reads a file of either form, in its order.

    Raises:
      DataError: it cannot be read, is too large, holds no abstract or one that is empty, too long
        or there twice; or a feed has a document type.
    """
    data = read_bounded(path)
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        found = _read_feed(data, path)
    else:
        found = [_abstract(row, where) for row, where in read_objects(data, path)]
    if not found:
        raise DataError(f"{path}: no abstract in it; wanted JSON lines, or arXiv's Atom feed")
    errors, first = [], set()
    for number, item in enumerate(found, start=1):
        where = f"{path}, abstract {number}"
        if not item.text or len(item.text) > MAX_ABSTRACT:
            errors.append(f"{where}: {len(item.text)} characters; wanted 1 to {MAX_ABSTRACT}")
        if item.id in first:
            errors.append(f"{where}: id {item.id!r} again; wanted each once")
        first.add(item.id)
    refuse_all(errors, len(found), f"abstracts of {path}")
    return found


def read_bounded(path: Path) -> bytes:
    """A file's bytes.

    Raises:
      DataError: it is no file, cannot be read or is over MAX_FILE_BYTES.
    """
    try:
        if not path.is_file():
            raise DataError(f"{path}: no such file")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise DataError(f"{path}: over {MAX_FILE_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def read_objects(data: bytes, path: Path) -> list[tuple[dict[str, Any], str]]:
    """The JSON objects of a file's lines, and where each stands; blank lines are skipped.

    Raises:
      DataError: a line is none, or not UTF-8; all of them are listed.
    """
    found, errors = [], []
    lines = data.removeprefix(b"\xef\xbb\xbf").splitlines()
    for number, line in enumerate(lines, start=1):
        where = f"{path}:{number}"
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8"))
            json.dumps(row, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            errors.append(f"{where}: not JSON in UTF-8: {error}")
            continue
        if isinstance(row, dict):
            found.append((row, where))
        else:
            errors.append(f"{where}: a JSON {type(row).__name__}; wanted one object a line")
    refuse_all(errors, len(lines), f"lines of {path}")
    return found


def text_of(row: dict[str, Any], key: str, where: str, default: str | None = None) -> str:
    """A field that must be a text, on one line and without blanks around it.

    Raises:
      DataError: it is missing without a default, or no text.
    """
    value = row.get(key, default)
    if not isinstance(value, str):
        raise DataError(f"{where}: {key} {str(value)[:80]!r}; wanted a text")
    return " ".join(value.split())


def _abstract(row: dict[str, Any], where: str) -> Abstract:
    named = str(row["id"]) if isinstance(row.get("id"), int) else text_of(row, "id", where, where)
    return Abstract(named, text_of(row, "title", where, ""), text_of(row, "abstract", where))


def _read_feed(data: bytes, path: Path) -> list[Abstract]:
    root = parse_xml(data, path)
    if root.tag != f"{_ATOM}feed":
        raise DataError(f"{path}: XML of {root.tag!r}; wanted an Atom feed as arXiv's API gives it")
    found: list[Abstract] = []
    for entry in root.findall(f"{_ATOM}entry"):
        id, title, text = (
            " ".join((entry.findtext(_ATOM + name) or "").split())
            for name in ("id", "title", "summary")
        )
        found.append(Abstract(id.rpartition("/abs/")[2] or f"entry {len(found) + 1}", title, text))
    return found


def parse_xml(data: bytes, path: Path) -> ElementTree.Element:
    """The root of an XML document that declares no type and no entity.

    Raises:
      DataError: it does, or is not well formed.
    """
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate(namespace_separator="}")

    def refuse(*declared: object) -> None:
        raise DataError(f"{path}: declares a document type {declared[0]!r}; wanted plain XML")

    def start(name: str, attributes: dict[str, str]) -> None:
        builder.start(_qualified(name), attributes)

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda name: builder.end(_qualified(name))
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise DataError(f"{path}: broken XML: {error}") from error
    return builder.close()


def _qualified(name: str) -> str:
    """ElementTree's spelling of a name in a namespace."""
    return f"{{{name}" if "}" in name else name
