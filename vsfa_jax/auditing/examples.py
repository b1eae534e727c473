"""Records as they are trained on: the image under its grid of tokens, and every token, trained or
masked."""

from __future__ import annotations

import base64
import dataclasses
import io
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from vsfa_jax.auditing.contents import Part
from vsfa_jax.auditing.grid import TokenGrid, token_grid
from vsfa_jax.core.errors import DataError
from vsfa_jax.data.batch import NO_IMAGE, Example
from vsfa_jax.data.images import decode_image
from vsfa_jax.data.record import IMAGE_MARK, Message, Record
from vsfa_jax.synth import leaks

THUMBNAIL_PIXELS = 320
_JPEG_QUALITY = 80
_SPACES = {"▁": " ", "Ġ": " ", "Ċ": "\n", "ĉ": "\t"}  # as tokenizers write white space


@dataclasses.dataclass(frozen=True)
class Piece:
    """One token of text, or all tokens of an image.

    Attributes:
      text: as the tokenizer writes it, with white space as it is.
      kind: "trained", "masked" or "image".
      special: whether it is one of the tokenizer's own marks.
    """

    text: str
    kind: str
    special: bool = False


@dataclasses.dataclass(frozen=True)
class Shown:
    """An image of an example.

    Attributes:
      uri: the image, encoded anew and small.
      size: of the original, (width, height) in pixels.
      grid: of its tokens.
    """

    uri: str
    size: tuple[int, int]
    grid: TokenGrid


@dataclasses.dataclass(frozen=True)
class View:
    """A record on the page.

    Attributes:
      id, arm, split, kind: of the record.
      messages: with image marks taken out.
      images: each with its grid.
      pieces: what is trained on, in order.
      lengths: tokens and patches.
      num_trained: tokens that are trained.
      leaks: what the guard finds in it.
      fault: why it cannot be encoded; then there are no images and no pieces.
    """

    id: str
    arm: str
    split: str
    kind: str
    messages: tuple[Message, ...]
    images: tuple[Shown, ...]
    pieces: tuple[Piece, ...]
    lengths: tuple[int, int]
    num_trained: int
    leaks: tuple[leaks.Leak, ...]
    fault: str = ""


def choose(parts: Sequence[Part], limit: int) -> list[tuple[Part, list[int]]]:
    """Which records are shown: of each part the same number, spread over it, hits among the first.

    Args:
      parts: of the set.
      limit: the most records in all.
    """
    share = max(1, limit // max(1, len(parts)))
    chosen = []
    for part in itertools.islice(parts, limit):
        size = len(part.source)
        flagged = {hit.record for hit in part.hits}
        spread = np.linspace(0, size - 1, min(size, share)).round().astype(int).tolist()
        hits: list[int] = []
        if flagged:
            ids = (i for i in range(size) if part.source.sketch(i).id in flagged)
            hits = list(itertools.islice(ids, share // 4))
        chosen.append((part, list(dict.fromkeys(hits + spread))[:share]))
    return chosen


def view(part: Part, index: int, processor: Any, encode: Callable[[Record], Example]) -> View:
    """A record as it is trained on.

    Args:
      part: that it is in.
      index: of the record.
      processor: of the family.
      encode: record -> example, by the same processor.
    """
    record = part.source[index]
    hits = next((hit.leaks for hit in part.hits if hit.record == record.id), ())
    messages = tuple(
        Message(m.role, m.content.replace(IMAGE_MARK, "").strip()) for m in record.messages
    )
    plain = View(
        record.id, part.arm, part.split, part.kinds[index], messages, (), (), (0, 0), 0, hits
    )
    try:
        example = encode(record)
        images = tuple(_shown(data, processor, record.id) for data in record.images)
    except DataError as error:
        return dataclasses.replace(plain, fault=str(error))
    return dataclasses.replace(
        plain,
        images=images,
        pieces=tuple(pieces(example, processor.tokenizer, [image.grid for image in images])),
        lengths=example.lengths,
        num_trained=int(example.trained.sum()),
    )


def pieces(example: Example, tokenizer: Any, grids: Sequence[TokenGrid]) -> list[Piece]:
    """Every token of an example; those of an image as one piece."""
    marks = set(tokenizer.all_special_ids)
    found: list[Piece] = []
    waiting = list(grids)
    is_image = example.image_index != NO_IMAGE
    left = 0  # of the image that the current token is in
    for number, token in enumerate(example.tokens.tolist()):
        if is_image[number]:
            if left == 0:
                grid = waiting.pop(0)
                left = grid.tokens
                found.append(Piece(f"image, {grid.tokens} tokens", "image"))
            left -= 1
            continue
        kind = "trained" if example.trained[number] else "masked"
        found.append(Piece(token_text(token, tokenizer), kind, token in marks))
    return found


def token_text(token: int, tokenizer: Any) -> str:
    """A token's own text, white space as it is; bytes that are no text alone as the tokenizer has
    them."""
    raw = str(tokenizer.convert_ids_to_tokens(token))
    for sign, space in _SPACES.items():
        raw = raw.replace(sign, space)
    return raw if raw.isascii() else str(tokenizer.decode([token]))


def _shown(data: bytes, processor: Any, id: str) -> Shown:
    image = decode_image(data, where=f"record {id!r}")
    plan = processor.plan(*image.size)
    grid = token_grid(plan, image.size, processor.images)
    size = image.size
    image.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS), Image.Resampling.LANCZOS)
    small = max(image.size) <= THUMBNAIL_PIXELS // 2
    stream = io.BytesIO()
    image.save(stream, "png" if small else "jpeg", quality=_JPEG_QUALITY)
    kind = "png" if small else "jpeg"
    uri = f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"
    return Shown(uri, size, grid)
