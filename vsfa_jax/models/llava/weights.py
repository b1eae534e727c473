"""Where each tensor of a LLaVA-1.5 checkpoint goes."""

from __future__ import annotations

from vsfa_jax.models.llava.model import LlavaConfig
from vsfa_jax.models.rules import LLAVA_IGNORED, LLAVA_LAYOUT, Rule, llava_rules

LAYOUT, IGNORED = LLAVA_LAYOUT, LLAVA_IGNORED


def rules(config: LlavaConfig) -> list[Rule]:
    """One rule a parameter."""
    return llava_rules(projector_bias=config.projector_bias, tied_head=config.text.tied_head)
