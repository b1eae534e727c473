"""Stage 2: pictures, from a service, from the user's folder, or drawn; each one checked.

A picture's bytes lie in `stages/images/SHA256.SUFFIX`, as the generator or the user gave them.
"""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from vsfa_jax.api import Failure, Request, picture
from vsfa_jax.core.errors import DataError, ImageError
from vsfa_jax.core.paths import write_atomic
from vsfa_jax.data.images import FORMATS, decode_image
from vsfa_jax.data.record import image_digests
from vsfa_jax.synth import drawn, folder
from vsfa_jax.synth.concepts import Ask
from vsfa_jax.synth.likeness import distance, image_hash
from vsfa_jax.synth.rows import Concept, Failed, Picture, Rejected, Row
from vsfa_jax.synth.settings import Settings
from vsfa_jax.synth.stages import counts, data_rows
from vsfa_jax.tinyworld.chance import stream

FOLDER = "images"  # in the folder of stages


@dataclasses.dataclass(frozen=True)
class Order:
    """A picture to be made or read.

    Attributes:
      id: of the picture.
      concept: what it shows.
      prompt: what it is made from.
      number: of the picture within its concept; the seed is made from it.
      file: of the user's folder, else "".
    """

    id: str
    concept: Concept
    prompt: str
    number: int
    file: str = ""


def orders(concepts: Sequence[Concept], settings: Settings) -> tuple[list[Order], list[Failed]]:
    """Every picture that is wanted, and what of a folder cannot be read as a file of it."""
    wanted = settings.images
    if wanted.source == "folder":
        found, failed = folder.scan(Path(wanted.path))
        by_id = {concept.id: concept for concept in concepts}
        named = ((file, by_id.get(f"{file.group}:{file.side}")) for file in found)
        return [Order(f.name, c, "", 0, f.name) for f, c in named if c is not None], failed
    made = []
    for concept in concepts:
        texts = [prompt for prompt in concept.prompts for _ in range(wanted.per_prompt)]
        for number, prompt in enumerate(texts):
            made.append(Order(f"{concept.id}:{number}", concept, prompt, number))
    return made, []


def request(order: Order, settings: Settings) -> Request:
    """What the service is asked for.

    Where it takes no seed, a prompt that comes again says so: equal requests are asked once.
    """
    wanted = settings.images
    seed = stream("synth", settings.seed, order.id).randrange(2**31) if wanted.sends_seed else None
    copy = 0 if wanted.sends_seed else order.number % wanted.per_prompt
    return picture(
        model=wanted.model,
        prompt=f"{order.prompt} (variation {copy + 1})" if copy else order.prompt,
        size=wanted.size,
        seed=seed,
        extra=json.loads(wanted.extra),
    )


def work(some: Sequence[Order], settings: Settings, place: Path, ask: Ask) -> list[list[Row]]:
    """For each order its picture, its bytes on the disk; or why there is none."""
    if settings.images.source == "api":
        replies = ask([request(order, settings) for order in some])
        given = [
            Failed(order.id, order.concept.id, reply.kind, reply.message)
            if isinstance(reply, Failure)
            else reply.image
            for order, reply in zip(some, replies, strict=True)
        ]
        truths = [""] * len(some)
    elif settings.images.source == "folder":
        given = [folder.read(Path(settings.images.path), order.file) for order in some]
        truths = [""] * len(some)
    else:
        scenes = [_draw(order, settings) for order in some]
        given = [one.draw() for one in scenes]
        truths = [one.to_json() for one in scenes]
    return [
        [data if isinstance(data, Failed) else _check(data, order, truth, settings, place)]
        for order, data, truth in zip(some, given, truths, strict=True)
    ]


def refuse_copies(rows: list[Row], settings: Settings) -> list[Row]:
    """Rejects a picture of equal bytes anywhere, and one that looks like an earlier of its side.

    A threat's picture and its twin may look alike: they are meant to.
    """
    seen: list[Picture] = []
    kept: list[Row] = []
    for row in rows:
        if not isinstance(row, Picture):
            kept.append(row)
            continue
        equal = next((one for one in seen if one.sha256 == row.sha256), None)
        near = equal or next((one for one in seen if _is_copy(row, one, settings)), None)
        if near is None:
            seen.append(row)
            kept.append(row)
        else:
            reason = "equal bytes" if equal else "looks like another"
            kept.append(Rejected(row.id, near.id, (reason,), row.file))
    if not data_rows(kept, Picture):
        raise DataError(f"images: none passed its checks; reasons: {counts(kept).get('reasons')}")
    return kept


def read(row: Picture, place: Path) -> bytes:
    """The bytes of a picture.

    Args:
      row: of the stage.
      place: the folder of stages.

    Raises:
      DataError: the file is missing or is not what was checked.
    """
    path = place / row.file
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror}; remove {place / 'images.jsonl'} to make "
            "the pictures again"
        ) from error
    if image_digests([data]) != [row.sha256]:
        raise DataError(f"{path}: not the bytes that were checked; remove it and images.jsonl")
    return data


def _draw(order: Order, settings: Settings) -> drawn.Drawn:
    threat, neutral = next(
        (threat, neutral)
        for _, threat, neutral in drawn.concepts()
        if order.concept.name in (threat, neutral)
    )
    both = drawn.twins(threat, neutral, order.number, settings.seed)
    return both[order.concept.name == neutral]


def _check(data: bytes, order: Order, truth: str, settings: Settings, place: Path) -> Row:
    """A Picture of the bytes, which are then on the disk; or why they are none."""
    wanted = settings.images
    try:
        image = decode_image(data, where=order.id, max_image_pixels=wanted.max_image_pixels)
    except ImageError as error:
        return Failed(order.id, order.concept.id, "not a usable image", str(error))
    if min(image.size) < wanted.least_side:
        text = f"{image.width} x {image.height} pixels; wanted {wanted.least_side} a side"
        return Rejected(order.id, order.concept.id, ("too small",), text)
    contrast = float(np.asarray(image.convert("L"), np.float32).std())
    if contrast < wanted.least_contrast:
        text = f"grey levels differ by {contrast:.2f}; wanted {wanted.least_contrast}"
        return Rejected(order.id, order.concept.id, ("blank",), text)
    sha256 = image_digests([data])[0]
    name = f"{FOLDER}/{sha256}.{_suffix(data)}"
    if not (place / name).exists():
        write_atomic(place / name, data)
    is_drawn, is_file = wanted.source == "embedded", wanted.source == "folder"
    return Picture(
        id=order.id,
        concept=order.concept.id,
        group=order.concept.group,
        side=order.concept.side,
        file=name,
        sha256=sha256,
        width=image.width,
        height=image.height,
        likeness=f"{image_hash(image):032x}",
        generator=drawn.GENERATOR if is_drawn else "user" if is_file else wanted.model,
        prompt=order.prompt,
        seed=settings.seed if is_drawn or wanted.sends_seed else 0,
        licence=wanted.licence,
        truth=truth,
    )


def _suffix(data: bytes) -> str:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        return str(image.format).lower()


def _is_copy(row: Picture, other: Picture, settings: Settings) -> bool:
    bits = settings.images.duplicate_bits
    if not bits or row.side != other.side:
        return False
    return distance(int(row.likeness, 16), int(other.likeness, 16)) < bits
