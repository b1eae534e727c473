"""Places parameters on a mesh by a family's table; whatever the table cannot place is an error."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from vsfa_jax.core.errors import ConfigError

AXES = ("data", "fsdp", "tensor")
Axes = tuple[str | None, ...]
Table = Mapping[str, Axes]


def linear_table(name: str, into: str, out_of: str, *, stacked: bool) -> dict[str, Axes]:
    """Rules of the linear layers that match `name`: kernel, bias, and an adapter's parts.

    Args:
      name: a pattern; `*` stands for any run of characters.
      into: the mesh axis of the kernel's first axis.
      out_of: of its second. A bias, and the scales of an int8 kernel, are sharded over "tensor"
        only; an adapter's rank is whole.
      stacked: whether a layer axis, never sharded, comes first.
    """
    first: Axes = (None,) if stacked else ()
    outward = out_of if out_of == "tensor" else None
    return {
        f"{name}/kernel": (*first, into, out_of),
        f"{name}/kernel_scale": (*first, outward),
        f"{name}/bias": (*first, outward),
        f"{name}/adapter/a": (*first, into, None),
        f"{name}/adapter/b": (*first, None, out_of),
        f"{name}/adapter/magnitude": (*first, outward),
    }


def block_table(name: str) -> dict[str, Axes]:
    """Rules of the blocks at `name`, of a decoder or a tower, stacked over layers.

    What reads the residual stream shards its input over fsdp and its output over tensor; what
    writes to it the other way round.
    """
    return {
        f"{name}/*_norm/*": (None, None),
        **linear_table(f"{name}/o_proj", "tensor", "fsdp", stacked=True),
        **linear_table(f"{name}/down_proj", "tensor", "fsdp", stacked=True),
        **linear_table(f"{name}/*_proj", "fsdp", "tensor", stacked=True),
    }


COMMON: dict[str, Axes] = {
    "language/embedding": ("tensor", "fsdp"),
    "language/norm/scale": (None,),
    **linear_table("language/head", "fsdp", "tensor", stacked=False),
    **block_table("language/layers"),
    "projector/norm/*": (None,),
    **linear_table("projector/up_proj", "fsdp", "tensor", stacked=False),
    **linear_table("projector/down_proj", "tensor", "fsdp", stacked=False),
    "vision/class_embedding": (None,),
    "vision/position_embedding": (None, "fsdp"),
    "vision/patch_embedding/kernel": (None, "fsdp"),
    "vision/patch_embedding/bias": (None,),
    "vision/p*_norm/*": (None,),
    **block_table("vision/layers"),
}


def parameter_sharding(
    name: str, shape: tuple[int, ...], table: Table, mesh: Mesh
) -> NamedSharding:
    """The sharding of one parameter: the first rule whose pattern matches its name.

    Raises:
      ConfigError: no rule, a rule of another rank, or a size that the axis does not divide.
    """
    pattern = next((p for p in table if fnmatch.fnmatchcase(name, p)), None)
    if pattern is None:
        raise ConfigError(f"{name}: no sharding rule matches; add one to the family's table")
    axes = table[pattern]
    if len(axes) != len(shape):
        raise ConfigError(f"{name}: rule {pattern!r} has {len(axes)} axes, the shape is {shape}")
    for size, axis in zip(shape, axes, strict=True):
        if axis is not None and size % mesh.shape[axis]:
            raise ConfigError(
                f"{name}: size {size} of {shape} is not divisible by mesh axis {axis!r} "
                f"of {mesh.shape[axis]}"
            )
    return NamedSharding(mesh, PartitionSpec(*axes))


def split_sequence(x: jax.Array) -> jax.Array:
    """[B, T, D] between blocks: T over "tensor" on a mesh that has it and divides T.

    There every device would hold all of it alike; split, what a backward pass keeps of each block
    is so much smaller, and an all-reduce becomes a reduce-scatter and an all-gather.

    Source: sequence parallelism of arXiv 2205.05198, section 4.2.2.
    """
    mesh = jax.sharding.get_abstract_mesh()
    parts = 1 if mesh.empty else mesh.shape.get("tensor", 1)
    if parts == 1 or x.shape[1] % parts:
        return x
    spec = PartitionSpec(PartitionSpec.UNCONSTRAINED, "tensor", None)
    return jax.lax.with_sharding_constraint(x, spec)


def single_device_mesh() -> Mesh:
    """A mesh of one device with the three axes, for loading and evaluation on one chip."""
    return Mesh(np.asarray(jax.devices()[:1]).reshape(1, 1, 1), AXES)
