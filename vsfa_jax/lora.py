"""Low-rank adapters: attached after loading, kept in a tree of their own."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from vsfa_jax.core.errors import ConfigError
from vsfa_jax.models.linear import Linear, LowRank, wide_kernel

TARGETS: Mapping[str, str] = {
    "attention": r"language/layers/[qkvo]_proj",
    "mlp": r"language/layers/(gate|up|down)_proj",
    "projector": r"(projector|deepstack)/(up|down)_proj",
    "vision": r"vision/layers/.*_proj",
}


@dataclasses.dataclass(frozen=True)
class AdapterConfig:
    """An adapter's shape.

    Attributes:
      rank: R.
      alpha: the update is scaled by alpha / R.
      targets: names of `TARGETS`, or regular expressions over a layer's whole name.
      dora: whether each column's magnitude is trained apart from its direction.
      rank_stabilized: the scale is alpha / sqrt(R). Source: arXiv 2312.03732.
    """

    rank: int
    alpha: float
    targets: Sequence[str]
    dora: bool = False
    rank_stabilized: bool = False

    @property
    def scale(self) -> float:
        """Of the update."""
        return self.alpha / (self.rank**0.5 if self.rank_stabilized else self.rank)


def attach(model: nnx.Module, config: AdapterConfig, key: jax.Array) -> list[str]:
    """Attaches an adapter to every targeted linear layer of `model`, in place.

    A is drawn uniformly with variance 1 / (3 D), as PEFT does; B is zero and the magnitudes are
    the kernel's own, so that the model is unchanged.

    Args:
      model: changed in place.
      config: what to attach.
      key: for A.

    Returns:
      The names of the adapted layers.

    Raises:
      ConfigError: a target is no regular expression or matches no layer, or the rank is below 1.
    """
    if config.rank < 1:
        raise ConfigError(f"lora.rank: found {config.rank}, wanted at least 1")
    layers = dict(linears(model))
    chosen = chosen_layers(list(layers), config.targets)
    for number, name in enumerate(chosen):
        layers[name].adapter = nnx.data(
            _adapter(layers[name], config, jax.random.fold_in(key, number))
        )
    return chosen


def chosen_layers(layers: Sequence[str], targets: Sequence[str]) -> list[str]:
    """The layers that the targets name, sorted.

    Raises:
      ConfigError: a target is no regular expression or matches no layer.
    """
    chosen: set[str] = set()
    for target in targets:
        try:
            matched = {n for n in layers if re.fullmatch(TARGETS.get(target, target), n)}
        except re.error as error:
            raise ConfigError(
                f"lora.targets: {target!r} is no regular expression: {error}"
            ) from error
        if not matched:
            raise ConfigError(
                f"lora.targets: {target!r} matches no linear layer; "
                f"groups are {sorted(TARGETS)}, layers are {sorted(layers)[:4]} ..."
            )
        chosen |= matched
    return sorted(chosen)


def _adapter(layer: Linear, config: AdapterConfig, key: jax.Array) -> LowRank:
    *stack, features_in, features_out = layer.kernel.shape
    bound = features_in**-0.5
    a = jax.random.uniform(key, (*stack, features_in, config.rank), jnp.float32, -bound, bound)
    b = jnp.zeros((*stack, config.rank, features_out), jnp.float32)
    magnitude = jnp.linalg.norm(wide_kernel(layer), axis=-2) if config.dora else None
    return LowRank(a, b, config.scale, magnitude)


def linears(model: nnx.Module) -> list[tuple[str, Linear]]:
    """Every linear layer by name; a stacked one once."""
    return [
        ("/".join(map(str, path)), node)
        for path, node in nnx.iter_graph(model)
        if isinstance(node, Linear) and node.kernel is not None
    ]
