"""Where each tensor of a LLaVA-NeXT checkpoint goes."""

from __future__ import annotations

from vsfa_jax.models.llava_next.model import LlavaNextConfig
from vsfa_jax.models.rules import LLAVA_IGNORED, LLAVA_LAYOUT, Rule, llava_rules

LAYOUT = (*LLAVA_LAYOUT, ("model.image_newline", "image_newline"))
IGNORED = LLAVA_IGNORED


def rules(config: LlavaNextConfig) -> list[Rule]:
    """One rule a parameter."""
    shared = llava_rules(projector_bias=config.projector_bias, tied_head=config.text.tied_head)
    return [*shared, Rule("image_newline", "model.image_newline")]
