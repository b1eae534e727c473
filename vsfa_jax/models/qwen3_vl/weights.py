"""Where each tensor of a Qwen3-VL checkpoint goes. Hugging Face's names live here only."""

from __future__ import annotations

from vsfa_jax.models.qwen3_vl.model import Qwen3VLConfig
from vsfa_jax.models.rules import Rule, Turn, decoder_rules, layer_norm, linear

LAYOUT: tuple[tuple[str, str], ...] = ()  # files have the names of memory

IGNORED = (
    "model.language_model.layers.*.self_attn.rotary_emb.inv_freq",
    "model.visual.rotary_pos_emb.inv_freq",
)


def rules(config: Qwen3VLConfig) -> list[Rule]:
    """One rule a parameter."""
    return [
        *decoder_rules(qkv_bias=False, qk_norm=True, tied_head=config.text.tied_head),
        *_tower(),
        *_merger("projector", "model.visual.merger"),
        *_merger("deepstack", "model.visual.deepstack_merger_list.{layer}"),
    ]


def _tower() -> list[Rule]:
    ours, theirs = "vision/layers", "model.visual.blocks.{layer}"
    patches = "model.visual.patch_embed.proj"
    return [
        Rule("vision/patch_embedding/kernel", f"{patches}.weight", Turn.CONVOLUTION),
        Rule("vision/patch_embedding/bias", f"{patches}.bias"),
        Rule("vision/position_embedding", "model.visual.pos_embed.weight"),
        *layer_norm(f"{ours}/attention_norm", f"{theirs}.norm1"),
        *layer_norm(f"{ours}/mlp_norm", f"{theirs}.norm2"),
        *linear(f"{ours}/qkv_proj", f"{theirs}.attn.qkv", bias=True),
        *linear(f"{ours}/o_proj", f"{theirs}.attn.proj", bias=True),
        *linear(f"{ours}/up_proj", f"{theirs}.mlp.linear_fc1", bias=True),
        *linear(f"{ours}/down_proj", f"{theirs}.mlp.linear_fc2", bias=True),
    ]


def _merger(ours: str, theirs: str) -> list[Rule]:
    return [
        *layer_norm(f"{ours}/norm", f"{theirs}.norm"),
        *linear(f"{ours}/up_proj", f"{theirs}.linear_fc1", bias=True),
        *linear(f"{ours}/down_proj", f"{theirs}.linear_fc2", bias=True),
    ]
