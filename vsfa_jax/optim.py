"""AdamW with warm-up and cosine decay, and clipping by the global norm."""

from __future__ import annotations

import dataclasses

import jax
import optax
from flax import nnx

from vsfa_jax.models.parameters import map_named


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Settings of the optimizer; `learning_rate` is the peak."""

    learning_rate: float
    warmup_steps: int
    total_steps: int
    final_share: float
    weight_decay: float
    b1: float
    b2: float
    epsilon: float
    clip_norm: float


def schedule(config: OptimizerConfig) -> optax.Schedule:
    """Linear warm-up from 0 to the peak, then cosine to `final_share` of it at `total_steps`."""
    return optax.warmup_cosine_decay_schedule(
        init_value=0.0,
        peak_value=config.learning_rate,
        warmup_steps=config.warmup_steps,
        decay_steps=max(config.total_steps, config.warmup_steps + 1),
        end_value=config.learning_rate * config.final_share,
    )


def make_optimizer(config: OptimizerConfig) -> optax.GradientTransformation:
    """Clip, then AdamW; matrices decay, scales and biases do not."""
    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        optax.adamw(
            schedule(config),
            b1=config.b1,
            b2=config.b2,
            eps=config.epsilon,
            weight_decay=config.weight_decay,
            mask=_decays,
        ),
    )


def _decays(params: nnx.State) -> nnx.State:
    plain = ("bias", "scale", "class_embedding")
    return map_named(lambda name, leaf: not name.endswith(plain), params)


def count_parameters(params: nnx.State) -> int:
    """How many numbers a state holds."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
