"""Attention on a mesh: every device computes its own rows and its own heads.

A Pallas kernel is one opaque call to the compiler, which cannot cut it; so it is cut here. Rows
need nothing of each other, nor do key heads. Where there are fewer key heads than devices to share
them, the query heads are shared, and each device takes the one key head that its own queries read.
What an axis does not divide stays whole on it.

    tensor 4, N 8, K 2      queries   0 1 | 2 3 | 4 5 | 6 7
                            keys       0  |  0  |  1  |  1
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator

import jax
from jax.sharding import Mesh, PartitionSpec

from vsfa_jax.kernels.attention.block_map import BlockMap, SegmentPair

ROWS, HEADS = ("data", "fsdp"), "tensor"  # mesh axes that split B, and N with K

Attend = Callable[..., jax.Array]


@contextlib.contextmanager
def on_mesh(mesh: Mesh | None) -> Iterator[None]:
    """While a program is traced: its attention is cut over this mesh; None is one device."""
    if mesh is None:
        yield
        return
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        yield


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
    rows: tuple[str, ...] = ()
    for name in ROWS:
        more = (*rows, name)
        if q.shape[0] % math.prod(mesh.shape.get(axis, 1) for axis in more) == 0:
            rows = tuple(axis for axis in more if axis in mesh.shape)
    queries, keys = _shares(mesh.shape.get(HEADS, 1), q.shape[2], k.shape[2])

    shared = segment_ids is not None and segment_ids[0] is segment_ids[1]
    given = segment_ids[:1] if segment_ids is not None and shared else segment_ids

    def local(
        q: jax.Array,
        k: jax.Array,
        v: jax.Array,
        ids: tuple[jax.Array, ...] | None,
        block_map: BlockMap | None,
    ) -> jax.Array:
        pair = None if ids is None else (ids[0], ids[-1])  # the same array twice where shared
        if queries and not keys:
            k, v = (_own_head(x, mesh.shape[HEADS]) for x in (k, v))
        return attend(q, k, v, segment_ids=pair, block_map=block_map)

    if mesh.empty or mesh.size == 1 or mesh.are_all_axes_manual:
        return local(q, k, v, given, block_map)
    by_row = PartitionSpec(rows or None)
    of_queries, of_keys = (PartitionSpec(rows or None, None, axis) for axis in (queries, keys))
    return jax.shard_map(
        local,
        in_specs=(of_queries, of_keys, of_keys, by_row, by_row),
        out_specs=of_queries,
        check_vma=False,
    )(q, k, v, given, block_map)


def _shares(parts: int, num_heads: int, num_kv_heads: int) -> tuple[str | None, str | None]:
    """The axes that split query heads and key heads, None where they stay whole."""
    if parts == 1:
        return None, None
    if num_kv_heads % parts == 0:
        return HEADS, HEADS
    by_queries = parts % num_kv_heads == 0 and num_heads % parts == 0
    return (HEADS if by_queries else None), None


def _own_head(x: jax.Array, parts: int) -> jax.Array:
    """[B, S, K, H] -> [B, S, 1, H], the key head that this device's query heads read."""
    head = jax.lax.axis_index(HEADS) // (parts // x.shape[2])
    return jax.lax.dynamic_slice_in_dim(x, head, 1, axis=2)
