"""What training changes (TrainState), what it does not (the frozen base), and their places."""

from __future__ import annotations

import dataclasses
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh

from vsfa_jax.mesh import replicated
from vsfa_jax.models.parameters import map_named
from vsfa_jax.models.sharding import parameter_sharding


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """Donated to each step.

    Attributes:
      step: [] int32, optimizer steps done.
      params: what is trained, float32.
      optimizer: optax's state for it.
    """

    step: jax.Array
    params: nnx.State
    optimizer: Any


@dataclasses.dataclass(frozen=True)
class Split:
    """A model taken apart: merge(graph, params, frozen) is the model."""

    graph: Any
    params: nnx.State
    frozen: nnx.State

    def merge(self, params: nnx.State | None = None) -> nnx.Module:
        """The model, with other trained parameters if given."""
        return nnx.merge(self.graph, self.params if params is None else params, self.frozen)


def split(model: nnx.Module, mode: str) -> Split:
    """Takes a model apart: mode "lora" trains adapters only, "full" everything."""
    trained = nnx.LoRAParam if mode == "lora" else nnx.Param
    return Split(*nnx.split(model, trained, ...))


def create_state(
    params: nnx.State, optimizer: optax.GradientTransformation, family: ModuleType, mesh: Mesh
) -> TrainState:
    """The state before the first step, every leaf placed on the mesh.

    Raises:
      ConfigError: the family's sharding table cannot place a parameter.
    """

    def create(params: nnx.State) -> TrainState:
        return TrainState(jnp.int32(0), params, optimizer.init(params))

    shardings = state_sharding(jax.eval_shape(create, params), family, mesh)
    return jax.jit(create, out_shardings=shardings)(params)


def state_sharding(shapes: TrainState, family: ModuleType, mesh: Mesh) -> TrainState:
    """A TrainState of NamedShardings: moments as their parameters, scalars everywhere."""

    def place(node: Any) -> Any:
        if not isinstance(node, nnx.State):
            return jax.tree.map(lambda _: replicated(mesh), node)
        return map_named(
            lambda name, leaf: parameter_sharding(name, leaf.shape, family.SHARDING, mesh), node
        )

    return jax.tree.map(place, shapes, is_leaf=lambda node: isinstance(node, nnx.State))
