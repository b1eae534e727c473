"""Where each tensor of a LLaVA-1.5 checkpoint goes. Hugging Face's names live here only."""

from __future__ import annotations

from vsfa_jax.models.llava.model import LlavaConfig
from vsfa_jax.models.rules import Rule, clip_rules, decoder_rules, linear

LAYOUT = (
    ("model.language_model.", "language_model.model."),
    ("lm_head.", "language_model.lm_head."),
    ("model.vision_tower.", "vision_tower."),
    ("model.multi_modal_projector.", "multi_modal_projector."),
)

IGNORED = (
    "model.vision_tower.embeddings.position_ids",
    "model.language_model.layers.*.self_attn.rotary_emb.inv_freq",
)


def rules(config: LlavaConfig) -> list[Rule]:
    """One rule a parameter."""
    bias = config.projector_bias
    projector = "model.multi_modal_projector"
    return [
        *decoder_rules(qkv_bias=False, qk_norm=False, tied_head=config.text.tied_head),
        *clip_rules(),
        *linear("projector/up_proj", f"{projector}.linear_1", bias=bias),
        *linear("projector/down_proj", f"{projector}.linear_2", bias=bias),
    ]
