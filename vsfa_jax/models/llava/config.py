"""config.json of a LLaVA-1.5 checkpoint -> LlavaConfig."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vsfa_jax.core.errors import WeightsError
from vsfa_jax.models import config_reader as read
from vsfa_jax.models.config_reader import get, only
from vsfa_jax.models.llava.model import LlavaConfig


def read_config(raw: Mapping[str, Any]) -> LlavaConfig:
    """Reads what config.json says.

    Raises:
      WeightsError: a key is absent, or a value is one that this family does not have.
    """
    vision, text = get(raw, "vision_config"), get(raw, "text_config")
    only(text, "attention_bias", False)
    only(raw, "projector_hidden_act", "gelu")
    strategy = get(raw, "vision_feature_select_strategy")
    if strategy not in ("default", "full"):
        raise WeightsError(f"config.json: vision_feature_select_strategy: found {strategy!r}")
    tied = raw.get("tie_word_embeddings", False) or text.get("tie_word_embeddings", False)
    return LlavaConfig(
        vision=read.read_clip(raw),
        text=read.read_decoder(text, rotary=read.plain_rotary, tied_head=bool(tied)),
        image_token=read.image_token(raw),
        image_size=get(vision, "image_size"),
        patch_size=get(vision, "patch_size"),
        drop_class_token=strategy == "default",
        projector_bias=get(raw, "multimodal_projector_bias"),
    )
