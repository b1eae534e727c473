"""Cross entropy by its definition, on logits held whole: what the chunked one must equal."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def cross_entropy(
    logits: jax.Array,
    targets: jax.Array,
    weights: jax.Array,
    *,
    z_loss: float = 0.0,
    label_smoothing: float = 0.0,
) -> jax.Array:
    """The sum of the weighted losses of rows, [] float32, in nats.

        Z = sum_v exp(l_v)
        loss = log Z - (1 - s) l_target - s mean_v l_v + z (log Z)^2

    Args:
      logits: [..., V]; computed with in float32.
      targets: [...] int32.
      weights: [...] float32. A row of weight 0 adds nothing, whatever its logits are.
      z_loss: z, which keeps log Z near 0. Source: PaLM, arXiv 2204.02311, section 5.
      label_smoothing: s, the share of the target that is spread over all V tokens.
        Source: arXiv 1512.00567, section 7.
    """
    logits = jnp.where(weights[..., None] != 0, logits.astype(jnp.float32), 0)
    log_z = jax.nn.logsumexp(logits, axis=-1)
    chosen = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    losses = log_z - (1 - label_smoothing) * chosen + z_loss * log_z**2
    if label_smoothing:
        losses = losses - label_smoothing * logits.mean(-1)
    return (weights * losses).sum()
