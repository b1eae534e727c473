"""What the chunked loss is told, and how devices share it: rows over two axes, V over the third."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

ROWS, FSDP, TENSOR = ("data", "fsdp"), "fsdp", "tensor"


@dataclasses.dataclass(frozen=True)
class Form:
    """What of the computation is static; see `api.linear_cross_entropy`.

    Attributes:
      transposed: whether the head is [V, D].
      vocabulary: V.
      z_loss: as there.
      label_smoothing: as there.
      chunk: as there.
      mesh: as there.
    """

    transposed: bool
    vocabulary: int
    z_loss: float
    label_smoothing: float
    chunk: int
    mesh: Mesh | None

    @property
    def axis(self) -> int:
        """The head's axis of V."""
        return 0 if self.transposed else 1

    @property
    def head_spec(self) -> P:
        """Where the head lies."""
        return P(TENSOR, FSDP) if self.transposed else P(FSDP, TENSOR)

    def over(
        self, reduce: Callable[..., jax.Array], x: jax.Array, axes: str | Sequence[str]
    ) -> jax.Array:
        """x reduced over axes of the mesh, if there is one."""
        return x if self.mesh is None else reduce(x, axes)

    def zeros(self, shape: tuple[int, ...], dtype: Any, axes: Sequence[str]) -> jax.Array:
        """Zeros to write to, apart on every device along `axes`."""
        zeros = jnp.zeros(shape, dtype)
        return zeros if self.mesh is None else jax.lax.pcast(zeros, tuple(axes), to="varying")

    def gathered(self, head: jax.Array) -> jax.Array:
        """All of D, of this device's part of the vocabulary."""
        if self.mesh is None:
            return head
        return jax.lax.all_gather(head, FSDP, axis=1 - self.axis, tiled=True)

    def scattered(self, d_head: jax.Array) -> jax.Array:
        """The sum over all devices' rows, this device's part of D."""
        if self.mesh is None:
            return d_head
        d_head = jax.lax.psum_scatter(d_head, FSDP, scatter_dimension=1 - self.axis, tiled=True)
        return jax.lax.psum(d_head, "data")

    def first(self) -> jax.Array | int:
        """The first of this device's tokens."""
        if self.mesh is None:
            return 0
        return jax.lax.axis_index(TENSOR) * (self.vocabulary // self.mesh.shape[TENSOR])
