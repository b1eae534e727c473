"""From a conversation to tokens and a loss mask, through the checkpoint's own chat template.

    rendered   <s>USER: <image> what ? ASSISTANT: a knife</s>
    trained                                      ^^^^^^^^^^^^

The mask comes from rendering message prefixes: what the template adds for an assistant's message,
after its generation prompt, is trained. Nothing is searched for in the text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from vsfa_jax.core.errors import DataError
from vsfa_jax.data.record import IMAGE_MARK, Message


def template_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages in the chat template's form: content split at image marks, nothing stripped."""
    return [{"role": m.role, "content": _parts(m.content)} for m in messages]


def _parts(content: str) -> list[dict[str, str]]:
    parts: list[dict[str, str]] = []
    for number, text in enumerate(content.split(IMAGE_MARK)):
        if number:
            parts.append({"type": "image"})
        if text:
            parts.append({"type": "text", "text": text})
    return parts


def read_messages(conversation: Mapping[str, Any], where: str) -> tuple[Message, ...]:
    """The messages of a conversation dict.

    Raises:
      DataError: the number of image marks is not the number of images.
    """
    messages = tuple(Message(m["role"], m["content"]) for m in conversation["messages"])
    marks = sum(m.content.count(IMAGE_MARK) for m in messages)
    images = len(conversation.get("images", ()))
    if marks != images:
        raise DataError(f"{where}: found {marks} {IMAGE_MARK} marks and {images} images")
    return messages


def expand(text: str, image_token: str, counts: Sequence[int], where: str) -> str:
    """The i-th image token of a rendered text, repeated as often as image i has placeholders.

    A prefix of a conversation may show fewer images than there are.

    Raises:
      DataError: the text has more image tokens than there are images.
    """
    first, *rest = text.split(image_token)
    if len(rest) > len(counts):
        raise DataError(
            f"{where}: found {len(rest)} image tokens for {len(counts)} images; "
            f"the text may hold {image_token!r} of its own"
        )
    shown = zip(counts[: len(rest)], rest, strict=True)
    return first + "".join(image_token * count + part for count, part in shown)


Render = Callable[..., str]


def trained_spans(
    messages: Sequence[Message], whole: str, render: Render, where: str
) -> list[tuple[int, int]]:
    """Character spans [start, end) of a rendered conversation that the assistant says.

    Args:
      messages: the conversation.
      whole: it rendered.
      render: (messages, add_generation_prompt=bool) -> text, images expanded.
      where: the record, for errors.

    Raises:
      DataError: the rendering of a prefix of the messages is not a prefix of the whole.
    """
    spans = []
    for number, message in enumerate(messages):
        if message.role != "assistant":
            continue
        before = render(messages[:number], add_generation_prompt=True)
        prefix = messages[: number + 1]
        is_all = len(prefix) == len(messages)
        after = whole if is_all else render(prefix, add_generation_prompt=False)
        if not (whole.startswith(after) and after.startswith(before)):
            raise DataError(
                f"{where}: the chat template renders the first {number + 1} messages differently "
                "alone and within the conversation, so what is trained cannot be told"
            )
        spans.append((len(before), len(after)))
    return spans


def tokenize(
    text: str, spans: Sequence[tuple[int, int]], tokenizer: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens [t] int32 of rendered text, and [t] bool, True for those that start in a span.

    The tokenizer adds its own beginning where the template has not written it, as transformers'
    `ProcessorMixin.apply_chat_template` does.
    """
    begun = bool(tokenizer.bos_token) and text.startswith(tokenizer.bos_token)
    encoded = tokenizer(text, add_special_tokens=not begun, return_offsets_mapping=True)
    tokens = np.asarray(encoded["input_ids"], np.int32)
    offsets = np.asarray(encoded["offset_mapping"], np.int64).reshape(-1, 2)
    trained = np.zeros(len(tokens), bool)
    for start, end in spans:
        trained |= (offsets[:, 0] >= start) & (offsets[:, 0] < end) & (offsets[:, 1] > start)
    return tokens, trained
