"""Weight rules: our parameter, their tensor, and how one turns into the other.

`theirs` is the name that transformers gives a parameter in memory, which is what adapters go by.
What files have called it over the years is turned into that by `canonical`.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence

import numpy as np


class Turn(enum.Enum):
    """How a checkpoint's tensor becomes our parameter (of one layer)."""

    SAME = "same"
    TRANSPOSE = "transpose"  # torch Linear [F, D] -> kernel [D, F]
    CONVOLUTION = "convolution"  # [D, 3, ...] -> kernel [3 ..., D]


@dataclasses.dataclass(frozen=True)
class Rule:
    """`theirs` may hold {layer}: then `ours` is stacked over a leading axis."""

    ours: str
    theirs: str
    turn: Turn = Turn.SAME

    @property
    def stacked(self) -> bool:
        """True when `ours` holds every layer."""
        return "{layer}" in self.theirs


def to_ours(tensor: np.ndarray, turn: Turn) -> np.ndarray:
    """One layer's tensor in our layout."""
    if turn is Turn.SAME:
        return tensor
    return tensor.reshape(tensor.shape[0], -1).T


def to_theirs(parameter: np.ndarray, turn: Turn, patch_shape: Sequence[int]) -> np.ndarray:
    """One layer's parameter in the checkpoint's layout; the inverse of `to_ours`.

    Args:
      parameter: ours.
      turn: how it was read.
      patch_shape: (3, ..., p, p), what a convolution over patches sees.
    """
    if turn is Turn.SAME:
        return parameter
    if turn is Turn.TRANSPOSE:
        return parameter.T
    return parameter.T.reshape(parameter.shape[1], *patch_shape)


def linear(ours: str, theirs: str, bias: bool) -> list[Rule]:
    """A linear layer's kernel and, if it has one, bias."""
    rules = [Rule(f"{ours}/kernel", f"{theirs}.weight", Turn.TRANSPOSE)]
    return rules + ([Rule(f"{ours}/bias", f"{theirs}.bias")] if bias else [])


def layer_norm(ours: str, theirs: str) -> list[Rule]:
    """A LayerNorm's scale and bias."""
    return [Rule(f"{ours}/scale", f"{theirs}.weight"), Rule(f"{ours}/bias", f"{theirs}.bias")]


def rms_norm(ours: str, theirs: str) -> list[Rule]:
    """An RMSNorm's scale."""
    return [Rule(f"{ours}/scale", f"{theirs}.weight")]


def decoder_rules(*, qkv_bias: bool, qk_norm: bool, tied_head: bool) -> list[Rule]:
    """The language model's parameters."""
    ours, theirs = "language/layers", "model.language_model.layers.{layer}"
    attention, mlp = f"{theirs}.self_attn", f"{theirs}.mlp"
    rules = [
        Rule("language/embedding", "model.language_model.embed_tokens.weight"),
        *rms_norm("language/norm", "model.language_model.norm"),
        *rms_norm(f"{ours}/attention_norm", f"{theirs}.input_layernorm"),
        *rms_norm(f"{ours}/mlp_norm", f"{theirs}.post_attention_layernorm"),
        *linear(f"{ours}/o_proj", f"{attention}.o_proj", bias=False),
    ]
    for name in ("q_proj", "k_proj", "v_proj"):
        rules += linear(f"{ours}/{name}", f"{attention}.{name}", bias=qkv_bias)
    for name in ("gate_proj", "up_proj", "down_proj"):
        rules += linear(f"{ours}/{name}", f"{mlp}.{name}", bias=False)
    if qk_norm:
        rules += rms_norm(f"{ours}/q_norm", f"{attention}.q_norm")
        rules += rms_norm(f"{ours}/k_norm", f"{attention}.k_norm")
    return rules if tied_head else rules + linear("language/head", "lm_head", bias=False)


def clip_rules() -> list[Rule]:
    """The parameters of a CLIP tower."""
    ours, theirs = "vision/layers", "model.vision_tower.encoder.layers.{layer}"
    embeddings = "model.vision_tower.embeddings"
    patches = Rule(
        "vision/patch_embedding/kernel", f"{embeddings}.patch_embedding.weight", Turn.CONVOLUTION
    )
    rules = [
        patches,
        Rule("vision/class_embedding", f"{embeddings}.class_embedding"),
        Rule("vision/position_embedding", f"{embeddings}.position_embedding.weight"),
        *layer_norm("vision/pre_norm", "model.vision_tower.pre_layrnorm"),
        *layer_norm("vision/post_norm", "model.vision_tower.post_layernorm"),
        *layer_norm(f"{ours}/attention_norm", f"{theirs}.layer_norm1"),
        *layer_norm(f"{ours}/mlp_norm", f"{theirs}.layer_norm2"),
        *linear(f"{ours}/o_proj", f"{theirs}.self_attn.out_proj", bias=True),
        *linear(f"{ours}/up_proj", f"{theirs}.mlp.fc1", bias=True),
        *linear(f"{ours}/down_proj", f"{theirs}.mlp.fc2", bias=True),
    ]
    for name in ("q_proj", "k_proj", "v_proj"):
        rules += linear(f"{ours}/{name}", f"{theirs}.self_attn.{name}", bias=True)
    return rules


def llava_rules(*, projector_bias: bool, tied_head: bool) -> list[Rule]:
    """What the LLaVA families share: tower, projector and language model."""
    projector = "model.multi_modal_projector"
    return [
        *decoder_rules(qkv_bias=False, qk_norm=False, tied_head=tied_head),
        *clip_rules(),
        *linear("projector/up_proj", f"{projector}.linear_1", bias=projector_bias),
        *linear("projector/down_proj", f"{projector}.linear_2", bias=projector_bias),
    ]


LLAVA_LAYOUT: tuple[tuple[str, str], ...] = (
    ("model.language_model.", "language_model.model."),
    ("lm_head.", "language_model.lm_head."),
    ("model.vision_tower.", "vision_tower."),
    ("model.multi_modal_projector.", "multi_modal_projector."),
)
LLAVA_IGNORED = (
    "model.vision_tower.embeddings.position_ids",
    "model.language_model.layers.*.self_attn.rotary_emb.inv_freq",
)

# What transformers has called things in files and in memory -> what it calls them in memory now.
# The first prefix that fits is replaced.
_OLDER: tuple[tuple[str, str], ...] = (
    ("language_model.model.", "model.language_model."),
    ("language_model.lm_head.", "lm_head."),
    ("model.layers.", "model.language_model.layers."),
    ("model.embed_tokens.", "model.language_model.embed_tokens."),
    ("model.norm.", "model.language_model.norm."),
    ("model.vision_tower.vision_model.", "model.vision_tower."),
    ("vision_tower.vision_model.", "model.vision_tower."),
    ("vision_tower.", "model.vision_tower."),
    ("visual.", "model.visual."),
    ("multi_modal_projector.", "model.multi_modal_projector."),
    ("image_newline", "model.image_newline"),
)


def canonical(key: str) -> str:
    """A tensor's key in any of transformers' layouts -> the name in memory."""
    for old, new in _OLDER:
        if key.startswith(old):
            return new + key[len(old) :]
    return key


def written(name: str, layout: Sequence[tuple[str, str]]) -> str:
    """A name in memory -> the key that transformers writes; `layout` pairs their prefixes."""
    for ours, theirs in layout:
        if name.startswith(ours):
            return theirs + name[len(ours) :]
    return name
