"""Record: one conversation about images, as it is stored; nothing in it depends on a model."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Sequence

from vsfa_jax.core.errors import DataError

IMAGE_MARK = "<image>"
ROLES = ("system", "user", "assistant")
DEFAULT_ARM = "threat"
MAX_ERRORS = 20  # that one message lists


@dataclasses.dataclass(frozen=True)
class Message:
    """One turn: `role` is one of `ROLES`, `content` holds an `<image>` mark for each image."""

    role: str
    content: str


@dataclasses.dataclass(frozen=True)
class Record:
    """One conversation.

    Attributes:
      id: unique within its set.
      images: encoded image files, in the order of their `<image>` marks.
      messages: the turns; the assistant's are what a model learns to say.
      arm: the arm of the study that the record belongs to, e.g. "threat" or "neutral".
    """

    id: str
    images: tuple[bytes, ...]
    messages: tuple[Message, ...]
    arm: str = DEFAULT_ARM

    def check(self) -> None:
        """Refuses a record that no model could be trained on.

        Raises:
          DataError: an unknown role, turns out of order, nothing to learn, or as many marks as
            images it has not. The message names the record.
        """
        check_messages(self.messages, len(self.images), where=f"record {self.id!r}")

    def digest(self) -> str:
        """sha256 over every field, images through their own sha256; equal on every machine."""
        return digest(self.id, self.messages, self.arm, image_digests(self.images))


def image_digests(images: Iterable[bytes]) -> list[str]:
    """sha256 of each encoded image, in hexadecimal."""
    return [hashlib.sha256(image).hexdigest() for image in images]


def digest(id: str, messages: Iterable[Message], arm: str, images: Iterable[str]) -> str:
    """sha256 of a record whose images are given by their own sha256."""
    turns = [[message.role, message.content] for message in messages]
    text = json.dumps([id, turns, arm, list(images)], ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint(digests: Iterable[str]) -> str:
    """sha256 over the digests of a set's records, in order: changes when any record does."""
    total = hashlib.sha256()
    for item in digests:
        total.update(bytes.fromhex(item))
    return total.hexdigest()


def check_messages(messages: Iterable[Message], num_images: int, *, where: str) -> None:
    """The checks of `Record.check` for turns whose images need not be at hand."""
    messages = tuple(messages)
    if not messages:
        raise DataError(f"{where}: no messages; wanted a user's and an assistant's turn")
    before = ""
    for number, message in enumerate(messages, start=1):
        _check_order(message.role, before, where=f"{where}, message {number}")
        before = message.role
    if not any(m.role == "assistant" and m.content.strip() for m in messages):
        raise DataError(
            f"{where}: no trained token: the assistant says nothing; wanted an assistant's turn "
            "that is not empty"
        )
    if any(IMAGE_MARK in m.content for m in messages if m.role == "assistant"):
        raise DataError(
            f"{where}: an {IMAGE_MARK} mark in an assistant's turn; it can say text only"
        )
    marks = sum(message.content.count(IMAGE_MARK) for message in messages)
    if marks != num_images:
        raise DataError(
            f"{where}: {marks} {IMAGE_MARK} marks for {num_images} images; wanted as many of each"
        )


def refuse_all(errors: Sequence[str], total: int, what: str) -> None:
    """Raises one DataError that lists what is wrong, if anything is."""
    if errors:
        listed = "\n  ".join(errors[:MAX_ERRORS])
        more = len(errors) - MAX_ERRORS
        rest = f"\n  and {more} more" if more > 0 else ""
        raise DataError(f"{len(errors)} of {total} {what} cannot be used:\n  {listed}{rest}")


def _check_order(role: str, before: str, *, where: str) -> None:
    if role not in ROLES:
        raise DataError(f"{where}: unknown role {role!r}; wanted one of {', '.join(ROLES)}")
    if role == "system" and before:
        raise DataError(f"{where}: a system turn after the first turn; wanted it first")
    if role == "assistant" and before not in ("user", "system"):
        raise DataError(f"{where}: an assistant's turn that answers no turn; wanted a user's first")
    if role == "user" and before == "user":
        raise DataError(f"{where}: two user turns in a row; wanted an assistant's between them")
