"""Answers: prompts are run, then every row says one token at a time."""

from vsfa_jax.decode.batch import collate_prompts, generate
from vsfa_jax.decode.buckets import Buckets
from vsfa_jax.decode.engine import Decoding, Engine
from vsfa_jax.decode.queue import Prompt
from vsfa_jax.decode.sampling import Sampling

__all__ = ["Buckets", "Decoding", "Engine", "Prompt", "Sampling", "collate_prompts", "generate"]
