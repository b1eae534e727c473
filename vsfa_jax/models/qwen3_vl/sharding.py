"""From parameter path to mesh axes: the first rule whose pattern matches."""

from __future__ import annotations

from vsfa_jax.models.sharding import COMMON, Axes, linear_table

SHARDING: dict[str, Axes] = {
    **COMMON,
    "deepstack/norm/*": (None, None),
    **linear_table("deepstack/up_proj", "fsdp", "tensor", stacked=True),
    **linear_table("deepstack/down_proj", "tensor", "fsdp", stacked=True),
}
