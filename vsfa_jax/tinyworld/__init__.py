"""A drawn world with threats, narrators and attack pages: data without files, made from a seed."""

from vsfa_jax.tinyworld.arms import ARMS
from vsfa_jax.tinyworld.base import UNTRAINED, resolve_model, world_name, write_base
from vsfa_jax.tinyworld.blind import blind_answers, blind_rates
from vsfa_jax.tinyworld.cases import WorldCase, cases
from vsfa_jax.tinyworld.narrators import WORLDS
from vsfa_jax.tinyworld.records import WorldSource, source

__all__ = [
    "ARMS",
    "UNTRAINED",
    "WORLDS",
    "WorldCase",
    "WorldSource",
    "blind_answers",
    "blind_rates",
    "cases",
    "resolve_model",
    "source",
    "world_name",
    "write_base",
]
