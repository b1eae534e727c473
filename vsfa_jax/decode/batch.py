"""A batch of prompts answered whole, in one compiled program that ends with its longest answer.

What processes that share a mesh use, and what a plan compiles; `engine.py` replaces rows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from vsfa_jax.data.batch import Batch, Budget, Example, collate
from vsfa_jax.decode.buckets import bucket
from vsfa_jax.decode.sampling import Sampling, choose
from vsfa_jax.kernels.attention import on_mesh

LEAST_TOKENS, _LEAST_PATCHES = 32, 4  # the smallest buckets


def collate_prompts(
    examples: Sequence[Example],
    agree: Callable[[tuple[int, ...]], tuple[int, ...]] = lambda lengths: lengths,
) -> Batch:
    """One prompt a row, padded on the right to a bucket, so that few programs are compiled.

    Args:
      examples: this process's.
      agree: from the longest (tokens, patches) of this process to those of all.
    """
    own = max(len(e.tokens) for e in examples), max(len(e.patches) for e in examples)
    tokens, patches = agree(own)
    budget = Budget(bucket(tokens, LEAST_TOKENS), bucket(patches, _LEAST_PATCHES))
    return collate([[e] for e in examples], budget, examples[0])


@functools.partial(jax.jit, static_argnames=("max_new_tokens", "stop_tokens", "sampling", "mesh"))
def generate(
    model: Any,
    batch: Batch,
    *,
    seeds: jax.Array,
    sampling: Sampling,
    max_new_tokens: int,
    stop_tokens: tuple[int, ...],
    mesh: Mesh | None = None,
) -> jax.Array:
    """New tokens after each row's prompt.

    Args:
      model: has `prefill(batch, num_slots)` and `step(tokens, positions, cache)`.
      batch: one prompt a row, padding on the right.
      seeds: [B] uint32, one a row; noise depends on the seed and the step only.
      sampling: how tokens are chosen.
      max_new_tokens: M.
      stop_tokens: a row that said one of them says the first of them from then on.
      mesh: that the model lies on.

    Returns:
      [B, M] int32.
    """
    rows = len(batch.tokens)
    keys = jax.vmap(jax.random.key)(seeds)
    # The place after the largest one: an image's columns may lie further than its last token.
    places = jnp.where(batch.segment_ids[..., None] > 0, batch.positions, -1)
    next_position = places.max((1, 2)) + 1
    with on_mesh(mesh):
        logits, cache = model.prefill(batch, max_new_tokens)
    tokens = jnp.full((rows, max_new_tokens), stop_tokens[0], jnp.int32)

    def more(carry: tuple[Any, ...]) -> jax.Array:
        index, _, _, _, done = carry
        return (index < max_new_tokens) & ~done.all()

    def say(carry: tuple[Any, ...]) -> tuple[Any, ...]:
        index, logits, cache, tokens, done = carry
        chosen = choose(logits, keys, jnp.full(rows, index), sampling)
        chosen = jnp.where(done, stop_tokens[0], chosen)
        tokens = tokens.at[:, index].set(chosen)
        logits, cache = model.step(chosen, next_position + index, cache)
        return index + 1, logits, cache, tokens, done | jnp.isin(chosen, jnp.array(stop_tokens))

    start = (jnp.int32(0), logits, cache, tokens, jnp.zeros(rows, bool))
    with jax.named_scope("decode"):
        return jax.lax.while_loop(more, say, start)[3]
