"""The block of a vision transformer, as the four families' towers have it in their variants."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import jax
from flax import nnx

from vsfa_jax.kernels.attention import AUTO, Backend, attention, map_blocks
from vsfa_jax.models.activations import ACTIVATIONS
from vsfa_jax.models.linear import Linear
from vsfa_jax.models.norms import LayerNorm, RMSNorm
from vsfa_jax.models.rotary import Rope, rotate

Attend = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]

NORMS = {"layer": LayerNorm, "rms": RMSNorm}


@dataclasses.dataclass(frozen=True)
class VitConfig:
    """Shapes and variants of a tower's blocks.

    Attributes:
      norm: a name of NORMS.
      activation: a name of ACTIVATIONS.
      gated: the MLP multiplies its activation by a second projection.
      fused_qkv: queries, keys and values come from one projection, as in the checkpoint.
    """

    width: int
    hidden: int
    num_layers: int
    num_heads: int
    norm: str
    norm_epsilon: float
    activation: str
    gated: bool
    fused_qkv: bool

    @property
    def head_size(self) -> int:
        """H."""
        return self.width // self.num_heads


class VitBlock(nnx.Module):
    """One tower layer: pre-norm, full attention inside a segment, MLP."""

    def __init__(self, config: VitConfig, key: jax.Array):
        self.config = config
        seeds = jax.random.split(key, 7)
        d, f, branch = config.width, config.hidden, (2 * config.num_layers) ** -0.5
        self.attention_norm = NORMS[config.norm](d, config.norm_epsilon)
        self.mlp_norm = NORMS[config.norm](d, config.norm_epsilon)
        if config.fused_qkv:
            self.qkv_proj = Linear(d, 3 * d, seeds[0], bias=True)
        else:
            self.q_proj = Linear(d, d, seeds[0], bias=True)
            self.k_proj = Linear(d, d, seeds[1], bias=True)
            self.v_proj = Linear(d, d, seeds[2], bias=True)
        self.o_proj = Linear(d, d, seeds[3], bias=True, scale=branch)
        if config.gated:
            self.gate_proj = Linear(d, f, seeds[6], bias=True)
        self.up_proj = Linear(d, f, seeds[4], bias=True)
        self.down_proj = Linear(f, d, seeds[5], bias=True, scale=branch)

    def __call__(self, x: jax.Array, rope: Rope | None, attend: Attend) -> jax.Array:
        """x [B, P, D] -> [B, P, D]; `attend` is of `attention_within`."""
        q, k, v = self._heads(self.attention_norm(x))
        if rope is not None:
            q, k = rotate(q, rope), rotate(k, rope)
        x = x + self.o_proj(attend(q, k, v).reshape(x.shape))
        return x + self.down_proj(self._expand(self.mlp_norm(x)))

    def _heads(self, x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """[B, P, D] -> queries, keys, values, each [B, P, N, H]."""
        b, p, _ = x.shape
        heads = (self.config.num_heads, self.config.head_size)
        if self.config.fused_qkv:
            q, k, v = (
                part.reshape(b, p, *heads) for part in jax.numpy.split(self.qkv_proj(x), 3, -1)
            )
            return q, k, v
        q, k, v = (
            proj(x).reshape(b, p, *heads) for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        return q, k, v

    def _expand(self, x: jax.Array) -> jax.Array:
        """[B, P, D] -> [B, P, F]."""
        activate = ACTIVATIONS[self.config.activation]
        if self.config.gated:
            return activate(self.gate_proj(x)) * self.up_proj(x)
        return activate(self.up_proj(x))


def attention_within(
    segment_ids: jax.Array, head_size: int, backend: Backend = AUTO, longest: int | None = None
) -> Attend:
    """Full attention inside segments [B, P], for every layer of a tower.

    Args:
      segment_ids: [B, P] int32, contiguous, 0 is padding.
      head_size: H.
      backend: of the attention.
      longest: the most patches of a segment, where known.
    """
    seen = map_blocks(segment_ids, head_size, causal=False, longest=longest)
    return functools.partial(
        attention,
        segment_ids=segment_ids,
        block_map=seen,
        causal=False,
        backend=backend.name,
        interpret=backend.interpret,
    )


def stacked_blocks(config: VitConfig, key: jax.Array) -> VitBlock:
    """Every layer's block in one, its parameters stacked over L."""
    keys = jax.random.split(key, config.num_layers)
    return jax.vmap(lambda k: VitBlock(config, k))(keys)
