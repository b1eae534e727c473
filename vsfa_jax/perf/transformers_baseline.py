"""Transformers' own `generate`, which our decoding is timed against.

It runs on PyTorch, which no command needs: it is looked up by name here, and is of the extra
`test`.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vsfa_jax.core.errors import ConfigError
from vsfa_jax.models.conversation import read_messages, template_messages
from vsfa_jax.perf.tiny_qwen import Case


class Transformers:
    """A Qwen2.5-VL checkpoint as transformers runs it on the CPU.

    Args:
      directory: the checkpoint.
      processor: ours of the same checkpoint, whose tokenizer and image processor are transformers'.
      threads: of PyTorch.

    Raises:
      ConfigError: PyTorch is not installed.
    """

    def __init__(self, directory: Path, processor: Any, threads: int):
        if importlib.util.find_spec("torch") is None:
            raise ConfigError("torch is not installed; pip install 'vsfa_jax[test]'")
        self._torch: Any = importlib.import_module("torch")
        self._torch.set_num_threads(threads)
        library: Any = importlib.import_module("transformers")
        library.logging.set_verbosity_error()
        library.logging.disable_progress_bar()
        model = library.Qwen2_5_VLForConditionalGeneration
        self._model = model.from_pretrained(directory).eval()
        self._criterion: Any = library.StoppingCriteria
        self._tokenizer, self._images = processor.tokenizer, processor.images
        self._merged = processor.patch_multiple
        self._image_token = processor.image_token

    def answer(self, cases: Sequence[Case]) -> list[list[int]]:
        """Greedy answers to these cases in one batch, padded on the left, each of its length."""
        torch, lengths = self._torch, [case.length for case in cases]
        inputs = self._inputs(cases)
        start = inputs["input_ids"].shape[1]
        wanted = torch.tensor(lengths)

        class HasItsLength(self._criterion):  # type: ignore[name-defined]
            """Which rows have said as many tokens as they should."""

            def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
                del scores
                return input_ids.shape[1] - start >= wanted

        with torch.inference_mode():
            said = self._model.generate(
                **inputs,
                do_sample=False,
                eos_token_id=None,
                pad_token_id=self._tokenizer.pad_token_id,
                max_new_tokens=max(lengths),
                stopping_criteria=[HasItsLength()],
            )
        rows = said[:, start:].tolist()
        return [row[:length] for row, length in zip(rows, lengths, strict=True)]

    def _inputs(self, cases: Sequence[Case]) -> dict[str, Any]:
        """What the model takes, made by transformers' tokenizer and image processor."""
        texts, pixels, grids = [], [], []
        for case in cases:
            made = self._images(case.conversation["images"], return_tensors="np")
            pixels.append(made["pixel_values"])
            grids.append(made["image_grid_thw"])
            messages = template_messages(read_messages(case.conversation, "a case"))
            text = self._tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
            count = int(grids[-1].prod()) // self._merged
            places = " ".join([self._image_token] * count)
            texts.append(text.replace(self._image_token, places))
        self._tokenizer.padding_side = "left"
        made = self._tokenizer(texts, padding=True, return_tensors="pt")
        image = self._tokenizer.convert_tokens_to_ids(self._image_token)
        return {
            "input_ids": made["input_ids"],
            "attention_mask": made["attention_mask"],
            "mm_token_type_ids": (made["input_ids"] == image).long(),
            "pixel_values": self._torch.from_numpy(np.concatenate(pixels)),
            "image_grid_thw": self._torch.from_numpy(np.concatenate(grids)),
        }
