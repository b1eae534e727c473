"""Rows of a batch on a mesh of several processes: who holds which, and from numpy and back."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from vsfa_jax.core.errors import ConfigError

ROWS = ("data", "fsdp")  # the axes that share the rows of a batch


def num_shards(mesh: Mesh) -> int:
    """What the rows of a batch must be a multiple of."""
    return int(mesh.shape["data"] * mesh.shape["fsdp"])


def row_share(mesh: Mesh) -> tuple[int, int]:
    """(which, of how many): the part of a batch's rows that this process holds.

    Processes share a part where the axis "tensor" is longer than their devices.

    Raises:
      ConfigError: the parts of the processes differ in size, or overlap.
    """
    shards = mesh.devices.reshape(num_shards(mesh), -1)
    held: dict[int, list[int]] = {}
    for number, devices in enumerate(shards):
        for process in {device.process_index for device in devices}:
            held.setdefault(process, []).append(number)
    parts = sorted({tuple(numbers) for numbers in held.values()})
    if len({len(part) for part in parts}) > 1 or sum(map(len, parts)) != len(shards):
        raise ConfigError(
            f"mesh: {dict(mesh.shape)} gives the processes rows {parts}; wanted parts of one size "
            "that do not overlap, as where tensor divides a process's devices or is a multiple"
        )
    return parts.index(tuple(held[jax.process_index()])), len(parts)


def place_rows(tree: Any, mesh: Mesh) -> Any:
    """This process's rows as global arrays.

    Args:
      tree: of numpy arrays [R, ...], R the same on every process.
      mesh: data, fsdp, tensor.

    Returns:
      The tree of arrays [R x parts, ...], rows over data and fsdp.
    """
    sharding = NamedSharding(mesh, PartitionSpec(ROWS))
    parts = row_share(mesh)[1]

    def put(leaf: np.ndarray) -> jax.Array:
        shape = (len(leaf) * parts, *leaf.shape[1:])
        return jax.make_array_from_process_local_data(sharding, leaf, shape)

    return jax.tree.map(put, tree)


def fetch(tree: Any) -> Any:
    """Global arrays whole, in numpy, on every process; all of them must call it."""

    def whole(leaf: jax.Array) -> np.ndarray:
        if leaf.is_fully_addressable:
            return np.asarray(leaf)
        return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))

    return jax.tree.map(whole, tree)


def longest(lengths: tuple[int, ...]) -> tuple[int, ...]:
    """The largest of each number over all processes; all of them must call it."""
    if jax.process_count() == 1:
        return lengths
    found = multihost_utils.process_allgather(np.asarray(lengths, np.int32))
    return tuple(found.max(axis=0).tolist())
