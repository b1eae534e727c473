"""Decoding with a key/value cache: one compiled program a shape.

slots     p p p p . . | n n n        p prompt, . its padding, n new tokens
filled    1 1 1 1 0 0 | 1 1 0        rows of any length share a slot number a step
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from vsfa_jax.data.batch import Batch, Budget, Example, collate

_MULTIPLE = 32  # prompt lengths are padded to it, so that few programs are compiled


def collate_prompts(examples: Sequence[Example], channels: int) -> Batch:
    """One prompt a row, padded to a multiple of 32 tokens."""
    tokens = max(len(e.tokens) for e in examples)
    patches = max(len(e.patches) for e in examples)
    budget = Budget(-(-tokens // _MULTIPLE) * _MULTIPLE, patches)
    return collate([[e] for e in examples], budget, channels)


@functools.partial(jax.jit, static_argnames=("max_new_tokens", "stop_token", "temperature"))
def generate(
    model: Any,
    batch: Batch,
    *,
    seeds: jax.Array,
    temperature: float,
    max_new_tokens: int,
    stop_token: int,
) -> jax.Array:
    """New tokens after each row's prompt.

    Args:
      model: has `prefill(batch, num_slots)` and `step(tokens, positions, cache, slot)`.
      batch: one prompt a row, padding on the right.
      seeds: [B] uint32, one a row; noise depends on the seed and the step only.
      temperature: 0 is greedy.
      max_new_tokens: M.
      stop_token: a row that said it says nothing but it.

    Returns:
      [B, M] int32.
    """
    rows, prompt = batch.tokens.shape
    keys = jax.vmap(jax.random.key)(seeds)
    lengths = (batch.segment_ids > 0).sum(-1)
    next_position = jnp.take_along_axis(batch.positions[..., 0], lengths[:, None] - 1, 1)[:, 0] + 1
    logits, cache = model.prefill(batch, max_new_tokens)
    tokens = jnp.full((rows, max_new_tokens), stop_token, jnp.int32)

    def more(carry: tuple[Any, ...]) -> jax.Array:
        index, _, _, _, done = carry
        return (index < max_new_tokens) & ~done.all()

    def say(carry: tuple[Any, ...]) -> tuple[Any, ...]:
        index, logits, cache, tokens, done = carry
        chosen = _choose(logits, keys, index, temperature)
        chosen = jnp.where(done, stop_token, chosen)
        tokens = tokens.at[:, index].set(chosen)
        logits, cache = model.step(chosen, next_position + index, cache, prompt + index)
        return index + 1, logits, cache, tokens, done | (chosen == stop_token)

    start = (jnp.int32(0), logits, cache, tokens, jnp.zeros(rows, bool))
    return jax.lax.while_loop(more, say, start)[3]


def _choose(logits: jax.Array, keys: jax.Array, index: jax.Array, temperature: float) -> jax.Array:
    if temperature == 0:
        return logits.argmax(-1).astype(jnp.int32)
    noise = jax.vmap(
        lambda key: jax.random.gumbel(jax.random.fold_in(key, index), logits.shape[1:])
    )(keys)
    return (logits / temperature + noise).argmax(-1).astype(jnp.int32)


__all__ = ["collate_prompts", "generate"]
