"""The host side that all families share: conversations -> examples, all in numpy.

A family says what an image of a given size becomes (`plan`) and cuts it up (`patches`); rendering,
tokens, the loss mask, positions and gather rows follow from that.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from vsfa_jax.core.errors import DataError, WeightsError
from vsfa_jax.data.batch import NO_IMAGE, Example
from vsfa_jax.data.images import MAX_IMAGE_PIXELS, image_size
from vsfa_jax.data.record import Message, Record
from vsfa_jax.models.checkpoint_files import read_json
from vsfa_jax.models.conversation import (
    expand,
    read_messages,
    template_messages,
    tokenize,
    trained_spans,
)
from vsfa_jax.models.image_plan import ImagePlan, positions

_PROBE = (Message("user", "a"), Message("assistant", "b"))


class BaseProcessor:
    """A checkpoint's tokenizer, chat template and image processor.

    Attributes:
      directory: the checkpoint.
      config: the family's shapes.
      tokenizer: transformers'.
      images: transformers' image processor, in its Pillow flavour.
      image_token: the placeholder, as text.
      stop_tokens: ids that end an answer.
      max_pixels: of an image, where the family's resolution can be bounded; 0 is the checkpoint's.
    """

    def __init__(self, directory: Path, config: Any, max_pixels: int = 0):
        """Reads the directory's files.

        Raises:
          WeightsError: one of them is missing, lacks a key, or disagrees with config.json.
          ConfigError: `max_pixels` is set for a family of one resolution, or too small.
        """
        # Imported here and not above: transformers loads PyTorch where it finds it, and a command
        # hides that from it only once it runs.
        from transformers import AutoTokenizer

        try:
            self.tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise WeightsError(f"{directory}: tokenizer: {error}") from error
        self.tokenizer.chat_template = chat_template(directory, self.tokenizer)
        self.directory, self.config, self.max_pixels = directory, config, max_pixels
        self.images = self.image_processor()
        self.image_token = str(self.tokenizer.convert_ids_to_tokens(config.image_token))
        self.stop_tokens = stop_tokens(directory, self.tokenizer)

    def image_processor(self) -> Any:
        """The family's image processor, its settings checked."""
        raise NotImplementedError

    def plan(self, width: int, height: int) -> ImagePlan:
        """What an image of this size becomes.

        Raises:
          DataError: it cannot be used.
        """
        raise NotImplementedError

    def patches(self, image: Image.Image, plan: ImagePlan) -> np.ndarray:
        """[p, C] float32, normalised flat patches in the plan's order."""
        raise NotImplementedError

    def measure(self, record: Record, max_image_pixels: int = MAX_IMAGE_PIXELS) -> tuple[int, int]:
        """(tokens, patches) of a record's training example, without decoding its images.

        Raises:
          ImageError: an image is none, or too large.
          DataError: an image cannot be used, or the template refuses the messages.
        """
        where = f"record {record.id!r}"
        sizes = [
            image_size(data, where=where, max_image_pixels=max_image_pixels)
            for data in record.images
        ]
        plans = [self.plan(*size) for size in sizes]
        render = self._renderer(plans, where)
        text = render(record.messages, add_generation_prompt=False)
        if self.writes_stop:
            tokens, _ = tokenize(text, (), self.tokenizer)
        else:
            tokens, _ = self._closed(record.messages, text, render, where)
        return len(tokens), sum(len(plan.segments) for plan in plans)

    def encode(
        self,
        conversation: Mapping[str, Any],
        *,
        id: str = "conversation",
        generate: bool = False,
        training: bool = False,
    ) -> Example:
        """Encodes {"images": [PIL.Image], "messages": [{"role", "content"}]}.

        Args:
          conversation: the images in the order of their marks.
          id: the record's id, for errors.
          generate: end with the generation prompt and train nothing.
          training: refuse a conversation that trains nothing; and where the template writes no
            stop token after an answer, end with a trained one, lest the model unlearn to stop.

        Raises:
          DataError: marks and images differ in number, an image cannot be used, or no token would
            be trained.
        """
        messages = read_messages(conversation, id)
        images = conversation.get("images", ())
        plans = [self.plan(*image.size) for image in images]
        render = self._renderer(plans, id)
        text = render(messages, add_generation_prompt=generate)
        if training and not self.writes_stop:
            tokens, trained = self._closed(messages, text, render, id)
        else:
            spans = [] if generate else trained_spans(messages, text, render, id)
            tokens, trained = tokenize(text, spans, self.tokenizer)
        if training and not trained.any():
            raise DataError(f"{id}: no token would be trained; an assistant's answer is wanted")
        is_image = tokens == self.config.image_token
        self._check_placeholders(is_image, plans, id)
        return Example(
            id=id,
            tokens=tokens,
            trained=trained,
            positions=positions(is_image, plans),
            image_index=_image_index(is_image, plans),
            num_rows=sum(plan.num_rows for plan in plans),
            **self._patches(images, plans),
        )

    def _closed(
        self, messages: Sequence[Message], text: str, render: Callable[..., str], where: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `tokenize`, for a template that writes no stop token after an answer.

        What it writes there instead, a space or a mark that is no token, is not trained; after the
        last answer a stop token takes its place.
        """
        spans = trained_spans(messages, text, render, where)
        answers = [m.content.strip() for m in messages if m.role == "assistant"]
        spans = [
            (start, start + text[start:end].rfind(answer) + len(answer))
            for (start, end), answer in zip(spans, answers, strict=True)
        ]
        is_last = messages[-1].role == "assistant"
        text = text[: spans[-1][1]] if is_last else text
        tokens, trained = tokenize(text, spans, self.tokenizer)
        if is_last:
            tokens = np.append(tokens, np.int32(self.stop_tokens[0]))
            trained = np.append(trained, True)
        return tokens, trained

    def _renderer(self, plans: Sequence[ImagePlan], where: str) -> Callable[..., str]:
        """(messages, add_generation_prompt) -> text, each placeholder as often as it is wanted."""
        counts = [len(plan.image_index) for plan in plans]

        def render(messages: Sequence[Message], add_generation_prompt: bool) -> str:
            try:
                text = self.tokenizer.apply_chat_template(
                    template_messages(messages),
                    tokenize=False,
                    add_generation_prompt=add_generation_prompt,
                )
            except (jinja2.TemplateError, TypeError) as error:
                raise DataError(
                    f"{where}: the chat template refuses the messages: {error}"
                ) from error
            return expand(str(text), self.image_token, counts, where)

        return render

    def _check_placeholders(
        self, is_image: np.ndarray, plans: Sequence[ImagePlan], where: str
    ) -> None:
        found, wanted = int(is_image.sum()), sum(len(plan.image_index) for plan in plans)
        if found != wanted:
            raise DataError(
                f"{where}: found {found} image tokens, wanted {wanted} for {len(plans)} images; "
                f"the text may hold {self.image_token!r} of its own"
            )

    def _patches(self, images: Sequence[Image.Image], plans: Sequence[ImagePlan]) -> dict[str, Any]:
        """The patch arrays of an example; with no image, those of a small one cut to nothing."""
        if not plans:
            plan = self.plan(64, 64)
            places = {name: place[:0] for name, place in plan.places.items()}
            patches = np.zeros((0, self.channels), np.float32)
            segments = np.zeros(0, np.int32)
            return {"patches": patches, "patch_segments": segments, "patch_places": places}
        cut = [self.patches(image, plan) for image, plan in zip(images, plans, strict=True)]
        places = {
            name: _join(name, [plan.places[name] for plan in plans]) for name in plans[0].places
        }
        return {
            "patches": np.concatenate(cut),
            "patch_segments": _join("segment_ids", [plan.segments for plan in plans]),
            "patch_places": places,
        }

    @property
    def channels(self) -> int:
        """C of a flat patch."""
        return int(3 * self.config.patch_size**2)

    @property
    def patch_multiple(self) -> int:
        """What a patch budget must be a multiple of."""
        return 1

    @functools.cached_property
    def writes_stop(self) -> bool:
        """Whether the chat template writes a stop token after an assistant's answer."""
        where = "the chat template"
        render = self._renderer((), where)
        text = render(_PROBE, add_generation_prompt=False)
        tokens, trained = tokenize(text, trained_spans(_PROBE, text, render, where), self.tokenizer)
        return bool(np.isin(tokens[trained], self.stop_tokens).any())


def _join(name: str, arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Arrays of several images as one; numbers of segments go on counting."""
    if not name.endswith("_ids"):
        return np.concatenate(arrays)
    ends = np.cumsum([0, *(array.max(initial=0) for array in arrays)])
    return np.concatenate(
        [array + np.int32(end) for array, end in zip(arrays, ends[:-1], strict=True)]
    )


def _image_index(is_image: np.ndarray, plans: Sequence[ImagePlan]) -> np.ndarray:
    """[t] int32: rows of the example's vision output at its placeholders."""
    index = np.full(len(is_image), NO_IMAGE, np.int32)
    rows, start = [], 0
    for plan in plans:
        rows.append(plan.image_index + np.where(plan.image_index < 0, 0, start))
        start += plan.num_rows
    if rows:
        index[is_image] = np.concatenate(rows)
    return index


def stop_tokens(directory: Path, tokenizer: Any) -> tuple[int, ...]:
    """Ids that end an answer: generation_config.json's, else the tokenizer's end.

    Raises:
      WeightsError: there is neither.
    """
    path = directory / "generation_config.json"
    found = read_json(path).get("eos_token_id") if path.exists() else None
    found = tokenizer.eos_token_id if found is None else found
    if found is None:
        raise WeightsError(f"{directory}: no eos_token_id in generation_config.json or tokenizer")
    return tuple(found) if isinstance(found, list) else (int(found),)


def chat_template(directory: Path, tokenizer: Any) -> str:
    """The checkpoint's chat template: its processor's, which goes first, or its tokenizer's.

    Raises:
      WeightsError: there is none, or several by name.
    """
    for name in ("processor_config.json", "chat_template.json"):
        if (directory / name).exists():
            found = read_json(directory / name).get("chat_template")
            if isinstance(found, str):
                return found
    if not isinstance(tokenizer.chat_template, str):
        raise WeightsError(f"{directory}: no chat template, as chat_template.jinja holds one")
    return tokenizer.chat_template
