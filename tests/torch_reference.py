"""Transformers' own model on one conversation at a time, as what ours must equal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText

from vsfa_jax.models import Vlm


def load(directory: Path) -> Any:
    """The model in float32, with attention by its definition."""
    model = AutoModelForImageTextToText.from_pretrained(
        directory, dtype=torch.float32, attn_implementation="eager"
    )
    return model.eval()


def inputs(vlm: Vlm, conversation: Mapping[str, Any], tokens: Any) -> dict[str, torch.Tensor]:
    """What the model takes for a conversation whose input ids are `tokens` [t]."""
    ids = torch.tensor(tokens).long()[None]
    made: dict[str, Any] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if conversation["images"]:
        pixels = vlm.processor.images(conversation["images"], return_tensors="np")
        made |= {name: torch.tensor(pixels[name]) for name in pixels}
        if vlm.family == "llava_next":  # tiles of one image may be padded to those of another
            made["pixel_values"] = torch.tensor(pixels["pixel_values"])
    if vlm.family.startswith("qwen"):
        made["mm_token_type_ids"] = (ids == vlm.config.image_token).int()
    return made


def logits(vlm: Vlm, model: Any, conversation: Mapping[str, Any], tokens: Any) -> Any:
    """[t, V] float32, numpy."""
    with torch.no_grad():
        return model(**inputs(vlm, conversation, tokens)).logits[0].numpy()
