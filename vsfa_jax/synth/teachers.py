"""Teachers: who is shown a picture and a prompt, and answers; a service, or a model loaded here."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import jax.numpy as jnp
from PIL import Image

from vsfa_jax.api import Failure, Reply, Request, chat, image_part, parse_json, text_part
from vsfa_jax.core.main import import_transformers_alone
from vsfa_jax.data.images import decode_image
from vsfa_jax.data.record import IMAGE_MARK
from vsfa_jax.synth.concepts import Ask
from vsfa_jax.synth.settings import Questions, Settings
from vsfa_jax.tinyworld import resolve_model

_JPEG_QUALITY = 92
_SENTENCES_TOKENS = 192  # of a reply in plain text


@dataclasses.dataclass(frozen=True)
class Look:
    """A picture, and what is asked about it.

    Attributes:
      image: the encoded file.
      system: what the teacher is told first; "" for nothing.
      prompt: what is asked.
      schema: of the JSON that is wanted; None for plain text.
    """

    image: bytes
    system: str
    prompt: str
    schema: Mapping[str, Any] | None = None


class Teacher(Protocol):
    """Looks at pictures.

    Attributes:
      name: stands in every row that it wrote.
    """

    name: str

    def look(self, looks: Sequence[Look]) -> list[Reply | Failure]:
        """One reply or failure a look, in their order."""
        ...


class ApiTeacher:
    """A model behind a service."""

    def __init__(self, settings: Settings, ask: Ask) -> None:
        self.name = settings.questions.model
        self._settings = settings
        self._ask = ask

    def look(self, looks: Sequence[Look]) -> list[Reply | Failure]:
        """See `Teacher.look`; failures are those of the service."""
        return self._ask([request(look, self._settings) for look in looks])


def checkpoint_files(settings: Questions) -> list[tuple[str, int]]:
    """Name and size of each file of a teacher's directory; none of a hub name's."""
    directory = Path(resolve_model(settings.model))
    if settings.teacher != "model" or not directory.is_dir():
        return []
    return sorted((path.name, path.stat().st_size) for path in directory.iterdir())


class ModelTeacher:
    """A checkpoint that this project decodes with, loaded when it is first asked."""

    def __init__(self, settings: Settings) -> None:
        self.name = settings.questions.model
        self._settings = settings.questions
        self._seed = settings.seed
        self._vlm: Any = None

    def look(self, looks: Sequence[Look]) -> list[Reply | Failure]:
        """See `Teacher.look`; text that is not JSON of the schema is a failure."""
        if not looks:
            return []
        if self._vlm is None:
            import_transformers_alone()  # before anything that imports it otherwise
            from vsfa_jax import models

            self._vlm = models.load(
                resolve_model(self._settings.model),
                dtype=jnp.dtype(self._settings.dtype),
                completed_from=self._settings.completed_from,
                revision=self._settings.revision,
            )
        texts = self._vlm.generate(
            [_conversation(look, self._settings) for look in looks],
            max_new_tokens=max(_most_tokens(look, self._settings) for look in looks),
            temperature=self._settings.temperature,
            seeds=[self._seed] * len(looks),
            batch_size=self._settings.batch_size,
        )
        return [read(text, look) for text, look in zip(texts, looks, strict=True)]


def request(look: Look, settings: Settings) -> Request:
    """What a service is asked for a look."""
    wanted = settings.questions
    image = image_part(shrunk(look.image, wanted.max_side))
    system = [{"role": "system", "content": look.system}] if look.system else []
    return chat(
        model=wanted.model,
        messages=[*system, {"role": "user", "content": [image, text_part(look.prompt)]}],
        schema=look.schema,
        temperature=wanted.temperature,
        seed=settings.seed,
        max_tokens=_most_tokens(look, wanted),
    )


def shrunk(data: bytes, max_side: int) -> bytes:
    """The image as services take it: a PNG file as it is, or a JPEG, and of at most `max_side`."""
    image = decode_image(data, where="a picture for the teacher")
    if data.startswith(b"\x89PNG") and (not max_side or max(image.size) <= max_side):
        return data
    if max_side:
        image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()


def _most_tokens(look: Look, settings: Questions) -> int:
    """A sentence or two is all that is asked for without a schema."""
    most = settings.max_new_tokens
    return most if look.schema is not None else min(most, _SENTENCES_TOKENS)


def _conversation(look: Look, settings: Questions) -> dict[str, Any]:
    image = decode_image(look.image, where="a picture for the teacher")
    if settings.max_side:
        image.thumbnail((settings.max_side, settings.max_side), Image.Resampling.LANCZOS)
    form = ""
    if look.schema is not None:
        form = f"\nReply with JSON of this schema and nothing else:\n{json.dumps(look.schema)}"
    system = [{"role": "system", "content": look.system}] if look.system else []
    user = {"role": "user", "content": f"{IMAGE_MARK}{look.prompt}{form}"}
    return {"images": [image], "messages": [*system, user]}


def read(text: str, look: Look) -> Reply | Failure:
    """What a model's text amounts to: JSON of the look's schema, or a failure."""
    if not text.strip():
        return Failure("empty", "the model said nothing")
    if look.schema is None:
        return Reply(text=text)
    try:
        return Reply(text=text, value=parse_json(_unfenced(text), look.schema))
    except ValueError as error:
        return Failure("wrong_schema", f"{error}: {text[:200]}")


def _unfenced(text: str) -> str:
    """JSON without the fence of Markdown that models like to put around it."""
    found = re.fullmatch(r"\s*```(?:json)?\s*\n(.*)\n\s*```\s*", text, re.DOTALL)
    return found[1] if found else text
