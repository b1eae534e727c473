"""How the next token is chosen."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
      temperature: 0 is greedy.
      top_p: the likeliest tokens that hold this much probability are drawn from; 1 is all.
    """

    temperature: float = 0.0
    top_p: float = 1.0


def choose(logits: jax.Array, keys: jax.Array, steps: jax.Array, sampling: Sampling) -> jax.Array:
    """The next token of each row; a row's noise depends on its key and its step only.

    Args:
      logits: [B, V] float32.
      keys: [B] random keys.
      steps: [B] int32, how many tokens each row has said.
      sampling: how.

    Returns:
      [B] int32.
    """
    if sampling.temperature == 0:
        return _first_largest(logits)
    logits = logits / sampling.temperature
    if sampling.top_p < 1:
        logits = jnp.where(_nucleus(logits, sampling.top_p), logits, -jnp.inf)
    noise = jax.vmap(
        lambda key, step: jax.random.gumbel(jax.random.fold_in(key, step), logits.shape[1:])
    )(keys, steps)
    return _first_largest(logits + noise)


def _first_largest(scores: jax.Array) -> jax.Array:
    """[B, V] -> [B] int32, as `argmax`; in two plain reductions, which a CPU does faster."""
    last = scores.shape[-1] - 1
    is_largest = scores == scores.max(-1, keepdims=True)
    return jnp.where(is_largest, jnp.arange(last + 1, dtype=jnp.int32), last).min(-1)


def _nucleus(logits: jax.Array, top_p: float) -> jax.Array:
    """[B, V] bool: the fewest likeliest tokens that hold at least `top_p`, always the first.

    Source: arXiv 1904.09751, section 3.1.
    """
    order = jnp.argsort(-logits, -1)
    sorted_probabilities = jnp.take_along_axis(jax.nn.softmax(logits, -1), order, -1)
    before = jnp.cumsum(sorted_probabilities, -1) - sorted_probabilities
    ranks = jnp.argsort(order, -1)
    return jnp.take_along_axis(before < top_p, ranks, -1)
