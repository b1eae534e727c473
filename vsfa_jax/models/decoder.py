"""The language model: blocks of grouped-query attention and a gated MLP, under one scan."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from vsfa_jax.kernels.attention import AUTO, attention, decode_attention, map_blocks
from vsfa_jax.models.linear import Linear
from vsfa_jax.models.norms import RMSNorm
from vsfa_jax.models.remat import rematerialised
from vsfa_jax.models.rotary import Rope, Rotary, rotate
from vsfa_jax.models.sharding import split_sequence

KeysValues = tuple[jax.Array, jax.Array]
Attend = Callable[[jax.Array, jax.Array, jax.Array], tuple[jax.Array, KeysValues]]


@dataclasses.dataclass(frozen=True)
class DecoderConfig:
    """Shapes and variants of a Llama-like decoder.

    Attributes:
      rotary: how positions turn queries and keys.
      qkv_bias: queries, keys and values have biases.
      qk_norm: queries and keys are normalised over each head.
      tied_head: the vocabulary head is the token embedding.
      window: tokens to its left that a token sees; None is all.
    """

    vocab_size: int
    width: int
    hidden: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_size: int
    norm_epsilon: float
    rotary: Rotary
    qkv_bias: bool
    qk_norm: bool
    tied_head: bool
    window: int | None


class Block(nnx.Module):
    """One decoder layer."""

    def __init__(self, config: DecoderConfig, key: jax.Array):
        queries, keys = (n * config.head_size for n in (config.num_heads, config.num_kv_heads))
        branch, bias = (2 * config.num_layers) ** -0.5, config.qkv_bias
        names = ("q", "k", "v", "o", "gate", "up", "down")
        seed = dict(zip(names, jax.random.split(key, len(names)), strict=True))
        self.attention_norm = RMSNorm(config.width, config.norm_epsilon)
        self.mlp_norm = RMSNorm(config.width, config.norm_epsilon)
        self.q_proj = Linear(config.width, queries, seed["q"], bias=bias)
        self.k_proj = Linear(config.width, keys, seed["k"], bias=bias)
        self.v_proj = Linear(config.width, keys, seed["v"], bias=bias)
        self.o_proj = Linear(queries, config.width, seed["o"], bias=False, scale=branch)
        self.gate_proj = Linear(config.width, config.hidden, seed["gate"], bias=False)
        self.up_proj = Linear(config.width, config.hidden, seed["up"], bias=False)
        self.down_proj = Linear(config.hidden, config.width, seed["down"], bias=False, scale=branch)
        self.has_qk_norm = config.qk_norm
        if config.qk_norm:
            self.q_norm = RMSNorm(config.head_size, config.norm_epsilon)
            self.k_norm = RMSNorm(config.head_size, config.norm_epsilon)
        self.head_size = config.head_size

    def __call__(self, x: jax.Array, rope: Rope, attend: Attend) -> tuple[jax.Array, KeysValues]:
        """x [B, T, D] -> the same shape, and what `attend` wants kept of this layer."""
        b, t, _ = x.shape
        normal = self.attention_norm(x)
        q, k, v = (
            proj(normal).reshape(b, t, -1, self.head_size)
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        if self.has_qk_norm:
            q, k = self.q_norm(q), self.k_norm(k)
        out, kept = attend(rotate(q, rope), rotate(k, rope), v)
        x = x + self.o_proj(out.reshape(b, t, -1))
        normal = self.mlp_norm(x)
        return x + self.down_proj(jax.nn.silu(self.gate_proj(normal)) * self.up_proj(normal)), kept


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Cache:
    """Keys and values of every layer while decoding.

    Attributes:
      keys: [L, B, K, S, H].
      values: [L, B, K, S, H].
      lengths: [B] int32, how many of a row's slots hold a token, from the first on.
    """

    keys: jax.Array
    values: jax.Array
    lengths: jax.Array


class Decoder(nnx.Module):
    """Token embedding, blocks stacked over L, final norm and vocabulary head.

    Attributes:
      remat: what a block keeps for the backward pass, a name of `remat.POLICIES`.
      attention: the backend that is asked for.
    """

    remat, attention = "none", AUTO

    def __init__(self, config: DecoderConfig, key: jax.Array):
        self.config = config
        embed_key, head_key, layer_key = jax.random.split(key, 3)
        shape = (config.vocab_size, config.width)
        std = config.width**-0.5 if config.tied_head else 1.0  # else the logits would be huge
        self.embedding = nnx.Param(std * jax.random.normal(embed_key, shape))
        keys = jax.random.split(layer_key, config.num_layers)
        self.layers = jax.vmap(lambda k: Block(config, k))(keys)
        self.norm = RMSNorm(config.width, config.norm_epsilon)
        if not config.tied_head:
            self.head = Linear(config.width, config.vocab_size, head_key, bias=False)

    def embed(self, tokens: jax.Array) -> jax.Array:
        """[B, T] int32 -> [B, T, D]."""
        return self.embedding[...][tokens]

    def logits(self, hidden: jax.Array) -> jax.Array:
        """[..., D] -> [..., V] float32."""
        if self.config.tied_head:
            return (hidden @ self.embedding[...].T.astype(hidden.dtype)).astype(jnp.float32)
        return self.head(hidden).astype(jnp.float32)

    def head_matrix(self) -> tuple[jax.Array, bool] | None:
        """What `logits` multiplies by, and whether as [V, D] and not [D, V].

        None where the head is more than a matrix: it has a bias or an adapter.
        """
        if self.config.tied_head:
            return self.embedding[...], True
        if self.head.bias is not None or self.head.adapter is not None:
            return None
        return self.head.kernel[...], False

    def __call__(
        self,
        x: jax.Array,
        positions: jax.Array,
        segment_ids: jax.Array,
        deepstack: jax.Array | None = None,
        prefix: KeysValues | None = None,
    ) -> tuple[jax.Array, KeysValues]:
        """The whole decoder over packed rows.

        Args:
          x: [B, T, D] embeddings.
          positions: [B, T, 3].
          segment_ids: [B, T].
          deepstack: [n, B, T, D], of which the first is added after the first layer and so on;
            zero where there is no image.
          prefix: keys and values of tokens that stand before the first of every row, each
            [L, C, K, H]; rows are of one segment then, number 1.

        Returns:
          hidden [B, T, D], and every layer's keys and values, each [L, B, C + T, K, H] (dead code
          where nobody reads them).
        """
        attend_after = self._attention(segment_ids, 0 if prefix is None else prefix[0].shape[1])

        def run(
            x: jax.Array, scanned: tuple[Block, jax.Array, KeysValues | None]
        ) -> tuple[jax.Array, KeysValues]:
            layer, number, before = scanned
            x, kept = layer(x, rope, functools.partial(attend_after, before))
            return split_sequence(_add_deepstack(x, deepstack, number)), kept

        rope = self.config.rotary.table(positions)
        numbers = jnp.arange(self.config.num_layers)
        body = rematerialised(run, self.remat)
        x, kept = jax.lax.scan(body, split_sequence(x), (self.layers, numbers, prefix))
        return self.norm(x), kept

    def _attention(self, segment_ids: jax.Array, before: int) -> Callable[..., Any]:
        """(prefix of a layer, q, k, v) -> attention over both, and the keys and values of both."""
        window = self.config.window
        asked: dict[str, Any] = {"segment_ids": segment_ids, "causal": True, "window": window}
        if before:
            ids = jnp.pad(segment_ids, ((0, 0), (before, 0)), constant_values=1)
            asked["segment_ids"] = (segment_ids, ids)
        else:
            head_size = self.config.head_size
            asked["block_map"] = map_blocks(segment_ids, head_size, causal=True, window=window)

        def attend(
            prefix: KeysValues | None, q: jax.Array, k: jax.Array, v: jax.Array
        ) -> tuple[jax.Array, KeysValues]:
            if prefix is not None:
                k, v = (_after(old, new) for old, new in zip(prefix, (k, v), strict=True))
            backend = self.attention
            out = attention(q, k, v, backend=backend.name, interpret=backend.interpret, **asked)
            return out, (k, v)

        return attend

    def step(self, x: jax.Array, positions: jax.Array, cache: Cache) -> tuple[jax.Array, Cache]:
        """One new token a row: x [B, 1, D] at positions [B, 1, 3], its keys kept after the last."""
        lengths = cache.lengths + 1

        def run(
            carry: tuple[jax.Array, jax.Array, jax.Array], scanned: tuple[Block, jax.Array]
        ) -> tuple[tuple[jax.Array, jax.Array, jax.Array], None]:
            (x, keys, values), (layer, number) = carry, scanned

            def attend(q: jax.Array, k: jax.Array, v: jax.Array) -> tuple[jax.Array, KeysValues]:
                kept = (
                    _insert(cached, new, number, cache.lengths)
                    for cached, new in ((keys, k), (values, v))
                )
                keys_now, values_now = kept
                out = decode_attention(
                    q[:, 0],
                    keys_now[number],
                    values_now[number],
                    lengths=lengths,
                    window=self.config.window,
                )
                return out[:, None], (keys_now, values_now)

            x, (keys, values) = layer(x, rope, attend)
            return (x, keys, values), None

        rope = self.config.rotary.table(positions)
        numbers = jnp.arange(self.config.num_layers)
        # Carried, not scanned over: so the compiler writes into the cache where it lies.
        (x, keys, values), _ = jax.lax.scan(
            run, (x, cache.keys, cache.values), (self.layers, numbers)
        )
        return self.norm(x), Cache(keys, values, lengths)


def _add_deepstack(x: jax.Array, deepstack: jax.Array | None, number: jax.Array) -> jax.Array:
    """x [B, T, D] plus deepstack[number], where there is such a one."""
    if deepstack is None or not len(deepstack):
        return x
    chosen = deepstack[jnp.minimum(number, len(deepstack) - 1)]
    return x + jnp.where(number < len(deepstack), chosen, 0).astype(x.dtype)


def _after(prefix: jax.Array, new: jax.Array) -> jax.Array:
    """prefix [C, K, H] before each row of new [B, T, K, H]."""
    rows = jnp.broadcast_to(prefix, (len(new), *prefix.shape))
    return jnp.concatenate([rows.astype(new.dtype), new], axis=1)


def _insert(cached: jax.Array, new: jax.Array, layer: jax.Array, slots: jax.Array) -> jax.Array:
    """cached [L, B, K, S, H] with new [B, 1, K, H] in one layer, at each row's slot [B]."""
    rows = jnp.arange(len(new))
    return cached.at[layer, rows, :, slots].set(new[:, 0].astype(cached.dtype))
