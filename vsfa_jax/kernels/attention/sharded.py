"""Attention on a mesh: every device computes its own rows and its own heads.

A Pallas kernel is one opaque call to the compiler, which cannot cut it; so it is cut here. Rows
need nothing of each other, nor do key heads. What an axis does not divide stays whole on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
from jax.sharding import PartitionSpec

from vsfa_jax.kernels.attention.block_map import BlockMap, SegmentPair

ROWS, HEADS = ("data", "fsdp"), "tensor"  # mesh axes that split B, and N with K

Attend = Callable[..., jax.Array]


def over_mesh(
    attend: Attend,
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    segment_ids: SegmentPair | None,
    block_map: BlockMap | None,
) -> jax.Array:
    """`attend` of a backend, under `jax.shard_map` where the mesh in use has more than a device."""
    mesh = jax.sharding.get_abstract_mesh()
    rows = tuple(name for name in ROWS if mesh.shape.get(name, 1) > 1)
    heads = HEADS if mesh.shape.get(HEADS, 1) > 1 else None
    if q.shape[0] % math.prod(mesh.shape[name] for name in rows):
        rows = ()
    if heads and k.shape[2] % mesh.shape[heads]:
        heads = None

    def local(
        q: jax.Array,
        k: jax.Array,
        v: jax.Array,
        segment_ids: SegmentPair | None,
        block_map: BlockMap | None,
    ) -> jax.Array:
        return attend(q, k, v, segment_ids=segment_ids, block_map=block_map)

    if mesh.empty or mesh.size == 1 or mesh.are_all_axes_manual:
        return local(q, k, v, segment_ids, block_map)
    by_row = PartitionSpec(rows or None)
    by_head = PartitionSpec(rows or None, None, heads)
    return jax.shard_map(
        local,
        in_specs=(by_head, by_head, by_head, by_row, by_row),
        out_specs=by_head,
        check_vma=False,
    )(q, k, v, segment_ids, block_map)
