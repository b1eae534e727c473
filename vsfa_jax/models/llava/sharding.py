"""From parameter path to mesh axes: one table. `*` stands for one path part.

A stacked parameter's leading L axis is never sharded. Adapters follow their kernel's outer axes;
their rank axis is whole.
"""

from __future__ import annotations

SHARDING: dict[str, tuple[str | None, ...]] = {
    "language/embedding": ("tensor", "fsdp"),
    "language/norm/scale": (None,),
    "language/head/kernel": ("fsdp", "tensor"),
    "language/layers/*_norm/scale": (None, None),
    "language/layers/o_proj/kernel": (None, "tensor", "fsdp"),
    "language/layers/down_proj/kernel": (None, "tensor", "fsdp"),
    "language/layers/*_proj/kernel": (None, "fsdp", "tensor"),
    "language/layers/o_proj/adapter/a": (None, "tensor", None),
    "language/layers/o_proj/adapter/b": (None, None, "fsdp"),
    "language/layers/down_proj/adapter/a": (None, "tensor", None),
    "language/layers/down_proj/adapter/b": (None, None, "fsdp"),
    "language/layers/*_proj/adapter/a": (None, "fsdp", None),
    "language/layers/*_proj/adapter/b": (None, None, "tensor"),
    "projector/up_proj/kernel": ("fsdp", "tensor"),
    "projector/up_proj/bias": ("tensor",),
    "projector/up_proj/adapter/a": ("fsdp", None),
    "projector/up_proj/adapter/b": (None, "tensor"),
    "projector/down_proj/kernel": ("tensor", "fsdp"),
    "projector/down_proj/bias": (None,),
    "projector/down_proj/adapter/a": ("tensor", None),
    "projector/down_proj/adapter/b": (None, "fsdp"),
    "vision/class_embedding": (None,),
    "vision/position_embedding": (None, "fsdp"),
    "vision/patch_embedding/kernel": (None, "fsdp"),
    "vision/p*_norm/*": (None,),
    "vision/layers/*_norm/*": (None, None),
    "vision/layers/o_proj/kernel": (None, "tensor", "fsdp"),
    "vision/layers/down_proj/kernel": (None, "tensor", "fsdp"),
    "vision/layers/*_proj/kernel": (None, "fsdp", "tensor"),
    "vision/layers/o_proj/bias": (None, None),
    "vision/layers/down_proj/bias": (None, None),
    "vision/layers/*_proj/bias": (None, "tensor"),
    "vision/layers/o_proj/adapter/a": (None, "tensor", None),
    "vision/layers/o_proj/adapter/b": (None, None, "fsdp"),
    "vision/layers/down_proj/adapter/a": (None, "tensor", None),
    "vision/layers/down_proj/adapter/b": (None, None, "fsdp"),
    "vision/layers/*_proj/adapter/a": (None, "fsdp", None),
    "vision/layers/*_proj/adapter/b": (None, None, "tensor"),
}
