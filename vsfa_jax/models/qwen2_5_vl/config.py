"""config.json of a Qwen2.5-VL checkpoint -> Qwen25VLConfig."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vsfa_jax.core.errors import WeightsError
from vsfa_jax.models import config_reader as read
from vsfa_jax.models.config_reader import get, only
from vsfa_jax.models.qwen2_5_vl.model import NORM_EPSILON, Qwen25VLConfig, TowerConfig
from vsfa_jax.models.rotary import Rotary, patch_rotary, sectioned_rotary
from vsfa_jax.models.vit import VitConfig


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
    rope = read.rope_parameters(text)
    size, sections = read.head_size(text), get(rope, "mrope_section")
    if len(sections) != 3 or 2 * sum(sections) != size:
        raise WeightsError(
            f"config.json: mrope_section: found {sections}, wanted three that make {size // 2}"
        )
    return sectioned_rotary(size, rope["rope_theta"], sections)


def _tower(vision: Mapping[str, Any], width_out: int) -> TowerConfig:
    only(vision, "out_hidden_size", width_out)
    blocks = VitConfig(
        width=get(vision, "hidden_size"),
        hidden=get(vision, "intermediate_size"),
        num_layers=get(vision, "depth"),
        num_heads=get(vision, "num_heads"),
        norm="rms",
        norm_epsilon=NORM_EPSILON,
        activation=read.activation(vision, "hidden_act"),
        gated=True,
        fused_qkv=True,
    )
    return TowerConfig(
        blocks=blocks,
        patch_size=get(vision, "patch_size"),
        frames=get(vision, "temporal_patch_size"),
        merge=get(vision, "spatial_merge_size"),
        window_size=get(vision, "window_size"),
        full_layers=tuple(get(vision, "fullatt_block_indexes")),
        rotary=patch_rotary(blocks.head_size, read.tower_theta(vision)),
    )
