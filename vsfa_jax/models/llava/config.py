"""config.json of a LLaVA-1.5 checkpoint -> LlavaConfig; an absent key is an error, no default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vsfa_jax.core.errors import WeightsError
from vsfa_jax.models.clip import ClipConfig
from vsfa_jax.models.decoder import DecoderConfig
from vsfa_jax.models.llava.model import LlavaConfig


def read_config(raw: Mapping[str, Any]) -> LlavaConfig:
    """Reads what config.json says.

    Raises:
      WeightsError: a key is absent, or a value is one that this family does not have.
    """
    vision, text = _get(raw, "vision_config"), _get(raw, "text_config")
    _only(vision, "hidden_act", "quick_gelu")
    _only(text, "hidden_act", "silu")
    _only(text, "attention_bias", False)
    _only(text, "mlp_bias", False)
    _only(text, "tie_word_embeddings", False)
    _only(raw, "projector_hidden_act", "gelu")
    strategy = _get(raw, "vision_feature_select_strategy")
    if strategy not in ("default", "full"):
        raise WeightsError(f"config.json: vision_feature_select_strategy: found {strategy!r}")
    return LlavaConfig(
        vision=_vision(vision, _get(raw, "vision_feature_layer")),
        text=_text(text),
        image_token=_image_token(raw),
        image_size=_get(vision, "image_size"),
        patch_size=_get(vision, "patch_size"),
        drop_class_token=strategy == "default",
        projector_bias=_get(raw, "multimodal_projector_bias"),
    )


def _vision(vision: Mapping[str, Any], feature_layer: object) -> ClipConfig:
    layers, size = _get(vision, "num_hidden_layers"), _get(vision, "image_size")
    if not isinstance(feature_layer, int) or not -layers - 1 <= feature_layer <= layers:
        raise WeightsError(
            f"config.json: vision_feature_layer: found {feature_layer!r}, wanted one whole number "
            f"for a tower of {layers} layers"
        )
    return ClipConfig(
        patch_channels=3 * _get(vision, "patch_size") ** 2,
        num_positions=(size // _get(vision, "patch_size")) ** 2 + 1,
        width=_get(vision, "hidden_size"),
        hidden=_get(vision, "intermediate_size"),
        num_layers=layers,
        num_used_layers=feature_layer if feature_layer >= 0 else layers + 1 + feature_layer,
        num_heads=_get(vision, "num_attention_heads"),
        norm_epsilon=_get(vision, "layer_norm_eps"),
    )


def _text(text: Mapping[str, Any]) -> DecoderConfig:
    heads, width = _get(text, "num_attention_heads"), _get(text, "hidden_size")
    rope = text.get("rope_parameters") or {"rope_theta": _get(text, "rope_theta")}
    if rope.get("rope_type", "default") != "default" or text.get("rope_scaling"):
        raise WeightsError(f"config.json: rope_parameters: found {rope}, wanted type 'default'")
    return DecoderConfig(
        vocab_size=_get(text, "vocab_size"),
        width=width,
        hidden=_get(text, "intermediate_size"),
        num_layers=_get(text, "num_hidden_layers"),
        num_heads=heads,
        num_kv_heads=_get(text, "num_key_value_heads"),
        head_size=text.get("head_dim") or width // heads,
        rope_theta=float(_get(rope, "rope_theta")),
        norm_epsilon=_get(text, "rms_norm_eps"),
    )


def _image_token(raw: Mapping[str, Any]) -> int:
    """transformers has called it both."""
    return int(raw["image_token_id"] if "image_token_id" in raw else _get(raw, "image_token_index"))


def _get(raw: Mapping[str, Any], key: str) -> Any:
    if key not in raw:
        raise WeightsError(f"config.json: no key {key!r}; a checkpoint's own value is wanted")
    return raw[key]


def _only(raw: Mapping[str, Any], key: str, wanted: object) -> None:
    if raw.get(key, wanted) != wanted:
        raise WeightsError(f"config.json: {key}: found {raw[key]!r}, wanted {wanted!r}")
