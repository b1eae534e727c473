"""What training changes (TrainState), what it does not (the frozen base), and their places."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding

from vsfa_jax.core.config import PARTS
from vsfa_jax.mesh import replicated
from vsfa_jax.models.parameters import by_name, map_named, part_of
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
class Structure:
    """What a model is besides its arrays.

    Attributes:
      graph: nnx's.
      dtype: that trained parameters of the model itself are computed in; an adapter keeps float32.
      mesh: that its arrays are placed on; None where they are not.
    """

    graph: Any
    dtype: Any
    mesh: Mesh | None = None

    def model(self, params: nnx.State, frozen: nnx.State) -> nnx.Module:
        """The model with these arrays."""
        return nnx.merge(self.graph, map_named(self._cast, params), frozen)

    def _cast(self, name: str, leaf: jax.Array) -> jax.Array:
        return leaf if "/adapter/" in name else leaf.astype(self.dtype)


@dataclasses.dataclass(frozen=True)
class Split:
    """A model taken apart.

    Attributes:
      structure: hashable; `structure.model(params, frozen)` is the model.
      params: what is trained, float32.
      frozen: the rest.
    """

    structure: Structure
    params: nnx.State
    frozen: nnx.State

    def merge(self, params: nnx.State | None = None) -> nnx.Module:
        """The model, with other trained parameters if given."""
        return self.structure.model(self.params if params is None else params, self.frozen)


def split(
    model: nnx.Module, mode: str, parts: Collection[str] = PARTS, dtype: Any = jnp.float32
) -> Split:
    """Takes a model apart.

    Args:
      model: as it was loaded, with an adapter if one is trained.
      mode: "lora" trains adapters only, "full" everything.
      parts: what else is trained is frozen.
      dtype: that a fully trained model is computed in.
    """
    trained = nnx.LoRAParam if mode == "lora" else nnx.Param

    def is_trained(path: tuple[Any, ...], leaf: Any) -> bool:
        return isinstance(leaf, trained) and part_of(str(path[0])) in parts

    taken: tuple[Any, ...] = nnx.split(model, is_trained, ...)
    return Split(Structure(taken[0], dtype, mesh_of(model)), taken[1], taken[2])


def mesh_of(model: nnx.Module) -> Mesh | None:
    """The mesh that a model's arrays are placed on, if they are."""
    shardings = (getattr(leaf, "sharding", None) for leaf in by_name(model).values())
    placed = (each.mesh for each in shardings if isinstance(each, NamedSharding))
    return next((mesh for mesh in placed if isinstance(mesh, Mesh)), None)


def describe(split: Split) -> str:
    """A table of what is trained and what is not, in numbers of parameters."""
    lines = [f"{'part':<10} {'trained':>14} {'frozen':>14}"]
    counts = {part: [0, 0] for part in PARTS}
    for column, state in enumerate((split.params, split.frozen)):
        for name, leaf in by_name(state).items():
            counts[part_of(name)][column] += leaf.size
    counts["all"] = [sum(column) for column in zip(*counts.values(), strict=True)]
    lines += [f"{part:<10} {a:>14,} {b:>14,}" for part, (a, b) in counts.items()]
    return "\n".join(lines)


def create_state(
    params: nnx.State,
    optimizer: optax.GradientTransformation,
    family: ModuleType,
    mesh: Mesh,
    offload: bool = False,
    donate: bool = False,
) -> TrainState:
    """The state before the first step, every leaf placed on the mesh.

    Args:
      params: what is trained.
      optimizer: of the run.
      family: whose table places parameters.
      mesh: that they are placed on.
      offload: whether moments lie in the host's memory.
      donate: whether the arrays of `params` become the state's and are not to be used again.

    Raises:
      ConfigError: the family's sharding table cannot place a parameter.
    """

    def create(params: nnx.State) -> TrainState:
        return TrainState(jnp.int32(0), params, optimizer.init(params))

    shardings = state_sharding(jax.eval_shape(create, params), family, mesh, offload)
    given = (0,) if donate else ()
    return jax.jit(create, out_shardings=shardings, donate_argnums=given)(params)


def in_host_memory(sharding: NamedSharding) -> NamedSharding:
    """The same places, in the memory of their devices' hosts."""
    return sharding.with_memory_kind("pinned_host")


def state_sharding(
    shapes: TrainState, family: ModuleType, mesh: Mesh, offload: bool = False
) -> TrainState:
    """A TrainState of NamedShardings: moments as their parameters, scalars everywhere.

    Args:
      shapes: of the state.
      family: whose table places parameters.
      mesh: that they are placed on.
      offload: whether moments lie in the host's memory.
    """

    def place(node: Any) -> Any:
        if not isinstance(node, nnx.State):
            return jax.tree.map(lambda _: replicated(mesh), node)
        return map_named(
            lambda name, leaf: parameter_sharding(name, leaf.shape, family.SHARDING, mesh), node
        )

    placed = jax.tree.map(place, shapes, is_leaf=lambda node: isinstance(node, nnx.State))
    if not offload:
        return placed
    moved = jax.tree.map(
        lambda leaf, sharding: in_host_memory(sharding) if leaf.ndim else sharding,
        shapes.optimizer,
        placed.optimizer,
    )
    return dataclasses.replace(placed, optimizer=moved)
