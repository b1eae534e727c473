"""Vision-language models: `load` a Hugging Face checkpoint directory of any known family."""

from vsfa_jax.models.registry import FAMILIES, initialize, load
from vsfa_jax.models.vlm import Vlm

__all__ = ["FAMILIES", "Vlm", "initialize", "load"]
