"""config.json of a Qwen3-VL checkpoint -> Qwen3VLConfig."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from vsfa_jax.core.errors import WeightsError
from vsfa_jax.models import config_reader as read
from vsfa_jax.models.config_reader import get, only
from vsfa_jax.models.qwen3_vl.model import NORM_EPSILON, Qwen3VLConfig, TowerConfig
from vsfa_jax.models.rotary import Rotary, interleaved_rotary, patch_rotary


def read_config(raw: Mapping[str, Any]) -> Qwen3VLConfig:
    """Reads what config.json says.

    Raises:
      WeightsError: a key is absent, or a value is one that this family does not have.
    """
    text, vision = get(raw, "text_config"), get(raw, "vision_config")
    only(text, "attention_bias", False)
    tied = get({**text, **raw}, "tie_word_embeddings")
    config = Qwen3VLConfig(
        vision=_tower(vision, get(text, "hidden_size")),
        text=read.read_decoder(text, rotary=_rotary, tied_head=bool(tied), qk_norm=True),
        image_token=read.image_token(raw),
    )
    if len(config.vision.deepstack_layers) > config.text.num_layers:
        raise WeightsError("config.json: deepstack_visual_indexes: more than decoder layers")
    return config


def _rotary(text: Mapping[str, Any]) -> Rotary:
    only(read.rope_parameters(text), "mrope_interleaved", True)
    theta = read.rope_parameters(text)["rope_theta"]
    return interleaved_rotary(read.head_size(text), theta, read.mrope_sections(text))


def _tower(vision: Mapping[str, Any], width_out: int) -> TowerConfig:
    only(vision, "out_hidden_size", width_out)
    blocks = read.read_qwen_blocks(vision, norm="layer", epsilon=NORM_EPSILON, gated=False)
    deepstack = tuple(get(vision, "deepstack_visual_indexes"))
    if not deepstack or max(deepstack) >= blocks.num_layers or min(deepstack) < 0:
        raise WeightsError(
            f"config.json: deepstack_visual_indexes: found {deepstack}, wanted layers of "
            f"{blocks.num_layers}, at least one"
        )
    return TowerConfig(
        blocks=blocks,
        patch_size=get(vision, "patch_size"),
        frames=get(vision, "temporal_patch_size"),
        merge=get(vision, "spatial_merge_size"),
        table_side=math.isqrt(get(vision, "num_position_embeddings")),
        deepstack_layers=deepstack,
        rotary=patch_rotary(blocks.head_size, read.tower_theta(vision)),
    )
