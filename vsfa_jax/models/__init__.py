"""Vision-language models: `load` a Hugging Face checkpoint directory of any known family."""

from vsfa_jax.models.hub import commit_of, resolve
from vsfa_jax.models.processor import stop_tokens
from vsfa_jax.models.registry import FAMILIES, drawn_model, initialize, load, skeleton
from vsfa_jax.models.vlm import Vlm

__all__ = [
    "FAMILIES",
    "Vlm",
    "commit_of",
    "drawn_model",
    "initialize",
    "load",
    "resolve",
    "skeleton",
    "stop_tokens",
]
