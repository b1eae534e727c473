"""Places parameters on a mesh by a family's table; whatever the table cannot place is an error."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from vsfa_jax.core.errors import ConfigError

AXES = ("data", "fsdp", "tensor")
Table = Mapping[str, tuple[str | None, ...]]


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


def single_device_mesh() -> Mesh:
    """A mesh of one device with the three axes, for loading and evaluation on one chip."""
    return Mesh(np.asarray(jax.devices()[:1]).reshape(1, 1, 1), AXES)
