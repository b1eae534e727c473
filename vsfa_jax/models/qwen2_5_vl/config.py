"""config.json of a Qwen2.5-VL checkpoint -> Qwen25VLConfig."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vsfa_jax.models import config_reader as read
from vsfa_jax.models.config_reader import get, only
from vsfa_jax.models.qwen2_5_vl.model import NORM_EPSILON, Qwen25VLConfig, TowerConfig
from vsfa_jax.models.rotary import Rotary, patch_rotary, sectioned_rotary


def read_config(raw: Mapping[str, Any]) -> Qwen25VLConfig:
    """Reads what config.json says; the language model's keys may stand at the top of it.

    Raises:
      WeightsError: a key is absent, or a value is one that this family does not have.
    """
    text = raw.get("text_config", raw)
    only(text, "use_sliding_window", False)
    return Qwen25VLConfig(
        vision=_tower(get(raw, "vision_config"), get(text, "hidden_size")),
        text=read.read_decoder(
            text, rotary=_rotary, tied_head=bool(get(raw, "tie_word_embeddings")), qkv_bias=True
        ),
        image_token=read.image_token(raw),
    )


def _rotary(text: Mapping[str, Any]) -> Rotary:
    theta = read.rope_parameters(text)["rope_theta"]
    return sectioned_rotary(read.head_size(text), theta, read.mrope_sections(text))


def _tower(vision: Mapping[str, Any], width_out: int) -> TowerConfig:
    only(vision, "out_hidden_size", width_out)
    blocks = read.read_qwen_blocks(vision, norm="rms", epsilon=NORM_EPSILON, gated=True)
    return TowerConfig(
        blocks=blocks,
        patch_size=get(vision, "patch_size"),
        frames=get(vision, "temporal_patch_size"),
        merge=get(vision, "spatial_merge_size"),
        window_size=get(vision, "window_size"),
        full_layers=tuple(get(vision, "fullatt_block_indexes")),
        rotary=patch_rotary(blocks.head_size, read.tower_theta(vision)),
    )
