"""Losses and their slopes from the logits of some rows and of this device's part of V."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from vsfa_jax.kernels.cross_entropy.shards import TENSOR, Form


def losses(logits: jax.Array, targets: jax.Array, form: Form) -> tuple[jax.Array, jax.Array]:
    """logits [C, V'], targets [C] -> each row's loss and log Z, both [C]."""
    top = form.over(jax.lax.pmax, logits.max(-1), TENSOR)
    total = jnp.exp(logits - top[:, None]).sum(-1)
    chosen = jnp.where(_is_target(logits, targets, form.first()), logits, 0).sum(-1)
    log_z = top + jnp.log(form.over(jax.lax.psum, total, TENSOR))
    found = log_z - (1 - form.label_smoothing) * form.over(jax.lax.psum, chosen, TENSOR)
    if form.label_smoothing:
        mean = form.over(jax.lax.psum, logits.sum(-1), TENSOR) / form.vocabulary
        found = found - form.label_smoothing * mean
    return found + form.z_loss * log_z**2, log_z


def slopes(
    logits: jax.Array,
    log_z: jax.Array,
    targets: jax.Array,
    form: Form,
    first: jax.Array | int = 0,
) -> jax.Array:
    """[C, V'], the derivative of each row's loss by its logits.

    `first` is what of this device's part of V the logits begin with.
    """
    share = jnp.exp(logits - log_z[:, None])
    if form.z_loss:
        share = share * (1 + 2 * form.z_loss * log_z[:, None])
    wanted = (1 - form.label_smoothing) * _is_target(logits, targets, form.first() + first)
    if form.label_smoothing:
        wanted = wanted + form.label_smoothing / form.vocabulary
    return share - wanted


def _is_target(logits: jax.Array, targets: jax.Array, first: jax.Array | int) -> jax.Array:
    """[C, V'] bool, True at each row's target, where the columns are tokens from `first` on."""
    tokens = jax.lax.broadcasted_iota(jnp.int32, logits.shape, 1)
    return tokens == (targets - first)[:, None]
