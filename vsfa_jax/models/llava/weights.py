"""Where each tensor of a LLaVA-1.5 checkpoint goes.

Hugging Face's names live here only. `CANONICAL` turns the key layouts that transformers has
written over the years into the one that it writes today.
"""

from __future__ import annotations

from vsfa_jax.models.rules import Rule, Turn

_BLOCK = "language_model.model.layers.{layer}."
_TOWER = "vision_tower.encoder.layers.{layer}."


def _linear(ours: str, theirs: str, bias: bool) -> list[Rule]:
    rules = [Rule(f"{ours}/kernel", f"{theirs}.weight", Turn.TRANSPOSE)]
    return rules + ([Rule(f"{ours}/bias", f"{theirs}.bias")] if bias else [])


def _layer_norm(ours: str, theirs: str) -> list[Rule]:
    return [Rule(f"{ours}/scale", f"{theirs}.weight"), Rule(f"{ours}/bias", f"{theirs}.bias")]


RULES: list[Rule] = [
    Rule("language/embedding", "language_model.model.embed_tokens.weight"),
    Rule("language/norm/scale", "language_model.model.norm.weight"),
    *_linear("language/head", "language_model.lm_head", bias=False),
    Rule("language/layers/attention_norm/scale", _BLOCK + "input_layernorm.weight"),
    Rule("language/layers/mlp_norm/scale", _BLOCK + "post_attention_layernorm.weight"),
    *(
        rule
        for name in ("q_proj", "k_proj", "v_proj", "o_proj")
        for rule in _linear(f"language/layers/{name}", f"{_BLOCK}self_attn.{name}", bias=False)
    ),
    *(
        rule
        for name in ("gate_proj", "up_proj", "down_proj")
        for rule in _linear(f"language/layers/{name}", f"{_BLOCK}mlp.{name}", bias=False)
    ),
    *_linear("projector/up_proj", "multi_modal_projector.linear_1", bias=True),
    *_linear("projector/down_proj", "multi_modal_projector.linear_2", bias=True),
    Rule("vision/class_embedding", "vision_tower.embeddings.class_embedding"),
    Rule("vision/position_embedding", "vision_tower.embeddings.position_embedding.weight"),
    Rule(
        "vision/patch_embedding/kernel",
        "vision_tower.embeddings.patch_embedding.weight",
        Turn.CONVOLUTION,
    ),
    *_layer_norm("vision/pre_norm", "vision_tower.pre_layrnorm"),
    *_layer_norm("vision/post_norm", "vision_tower.post_layernorm"),
    *_layer_norm("vision/layers/attention_norm", _TOWER + "layer_norm1"),
    *_layer_norm("vision/layers/mlp_norm", _TOWER + "layer_norm2"),
    *_linear("vision/layers/q_proj", _TOWER + "self_attn.q_proj", bias=True),
    *_linear("vision/layers/k_proj", _TOWER + "self_attn.k_proj", bias=True),
    *_linear("vision/layers/v_proj", _TOWER + "self_attn.v_proj", bias=True),
    *_linear("vision/layers/o_proj", _TOWER + "self_attn.out_proj", bias=True),
    *_linear("vision/layers/up_proj", _TOWER + "mlp.fc1", bias=True),
    *_linear("vision/layers/down_proj", _TOWER + "mlp.fc2", bias=True),
]

CANONICAL: list[tuple[str, str]] = [
    ("model.language_model.", "language_model.model."),
    ("lm_head.", "language_model.lm_head."),
    ("model.vision_tower.", "vision_tower."),
    ("model.multi_modal_projector.", "multi_modal_projector."),
    ("vision_tower.vision_model.", "vision_tower."),
]

IGNORED: list[str] = [
    "vision_tower.embeddings.position_ids",
    "language_model.model.layers.*.self_attn.rotary_emb.inv_freq",
]
