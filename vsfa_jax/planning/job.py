"""A training job in shapes: everything that the step is compiled from, and no array."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding

from vsfa_jax import decode, models, optim, step, tinyworld
from vsfa_jax.assemble import optimizer_config, prepare, take_apart
from vsfa_jax.core.config import Settings
from vsfa_jax.data.batch import Batch, Budget, Vision
from vsfa_jax.input import check_rows
from vsfa_jax.mesh import batch_sharding, make_mesh
from vsfa_jax.models import paper
from vsfa_jax.models.parameters import map_named
from vsfa_jax.models.rows import num_shards
from vsfa_jax.models.sharding import parameter_sharding
from vsfa_jax.state import Split, TrainState, state_sharding

COLOURS = 3


@dataclasses.dataclass(frozen=True)
class Job:
    """What `train` would hold, every leaf a jax.ShapeDtypeStruct with its sharding.

    Attributes:
      settings: of the run.
      family: the model's.
      config: its shapes.
      mesh: of the devices that are compiled for.
      split: structure, what is trained, what is frozen.
      state: before a step.
      shapes_from: where the model's shapes were read.
    """

    settings: Settings
    family: ModuleType
    config: Any
    mesh: Mesh
    split: Split
    state: TrainState
    shapes_from: Path

    def batch(self, budget: Budget) -> Batch:
        """The batches of a step, [M, B, ...], of one bucket."""
        rows, parts = self.settings.batch_rows, self.settings.micro_batches
        sharding = batch_sharding(self.mesh, micro_batches=True)
        return batch_shapes(self.family, self.config, budget, (parts, rows // parts), sharding)

    def train_step(self) -> Callable[..., Any]:
        """The jitted step; lower it with (state, split.frozen, batch(budget))."""
        train = self.settings.train
        optimizer = optim.make_optimizer(optimizer_config(self.settings))
        loss = step.LossConfig(train.z_loss, train.label_smoothing)
        return step.jit_train_step(self.split.structure, optimizer, self.state, loss)

    def lower_train(self, budget: Budget) -> jax.stages.Lowered:
        """The training step of one bucket."""
        step_of_job: Any = self.train_step()
        lowered: jax.stages.Lowered = step_of_job.lower(
            self.state, self.split.frozen, self.batch(budget)
        )
        return lowered

    @property
    def eval_rows(self) -> int:
        """Conversations that are decoded together, the mesh's share of rows filled up."""
        share = num_shards(self.mesh)
        return -(-self.settings.eval.batch_size // share) * share

    def prompts(self, budget: Budget) -> Batch:
        """The conversations that are decoded together, [B, ...], each as long as a row."""
        sharding = batch_sharding(self.mesh)
        return batch_shapes(self.family, self.config, budget, (self.eval_rows,), sharding)

    def lower_eval(self, budget: Budget) -> jax.stages.Lowered:
        """Prefill and decoding of the tuned model, prompts as long as the bucket's rows.

        A whole batch in one program, as processes that share a mesh decode; one process alone
        prompts an eighth of the rows at a time.
        """
        options, rows = self.settings.eval, self.eval_rows
        batch = self.prompts(budget)
        seeds = jax.ShapeDtypeStruct((rows,), np.uint32, sharding=batch.tokens.sharding)

        def answer(
            params: nnx.State, frozen: nnx.State, batch: Batch, seeds: jax.Array
        ) -> jax.Array:
            return decode.generate(
                self.split.structure.model(params, frozen),
                batch,
                seeds=seeds,
                sampling=decode.Sampling(options.temperature),
                max_new_tokens=options.max_new_tokens,
                stop_tokens=(0,),
                mesh=self.mesh,
            )

        return jax.jit(answer).lower(self.split.params, self.split.frozen, batch, seeds)


def make_job(settings: Settings, devices: Sequence[jax.Device]) -> Job:
    """The job on these devices, which need not exist.

    Raises:
      ConfigError: the mesh, the rows or a parameter do not divide; nothing is trained.
      WeightsError: the model's shapes cannot be read.
    """
    mesh = make_mesh(settings.mesh.data, settings.mesh.fsdp, settings.mesh.tensor, devices)
    check_rows(settings, mesh)
    directory = shapes_directory(settings)
    family, skeleton = models.skeleton(directory, settings.model.completed_from)
    dtype, int8 = jnp.dtype(settings.model.dtype), settings.model.quantize == "int8"

    def build(key: jax.Array) -> Any:
        model = models.drawn_model(family, skeleton.config, key, dtype, int8)
        prepare(model, settings)
        return model

    split = take_apart(jax.eval_shape(build, jax.random.key(0)), settings)
    structure = dataclasses.replace(split.structure, mesh=mesh)
    split = Split(
        structure,
        placed(split.params, family, mesh, jnp.float32),
        placed(split.frozen, family, mesh),
    )
    optimizer = optim.make_optimizer(optimizer_config(settings))
    state = jax.eval_shape(
        lambda params: TrainState(jnp.int32(0), params, optimizer.init(params)), split.params
    )
    shardings = state_sharding(state, family, mesh, settings.optimizer.offload)
    state = jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        *(state, shardings),
    )
    return Job(settings, family, skeleton.config, mesh, split, state, directory)


def shapes_directory(settings: Settings) -> Path:
    """Where the model's config.json lies; of a paper's model on the hub, our own copy of it.

    Raises:
      ConfigError: an embedded model that there is not.
      WeightsError: the hub cannot be reached.
    """
    path = str(tinyworld.resolve_model(settings.model.path))
    written = None if Path(path).is_dir() else paper.written_out(path)
    return written or models.resolve(path, settings.model.revision, weights=False)


def placed(tree: nnx.State, family: ModuleType, mesh: Mesh, dtype: Any = None) -> nnx.State:
    """Shapes with their places; `dtype` in place of each one's own where given."""
    return map_named(
        lambda name, leaf: jax.ShapeDtypeStruct(
            leaf.shape,
            dtype or leaf.dtype,
            sharding=parameter_sharding(name, leaf.shape, family.SHARDING, mesh),
        ),
        tree,
    )


def batch_shapes(
    family: ModuleType,
    config: Any,
    budget: Budget,
    leading: tuple[int, ...],
    sharding: NamedSharding,
) -> Batch:
    """A batch in shapes, [*leading, T, ...]; see `data.batch`."""

    def shape(*inner: int, dtype: Any = np.int32) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((*leading, *inner), dtype, sharding=sharding)

    t, p = budget.tokens, budget.patches
    patch = COLOURS * config.patch_size**2
    return Batch(
        tokens=shape(t),
        targets=shape(t),
        loss_weights=shape(t, dtype=np.float32),
        segment_ids=shape(t),
        positions=shape(t, 3),
        image_index=shape(t),
        vision=Vision(
            patches=shape(p, patch, dtype=np.float32),
            segment_ids=shape(p),
            places={
                name: shape(p, *inner, dtype=np.dtype(dtype))
                for name, (inner, dtype) in family.PLACES.items()
            },
        ),
    )
