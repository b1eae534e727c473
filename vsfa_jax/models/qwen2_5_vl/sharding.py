"""From parameter path to mesh axes: the first rule whose pattern matches."""

from __future__ import annotations

from vsfa_jax.models.sharding import COMMON, Axes

SHARDING: dict[str, Axes] = COMMON
