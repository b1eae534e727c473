"""Low-rank adapters: attached after loading, kept in a tree of their own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from vsfa_jax.core.errors import ConfigError
from vsfa_jax.models.linear import Linear, LowRank

TARGETS: Mapping[str, str] = {
    "attention": r"language/layers/[qkvo]_proj",
    "mlp": r"language/layers/(gate|up|down)_proj",
    "projector": r"projector/(up|down)_proj",
    "vision": r"vision/layers/.*_proj",
}


def attach(
    model: nnx.Module, *, rank: int, alpha: float, targets: Sequence[str], key: jax.Array
) -> list[str]:
    """Attaches an adapter to every targeted linear layer of `model`.

    A is drawn uniformly with variance 1 / (3 D), as PEFT does; B is zero, so that the model is
    unchanged.

    Args:
      model: changed in place.
      rank: R.
      alpha: the update is scaled by alpha / R.
      targets: names of `TARGETS`, or regular expressions over a layer's whole name.
      key: for A.

    Returns:
      The names of the adapted layers.

    Raises:
      ConfigError: a target is no regular expression or matches no layer, or the rank is below 1.
    """
    if rank < 1:
        raise ConfigError(f"lora.rank: found {rank}, wanted at least 1")
    layers = dict(linears(model))
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
    for number, name in enumerate(sorted(chosen)):
        layers[name].adapter = nnx.data(
            _adapter(layers[name].kernel.shape, rank, alpha, jax.random.fold_in(key, number))
        )
    return sorted(chosen)


def _adapter(shape: tuple[int, ...], rank: int, alpha: float, key: jax.Array) -> LowRank:
    *stack, features_in, features_out = shape
    bound = features_in**-0.5
    a = jax.random.uniform(key, (*stack, features_in, rank), jnp.float32, -bound, bound)
    return LowRank(a, jnp.zeros((*stack, rank, features_out), jnp.float32), alpha / rank)


def linears(model: nnx.Module) -> list[tuple[str, Linear]]:
    """Every linear layer by name; a stacked one once."""
    return [
        ("/".join(map(str, path)), node)
        for path, node in nnx.iter_graph(model)
        if isinstance(node, Linear) and node.kernel is not None
    ]
