"""config.json of a LLaVA-NeXT (v1.6) checkpoint -> LlavaNextConfig."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vsfa_jax.core.errors import WeightsError
from vsfa_jax.models import config_reader as read
from vsfa_jax.models.config_reader import get, only
from vsfa_jax.models.llava_next.model import LlavaNextConfig


def read_config(raw: Mapping[str, Any]) -> LlavaNextConfig:
    """Reads what config.json says.

    Raises:
      WeightsError: a key is absent, or a value is one that this family does not have.
    """
    vision, text = get(raw, "vision_config"), get(raw, "text_config")
    only(text, "attention_bias", False)
    only(raw, "projector_hidden_act", "gelu")
    only(raw, "vision_feature_select_strategy", "default")
    tied = raw.get("tie_word_embeddings", False) or text.get("tie_word_embeddings", False)
    return LlavaNextConfig(
        vision=read.read_clip(raw),
        text=read.read_decoder(
            text, rotary=read.plain_rotary, tied_head=bool(tied), window=_window(text)
        ),
        image_token=read.image_token(raw),
        image_size=get(vision, "image_size"),
        patch_size=get(vision, "patch_size"),
        projector_bias=get(raw, "multimodal_projector_bias"),
        pinpoints=_pinpoints(raw, get(vision, "image_size")),
    )


def _window(text: Mapping[str, Any]) -> int | None:
    """Mistral's sliding window counts the token itself; Llama has none."""
    if get(text, "model_type") != "mistral":
        return None
    window = get(text, "sliding_window")
    return None if window is None else window - 1


def _pinpoints(raw: Mapping[str, Any], tile: int) -> tuple[tuple[int, int], ...]:
    """(height, width) of each size that an image may be tiled to."""
    found = tuple((int(height), int(width)) for height, width in get(raw, "image_grid_pinpoints"))
    if not found or any(side % tile for pinpoint in found for side in pinpoint):
        raise WeightsError(
            f"config.json: image_grid_pinpoints: found {found}, wanted multiples of {tile}"
        )
    return found
