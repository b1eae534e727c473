"""The device mesh: axes `data` and `fsdp` share the rows of a batch, `tensor` splits matrices."""

from __future__ import annotations

import math

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from vsfa_jax.core.errors import ConfigError
from vsfa_jax.models.sharding import AXES


def make_mesh(data: int, fsdp: int, tensor: int) -> Mesh:
    """A mesh over every device; at most one size may be -1, meaning the rest.

    Raises:
      ConfigError: the sizes do not multiply to the number of devices.
    """
    sizes = {"data": data, "fsdp": fsdp, "tensor": tensor}
    devices = jax.device_count()
    open_axes = [name for name, size in sizes.items() if size == -1]
    known = math.prod(size for size in sizes.values() if size != -1)
    if len(open_axes) > 1 or any(size < 1 and size != -1 for size in sizes.values()):
        raise ConfigError(f"mesh: found {sizes}, wanted sizes of at least 1 and at most one -1")
    if open_axes and devices % known == 0:
        sizes[open_axes[0]] = devices // known
    if math.prod(sizes.values()) != devices:
        raise ConfigError(f"mesh: {sizes} does not make {devices} devices")
    return Mesh(np.asarray(jax.devices()).reshape(tuple(sizes.values())), AXES)


def batch_sharding(mesh: Mesh, micro_batches: bool = False) -> NamedSharding:
    """Rows over data and fsdp; a leading axis of micro-batches stays whole."""
    rows = ("data", "fsdp")
    return NamedSharding(mesh, PartitionSpec(None, rows) if micro_batches else PartitionSpec(rows))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same on every device."""
    return NamedSharding(mesh, PartitionSpec())
