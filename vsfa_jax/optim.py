"""AdamW with warm-up and cosine decay, and clipping by the global norm."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import optax
from flax import nnx

from vsfa_jax.models.parameters import map_named, part_of


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Settings of the optimizer.

    Attributes:
      learning_rate: the peak.
      rates: of the parts of a model, their share of the learning rate; 1 where none is named.
    """

    learning_rate: float
    warmup_steps: int
    total_steps: int
    final_share: float
    weight_decay: float
    b1: float
    b2: float
    epsilon: float
    clip_norm: float
    rates: Mapping[str, float] = dataclasses.field(default_factory=dict)


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
        optax.stateless(lambda updates, _: _scale_parts(updates, config.rates)),
    )


def _scale_parts(updates: nnx.State, rates: Mapping[str, float]) -> nnx.State:
    """Each part's updates times its rate."""
    return map_named(lambda name, leaf: leaf * rates.get(part_of(name), 1.0), updates)


def _decays(params: nnx.State) -> nnx.State:
    plain = ("bias", "scale", "class_embedding", "image_newline", "magnitude")
    return map_named(lambda name, leaf: not name.endswith(plain), params)
