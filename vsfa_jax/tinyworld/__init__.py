"""A drawn world with threats, narrators and attack pages: data without files, made from a seed."""

from vsfa_jax.tinyworld.arms import ARMS
from vsfa_jax.tinyworld.base import resolve_model, world_name, write_base
from vsfa_jax.tinyworld.narrators import WORLDS
from vsfa_jax.tinyworld.source import WorldSource, source

__all__ = [
    "ARMS",
    "WORLDS",
    "WorldSource",
    "resolve_model",
    "source",
    "world_name",
    "write_base",
]
