"""Reads config.json files: an absent key is an error, never a default of some class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vsfa_jax.core.errors import WeightsError
from vsfa_jax.models.activations import ACTIVATIONS
from vsfa_jax.models.clip import ClipConfig
from vsfa_jax.models.decoder import DecoderConfig
from vsfa_jax.models.rotary import Rotary, text_rotary
from vsfa_jax.models.vit import VitConfig

Raw = Mapping[str, Any]
_FILE = "config.json"


def get(raw: Raw, key: str, *older: str) -> Any:
    """raw[key], or what an older library called it.

    Raises:
      WeightsError: none of the names is there.
    """
    for name in (key, *older):
        if name in raw:
            return raw[name]
    raise WeightsError(f"{_FILE}: no key {key!r}; a checkpoint's own value is wanted")


def only(raw: Raw, key: str, wanted: object) -> None:
    """Refuses a variant that this family does not have; an absent key is the usual one.

    Raises:
      WeightsError: another value.
    """
    if raw.get(key, wanted) != wanted:
        raise WeightsError(f"{_FILE}: {key}: found {raw[key]!r}, wanted {wanted!r}")


def activation(raw: Raw, key: str) -> str:
    """An activation that we have.

    Raises:
      WeightsError: absent or unknown.
    """
    name = get(raw, key)
    if name not in ACTIVATIONS:
        raise WeightsError(f"{_FILE}: {key}: found {name!r}, wanted one of {sorted(ACTIVATIONS)}")
    return str(name)


def rope_parameters(text: Raw) -> dict[str, Any]:
    """`rope_theta` and what else is said of rotary embedding, in any library's layout.

    Raises:
      WeightsError: no theta, or frequencies that are scaled.
    """
    rope = {**(text.get("rope_scaling") or {}), **(text.get("rope_parameters") or {})}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in ("default", "mrope"):
        raise WeightsError(f"{_FILE}: rope_parameters: found type {kind!r}, wanted 'default'")
    return {**rope, "rope_theta": float(get({**text, **rope}, "rope_theta"))}


def head_size(text: Raw) -> int:
    """H; every library leaves it out where it is D / N."""
    heads, width = get(text, "num_attention_heads"), get(text, "hidden_size")
    size = text.get("head_dim") or width // heads
    return int(size)


def plain_rotary(text: Raw) -> Rotary:
    """One position axis."""
    return text_rotary(head_size(text), rope_parameters(text)["rope_theta"])


def read_decoder(
    text: Raw,
    *,
    rotary: Callable[[Raw], Rotary],
    tied_head: bool,
    qkv_bias: bool = False,
    qk_norm: bool = False,
    window: int | None = None,
) -> DecoderConfig:
    """Shapes of the language model.

    Raises:
      WeightsError: a key is absent, or a variant that we do not have.
    """
    only(text, "hidden_act", "silu")
    only(text, "mlp_bias", False)
    return DecoderConfig(
        vocab_size=get(text, "vocab_size"),
        width=get(text, "hidden_size"),
        hidden=get(text, "intermediate_size"),
        num_layers=get(text, "num_hidden_layers"),
        num_heads=get(text, "num_attention_heads"),
        num_kv_heads=get(text, "num_key_value_heads"),
        head_size=head_size(text),
        norm_epsilon=get(text, "rms_norm_eps"),
        rotary=rotary(text),
        qkv_bias=qkv_bias,
        qk_norm=qk_norm,
        tied_head=tied_head,
        window=window,
    )


def read_clip(raw: Raw) -> ClipConfig:
    """Shapes of the CLIP tower of a LLaVA checkpoint, up to the layer that its projector reads.

    Raises:
      WeightsError: a key is absent, or `vision_feature_layer` is not one layer of the tower.
    """
    vision, layer = get(raw, "vision_config"), get(raw, "vision_feature_layer")
    layers, size = get(vision, "num_hidden_layers"), get(vision, "image_size")
    if not isinstance(layer, int) or not -layers - 1 <= layer <= layers:
        raise WeightsError(
            f"{_FILE}: vision_feature_layer: found {layer!r}, wanted one whole number "
            f"for a tower of {layers} layers"
        )
    blocks = VitConfig(
        width=get(vision, "hidden_size"),
        hidden=get(vision, "intermediate_size"),
        num_layers=layers,
        num_heads=get(vision, "num_attention_heads"),
        norm="layer",
        norm_epsilon=get(vision, "layer_norm_eps"),
        activation=activation(vision, "hidden_act"),
        gated=False,
        fused_qkv=False,
    )
    return ClipConfig(
        blocks=blocks,
        patch_channels=3 * get(vision, "patch_size") ** 2,
        num_positions=(size // get(vision, "patch_size")) ** 2 + 1,
        num_used_layers=layer if layer >= 0 else layers + 1 + layer,
    )


def image_token(raw: Raw) -> int:
    """The placeholder's id; transformers has called it both."""
    return int(get(raw, "image_token_id", "image_token_index"))


def tower_theta(vision: Raw) -> float:
    """Of a Qwen tower's rotary embedding: 10,000 by its architecture, unless the file has it.

    Raises:
      WeightsError: embeddings of another kind.
    """
    rope = vision.get("rope_parameters") or {"rope_type": "axial", "rope_theta": 10000.0}
    if get(rope, "rope_type") != "axial":
        raise WeightsError(f"{_FILE}: vision_config.rope_parameters: found {rope}, wanted 'axial'")
    return float(get(rope, "rope_theta"))


def mrope_sections(text: Raw) -> tuple[int, int, int]:
    """Of the H / 2 rotary pairs, how many turn by time, row and column.

    Raises:
      WeightsError: absent, or not three that make H / 2.
    """
    sections, half = get(rope_parameters(text), "mrope_section"), head_size(text) // 2
    if len(sections) != 3 or sum(sections) != half:
        raise WeightsError(
            f"{_FILE}: mrope_section: found {sections}, wanted three that make {half}"
        )
    time, row, column = sections
    return time, row, column


def read_qwen_blocks(vision: Raw, *, norm: str, epsilon: float, gated: bool) -> VitConfig:
    """Shapes of a Qwen tower's blocks.

    Raises:
      WeightsError: a key is absent.
    """
    return VitConfig(
        width=get(vision, "hidden_size"),
        hidden=get(vision, "intermediate_size"),
        num_layers=get(vision, "depth"),
        num_heads=get(vision, "num_heads"),
        norm=norm,
        norm_epsilon=epsilon,
        activation=activation(vision, "hidden_act"),
        gated=gated,
        fused_qkv=True,
    )
