"""The device mesh: axes `data` and `fsdp` share the rows of a batch, `tensor` splits matrices.

two slices of four chips       data  2, over the slices: gradients alone cross them
mesh.data=2 fsdp=2 tensor=2    fsdp 2, tensor 2, inside a slice
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax
from jax.experimental import mesh_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from vsfa_jax.core.errors import ConfigError
from vsfa_jax.models.sharding import AXES


def make_mesh(
    data: int, fsdp: int, tensor: int, devices: Sequence[jax.Device] | None = None
) -> Mesh:
    """A mesh over every device; at most one size may be -1, meaning the rest.

    Devices of a slice that are neighbours on an inner axis are neighbours in the slice. Where there
    are several slices, `data` is what lies across them.

    Args:
      data: size of the axis.
      fsdp: likewise.
      tensor: likewise.
      devices: all of this job when None; those of a topology that is compiled for.

    Raises:
      ConfigError: the sizes do not multiply to the number of devices, or `data` does not divide
        over the slices.
    """
    devices = jax.devices() if devices is None else list(devices)
    sizes = _sizes({"data": data, "fsdp": fsdp, "tensor": tensor}, len(devices))
    slices = len({slice_of(device) for device in devices})
    shape = tuple(sizes.values())
    if slices == 1:
        return Mesh(mesh_utils.create_device_mesh(shape, devices), AXES)
    if sizes["data"] % slices:
        raise ConfigError(f"mesh.data: found {sizes['data']}, wanted a multiple of {slices} slices")
    inside = (sizes["data"] // slices, sizes["fsdp"], sizes["tensor"])
    grid = mesh_utils.create_hybrid_device_mesh(inside, (slices, 1, 1), devices)
    return Mesh(grid, AXES)


def _sizes(wanted: dict[str, int], devices: int) -> dict[str, int]:
    """The sizes with -1 worked out."""
    sizes = dict(wanted)
    open_axes = [name for name, size in sizes.items() if size == -1]
    known = math.prod(size for size in sizes.values() if size != -1)
    if len(open_axes) > 1 or any(size < 1 and size != -1 for size in sizes.values()):
        raise ConfigError(f"mesh: found {sizes}, wanted sizes of at least 1 and at most one -1")
    if open_axes and devices % known == 0:
        sizes[open_axes[0]] = devices // known
    if math.prod(sizes.values()) != devices:
        raise ConfigError(f"mesh: {sizes} does not make {devices} devices")
    return sizes


def slice_of(device: jax.Device) -> int:
    """The slice that a TPU device belongs to; 0 for every other kind."""
    return int(getattr(device, "slice_index", 0) or 0)


def batch_sharding(mesh: Mesh, micro_batches: bool = False) -> NamedSharding:
    """Rows over data and fsdp; a leading axis of micro-batches stays whole."""
    rows = ("data", "fsdp")
    return NamedSharding(mesh, PartitionSpec(None, rows) if micro_batches else PartitionSpec(rows))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same on every device."""
    return NamedSharding(mesh, PartitionSpec())
