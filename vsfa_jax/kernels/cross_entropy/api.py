"""The one door to the loss of a linear head: checks shapes, then hands on to the chunked one."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from vsfa_jax.kernels.cross_entropy.chunked import summed_loss
from vsfa_jax.kernels.cross_entropy.shards import Form

CHUNK = 1024  # rows; its logits take 4 V KiB, and the head is read once for so many rows


def linear_cross_entropy(
    hidden: jax.Array,
    head: jax.Array,
    targets: jax.Array,
    weights: jax.Array,
    *,
    transposed: bool = False,
    z_loss: float = 0.0,
    label_smoothing: float = 0.0,
    chunk: int = CHUNK,
    mesh: Mesh | None = None,
) -> jax.Array:
    """`reference.cross_entropy` of `hidden @ head`, without holding the logits.

    Rows of weight 0 cost nothing: the others are gathered, and `chunk` of them at a time go
    through the head. A gradient that is asked for is computed in the same pass, so that no logit
    is computed twice; where none is asked for, as of a frozen head, none is computed.

    Args:
      hidden: [B, ..., D], what the head reads; matrix products are in its dtype and sum up in
        float32, as everything else is.
      head: [D, V], cast to the dtype of `hidden`.
      targets: [B, ...] int32.
      weights: [B, ...] float32; a constant, as `targets` are.
      transposed: whether `head` is [V, D], a tied embedding; it is not copied.
      z_loss: weight of the square of the logits' normaliser.
      label_smoothing: share of the target that is spread over the vocabulary.
      chunk: rows whose logits are held at a time, [chunk, V] float32; the last rows go through in
        quarters of it.
      mesh: with axes "data", "fsdp" and "tensor". `hidden`, `targets` and `weights` are then
        sharded over the first two by B, and `head` by D over "fsdp" and by V over "tensor"; each
        device works off its own rows with its own part of V. None: all on one device, or as the
        compiler places it.

    Returns:
      The sum of the weighted losses, [] float32, in nats.

    Raises:
      ValueError: shapes that do not fit.
    """
    hidden, head, targets, weights = map(jnp.asarray, (hidden, head, targets, weights))
    width = head.shape[1 if transposed else 0]
    if head.ndim != 2 or hidden.shape[-1] != width:
        wanted = "[V, D]" if transposed else "[D, V]"
        raise ValueError(f"head: found {head.shape} for hidden {hidden.shape}, wanted {wanted}")
    for name, array in (("targets", targets), ("weights", weights)):
        if array.shape != hidden.shape[:-1]:
            raise ValueError(f"{name}: found {array.shape}, wanted {hidden.shape[:-1]}")
    if chunk < 1:
        raise ValueError(f"chunk: found {chunk}, wanted at least 1")
    vocabulary = head.shape[0 if transposed else 1]
    form = Form(transposed, vocabulary, z_loss, label_smoothing, chunk, mesh)
    return summed_loss(hidden, head, targets, jax.lax.stop_gradient(weights), form)
