"""The language model: blocks of grouped-query attention and a gated MLP, under one scan."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from vsfa_jax.kernels.attention import attention
from vsfa_jax.models.linear import Linear
from vsfa_jax.models.norms import RMSNorm
from vsfa_jax.models.rotary import Rope, rope_table, rotate

KeysValues = tuple[jax.Array, jax.Array]
Attend = Callable[[jax.Array, jax.Array, jax.Array], tuple[jax.Array, KeysValues]]


@dataclasses.dataclass(frozen=True)
class DecoderConfig:
    """Shapes of a Llama-like decoder."""

    vocab_size: int
    width: int
    hidden: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_size: int
    rope_theta: float
    norm_epsilon: float


class Block(nnx.Module):
    """One decoder layer."""

    def __init__(self, config: DecoderConfig, key: jax.Array):
        queries, keys = (n * config.head_size for n in (config.num_heads, config.num_kv_heads))
        branch = (2 * config.num_layers) ** -0.5
        names = ("q", "k", "v", "o", "gate", "up", "down")
        seed = dict(zip(names, jax.random.split(key, len(names)), strict=True))
        self.attention_norm = RMSNorm(config.width, config.norm_epsilon)
        self.mlp_norm = RMSNorm(config.width, config.norm_epsilon)
        self.q_proj = Linear(config.width, queries, seed["q"], bias=False)
        self.k_proj = Linear(config.width, keys, seed["k"], bias=False)
        self.v_proj = Linear(config.width, keys, seed["v"], bias=False)
        self.o_proj = Linear(queries, config.width, seed["o"], bias=False, scale=branch)
        self.gate_proj = Linear(config.width, config.hidden, seed["gate"], bias=False)
        self.up_proj = Linear(config.width, config.hidden, seed["up"], bias=False)
        self.down_proj = Linear(config.hidden, config.width, seed["down"], bias=False, scale=branch)
        self.head_size = config.head_size

    def __call__(self, x: jax.Array, rope: Rope, attend: Attend) -> tuple[jax.Array, KeysValues]:
        """x [B, T, D] -> the same shape, and what `attend` wants kept of this layer."""
        b, t, _ = x.shape
        normal = self.attention_norm(x)
        q, k, v = (
            proj(normal).reshape(b, t, -1, self.head_size)
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        out, kept = attend(rotate(q, rope), rotate(k, rope), v)
        x = x + self.o_proj(out.reshape(b, t, -1))
        normal = self.mlp_norm(x)
        return x + self.down_proj(jax.nn.silu(self.gate_proj(normal)) * self.up_proj(normal)), kept


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Cache:
    """Keys and values of every layer while decoding.

    Attributes:
      keys: [L, B, S, K, H].
      values: [L, B, S, K, H].
      filled: [B, S] int32, 1 where a slot holds a token that may be seen.
    """

    keys: jax.Array
    values: jax.Array
    filled: jax.Array


class Decoder(nnx.Module):
    """Token embedding, blocks stacked over L, final norm and vocabulary head."""

    def __init__(self, config: DecoderConfig, key: jax.Array):
        self.config = config
        embed_key, head_key, layer_key = jax.random.split(key, 3)
        shape = (config.vocab_size, config.width)
        self.embedding = nnx.Param(jax.random.normal(embed_key, shape))
        keys = jax.random.split(layer_key, config.num_layers)
        self.layers = jax.vmap(lambda k: Block(config, k))(keys)
        self.norm = RMSNorm(config.width, config.norm_epsilon)
        self.head = Linear(config.width, config.vocab_size, head_key, bias=False)

    def embed(self, tokens: jax.Array) -> jax.Array:
        """[B, T] int32 -> [B, T, D]."""
        return self.embedding[...][tokens]

    def __call__(
        self, x: jax.Array, positions: jax.Array, segment_ids: jax.Array
    ) -> tuple[jax.Array, KeysValues]:
        """x [B, T, D], positions [B, T], segments [B, T] -> hidden [B, T, D] and every layer's
        keys and values, each [L, B, T, K, H] (dead code where nobody reads them)."""

        def attend(q: jax.Array, k: jax.Array, v: jax.Array) -> tuple[jax.Array, KeysValues]:
            return attention(q, k, v, segment_ids=segment_ids, causal=True), (k, v)

        rope = rope_table(positions, self.config.head_size, self.config.rope_theta)
        x, kept = jax.lax.scan(lambda x, layer: layer(x, rope, attend), x, self.layers)
        return self.norm(x), kept

    def step(
        self, x: jax.Array, positions: jax.Array, cache: Cache, slot: jax.Array
    ) -> tuple[jax.Array, Cache]:
        """One new token a row: x [B, 1, D] at positions [B, 1], its keys stored at `slot`."""
        filled = cache.filled.at[:, slot].set(1)
        segments = (jnp.ones_like(positions), filled)

        def layer_step(
            x: jax.Array, scanned: tuple[Block, jax.Array, jax.Array]
        ) -> tuple[jax.Array, KeysValues]:
            layer, keys, values = scanned

            def attend(q: jax.Array, k: jax.Array, v: jax.Array) -> tuple[jax.Array, KeysValues]:
                seen_k, seen_v = _insert(keys, k, slot), _insert(values, v, slot)
                out = attention(q, seen_k, seen_v, segment_ids=segments, causal=False)
                return out, (seen_k, seen_v)

            return layer(x, rope, attend)

        rope = rope_table(positions, self.config.head_size, self.config.rope_theta)
        x, (keys, values) = jax.lax.scan(layer_step, x, (self.layers, cache.keys, cache.values))
        return self.norm(x), Cache(keys, values, filled)


def _insert(cached: jax.Array, new: jax.Array, slot: jax.Array) -> jax.Array:
    """cached [B, S, K, H] with new [B, 1, K, H] at `slot`."""
    return jax.lax.dynamic_update_slice_in_dim(cached, new.astype(cached.dtype), slot, axis=1)
