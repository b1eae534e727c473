"""Where each tensor of a Qwen2.5-VL checkpoint goes. Hugging Face's names live here only."""

from __future__ import annotations

from vsfa_jax.models.qwen2_5_vl.model import Qwen25VLConfig
from vsfa_jax.models.rules import Rule, Turn, decoder_rules, linear, rms_norm

LAYOUT = (("model.language_model.", "model."), ("model.visual.", "visual."))

IGNORED = (
    "model.language_model.layers.*.self_attn.rotary_emb.inv_freq",
    "model.visual.rotary_pos_emb.inv_freq",
)


def rules(config: Qwen25VLConfig) -> list[Rule]:
    """One rule a parameter."""
    ours, theirs = "vision/layers", "model.visual.blocks.{layer}"
    patches = "model.visual.patch_embed.proj.weight"
    tower = [
        Rule("vision/patch_embedding/kernel", patches, Turn.CONVOLUTION),
        *rms_norm(f"{ours}/attention_norm", f"{theirs}.norm1"),
        *rms_norm(f"{ours}/mlp_norm", f"{theirs}.norm2"),
        *linear(f"{ours}/qkv_proj", f"{theirs}.attn.qkv", bias=True),
        *linear(f"{ours}/o_proj", f"{theirs}.attn.proj", bias=True),
        *linear(f"{ours}/gate_proj", f"{theirs}.mlp.gate_proj", bias=True),
        *linear(f"{ours}/up_proj", f"{theirs}.mlp.up_proj", bias=True),
        *linear(f"{ours}/down_proj", f"{theirs}.mlp.down_proj", bias=True),
    ]
    return [
        *decoder_rules(qkv_bias=True, qk_norm=False, tied_head=config.text.tied_head),
        *tower,
        *rms_norm("projector/norm", "model.visual.merger.ln_q"),
        *linear("projector/up_proj", "model.visual.merger.mlp.0", bias=True),
        *linear("projector/down_proj", "model.visual.merger.mlp.2", bias=True),
    ]
