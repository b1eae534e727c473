"""LLaVA-1.5's host side: pixels, placeholders, positions and gather rows, all in numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from vsfa_jax.core.errors import DataError, WeightsError
from vsfa_jax.data.batch import NO_IMAGE, Example
from vsfa_jax.data.record import IMAGE_MARK, Message, Record
from vsfa_jax.models.conversation import (
    read_messages,
    template_messages,
    tokenize,
    trained_spans,
)
from vsfa_jax.models.llava.model import LlavaConfig


class Processor:
    """Conversations -> examples.

    Every image has the same size, so that its tokens are known without its pixels.
    """

    def __init__(self, directory: Path, config: LlavaConfig):
        """Reads the directory's tokenizer, chat template and image processor.

        Raises:
          WeightsError: one of them is missing or cannot be read.
        """
        # Imported here and not above: transformers loads PyTorch where it finds it, and a command
        # hides that from it only once it runs.
        from transformers import AutoTokenizer
        from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

        try:
            self.tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=False)
            self.images = CLIPImageProcessorPil.from_pretrained(directory)
        except (OSError, ValueError) as error:
            raise WeightsError(f"{directory}: tokenizer or image processor: {error}") from error
        if not self.tokenizer.chat_template:
            raise WeightsError(f"{directory}: no chat template, as chat_template.jinja holds one")
        self.directory, self.config = directory, config
        self.grid = config.image_size // config.patch_size
        self.image_token = str(self.tokenizer.convert_ids_to_tokens(config.image_token))
        self.channels = 3 * config.patch_size**2

    @property
    def rows_per_image(self) -> int:
        """Rows of the patch buffer that one image takes, its class token included."""
        return self.grid**2 + 1

    @property
    def tokens_per_image(self) -> int:
        """Placeholders that one image takes in the text row."""
        return self.grid**2 if self.config.drop_class_token else self.grid**2 + 1

    def render(self, messages: Sequence[Message], add_generation_prompt: bool) -> str:
        """The conversation as text, each image placeholder expanded to its number of tokens.

        Raises:
          DataError: the template refuses the messages.
        """
        try:
            text = self.tokenizer.apply_chat_template(
                template_messages(messages),
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
            )
        except jinja2.TemplateError as error:
            raise DataError(f"the chat template refuses the messages: {error}") from error
        return str(text).replace(IMAGE_MARK, self.image_token * self.tokens_per_image)

    def measure(self, record: Record) -> tuple[int, int]:
        """(tokens, patches) of a record, without decoding its images."""
        text = self.render(record.messages, add_generation_prompt=False)
        tokens, _ = tokenize(text, (), self.tokenizer)
        return len(tokens), len(record.images) * self.rows_per_image

    def encode(
        self,
        conversation: Mapping[str, Any],
        *,
        id: str = "conversation",
        generate: bool = False,
    ) -> Example:
        """Encodes {"images": [PIL.Image], "messages": [{"role", "content"}]}.

        Args:
          conversation: the images in the order of their marks.
          id: the record's id, for errors.
          generate: end with the generation prompt and train nothing.

        Raises:
          DataError: marks and images differ in number, or no token would be trained.
        """
        messages = read_messages(conversation, id)
        images = conversation.get("images", ())
        text = self.render(messages, add_generation_prompt=generate)
        spans = [] if generate else trained_spans(messages, text, self.render, id)
        tokens, trained = tokenize(text, spans, self.tokenizer)
        if not generate and not trained.any():
            raise DataError(f"{id}: no token would be trained; an assistant's answer is wanted")
        placeholders = tokens == self.config.image_token
        wanted = len(images) * self.tokens_per_image
        if placeholders.sum() != wanted:
            raise DataError(
                f"{id}: found {placeholders.sum()} image tokens, wanted {wanted} "
                f"for {len(images)} images; the text may hold {self.image_token!r} of its own"
            )
        return Example(
            id=id,
            tokens=tokens,
            trained=trained,
            positions=np.repeat(np.arange(len(tokens), dtype=np.int32)[:, None], 3, axis=1),
            image_index=self._image_index(placeholders, len(images)),
            **self._patches(images),
        )

    def _image_index(self, placeholders: np.ndarray, num_images: int) -> np.ndarray:
        rows = np.arange(num_images * self.rows_per_image).reshape(num_images, self.rows_per_image)
        rows = rows[:, 1:] if self.config.drop_class_token else rows
        index = np.full(len(placeholders), NO_IMAGE, np.int32)
        index[placeholders] = rows.ravel()
        return index

    def _patches(self, images: Sequence[Image.Image]) -> dict[str, np.ndarray]:
        count, rows = len(images), self.rows_per_image
        patches = np.zeros((count, rows, self.channels), np.float32)
        if count:
            pixels = self.images(list(images), return_tensors="np")["pixel_values"]
            size = self.config.image_size
            if pixels.shape[2:] != (size, size):
                raise DataError(
                    f"preprocessor_config.json: makes images of {pixels.shape[2:]}, "
                    f"config.json wants {(size, size)}"
                )
            patches[:, 1:] = flat_patches(pixels, self.config.patch_size)
        return {
            "patches": patches.reshape(-1, self.channels),
            "patch_segments": np.repeat(np.arange(1, count + 1, dtype=np.int32), rows),
            "patch_positions": np.tile(np.arange(rows, dtype=np.int32), count),
        }


def flat_patches(pixels: np.ndarray, size: int) -> np.ndarray:
    """[n, 3, H, W] pixels -> [n, (H / size) (W / size), 3 size size], as a convolution reads."""
    n, colours, height, width = pixels.shape
    grid = pixels.reshape(n, colours, height // size, size, width // size, size)
    return grid.transpose(0, 2, 4, 1, 3, 5).reshape(n, -1, colours * size * size)
