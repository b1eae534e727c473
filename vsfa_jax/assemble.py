"""From settings to the things that training, evaluation and export share."""

from __future__ import annotations

import dataclasses
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
from absl import logging
from jax.sharding import Mesh

from vsfa_jax import lora, models, state, tinyworld
from vsfa_jax.core.config import PARTS, Settings
from vsfa_jax.core.errors import ConfigError
from vsfa_jax.data.sources import Source, open_source
from vsfa_jax.kernels.attention import Backend, verify
from vsfa_jax.mesh import make_mesh
from vsfa_jax.models.parameters import by_name, map_named
from vsfa_jax.models.remat import set_remat
from vsfa_jax.models.sharding import parameter_sharding
from vsfa_jax.optim import OptimizerConfig

_LORA_STREAM = 1  # folded into the seed, so that the adapter's draw is no other's


@dataclasses.dataclass(frozen=True)
class Assembly:
    """A model on a mesh, taken apart.

    Attributes:
      mesh: data, fsdp, tensor.
      vlm: the base with an adapter attached if one is trained; B = 0 leaves it the base.
      family: the module of its family.
      split: structure, what is trained, what is frozen.
      adapted: names of the adapted layers.
    """

    mesh: Mesh
    vlm: models.Vlm
    family: ModuleType
    split: state.Split
    adapted: list[str]

    def with_params(self, params: Any) -> models.Vlm:
        """The model with these trained parameters."""
        return dataclasses.replace(self.vlm, model=self.split.merge(params))

    def release_trained(self) -> None:
        """Frees what the base holds of parameters that are trained as float32 copies of theirs.

        The base cannot be asked any more.
        """
        loaded = by_name(self.vlm.model)
        for name, leaf in by_name(self.split.params).items():
            if loaded[name].dtype != leaf.dtype:
                loaded[name].delete()


def assemble(settings: Settings) -> Assembly:
    """Loads or draws the base, attaches the adapter, places both on the mesh.

    Raises:
      UserError: of the part that is at fault.
    """
    mesh = make_mesh(settings.mesh.data, settings.mesh.fsdp, settings.mesh.tensor)
    vlm = load_base(settings, mesh)
    family = models.FAMILIES[vlm.family]
    adapted = prepare(vlm.model, settings)
    split = take_apart(vlm.model, settings)
    params = map_named(
        lambda name, leaf: jax.device_put(
            leaf.astype(jnp.float32), parameter_sharding(name, leaf.shape, family.SHARDING, mesh)
        ),
        split.params,
    )
    return Assembly(mesh, vlm, family, dataclasses.replace(split, params=params), adapted)


def prepare(model: Any, settings: Settings) -> list[str]:
    """Sets how a model is computed and attaches the adapter if one is trained, in place.

    Returns:
      Names of the adapted layers.

    Raises:
      ConfigError: a target of the adapter is no layer.
    """
    set_remat(model, settings.train.remat, settings.train.vision_remat)
    model.set_attention(Backend(settings.train.attention))
    if settings.train.mode != "lora":
        return []
    key = jax.random.fold_in(jax.random.key(settings.seed), _LORA_STREAM)
    return lora.attach(model, adapter_config(settings), key)


def take_apart(model: Any, settings: Settings) -> state.Split:
    """A prepared model as structure, what is trained and what is not.

    Raises:
      ConfigError: nothing is trained.
    """
    rates, dtype = part_rates(settings), jnp.dtype(settings.model.dtype)
    parts = [part for part in rates if rates[part]]
    split = state.split(model, settings.train.mode, parts, dtype)
    if not by_name(split.params):
        raise ConfigError("nothing is trained: every part that lora.targets names has rate 0")
    return split


def load_base(settings: Settings, mesh: Mesh) -> models.Vlm:
    """The base model, from weights or drawn.

    Raises:
      ConfigError: none is named.
      WeightsError: it cannot be read.
    """
    if not settings.model.path:
        raise ConfigError("model.path: found '', wanted a directory or the name of a checkpoint")
    model, dtype = settings.model, jnp.dtype(settings.model.dtype)
    options = (model.max_pixels, model.completed_from)
    int8 = model.quantize == "int8"
    path, random = tinyworld.resolve_model(model.path), model.init == "random"
    directory = models.resolve(path, model.revision, weights=not random)
    if random:
        return models.initialize(directory, settings.seed, dtype, mesh, *options, int8=int8)
    return models.load(directory, dtype, mesh, *options, int8=int8)


def verify_attention(settings: Settings, vlm: models.Vlm) -> None:
    """Compares the attention that a run will use on an accelerator with XLA's.

    On a CPU it is only asked whether it can run.

    Raises:
      ConfigError: they differ, or the backend that is asked for cannot run.
    """
    backend, dtype = Backend(settings.train.attention), jnp.dtype(settings.model.dtype)
    for name, use in attention_uses(vlm.config).items():
        if jax.default_backend() == "cpu":
            verify.check(use, dtype, backend)
        else:
            found = verify.verify(use, dtype, backend)
            logging.info("attention of %s differs from xla by %s", name, found)


def attention_uses(config: Any) -> dict[str, verify.Use]:
    """The shapes of attention in a model."""
    text, tower = config.text, config.vision.blocks
    heads = (tower.num_heads, tower.num_heads, tower.head_size)
    uses = {
        "the language model": verify.Use(
            text.num_heads, text.num_kv_heads, text.head_size, causal=True, window=text.window
        ),
        "the tower": verify.Use(*heads, causal=False),
    }
    longest = getattr(config.vision, "window_patches", None)
    if longest is not None:
        uses["the tower's windows"] = verify.Use(*heads, causal=False, longest=longest)
    return uses


def part_rates(settings: Settings) -> dict[str, float]:
    """Of each part of a model, its share of the learning rate."""
    return {part: getattr(settings.optimizer, f"{part}_rate") for part in PARTS}


def adapter_config(settings: Settings) -> lora.AdapterConfig:
    """The adapter that a run trains."""
    return lora.AdapterConfig(
        rank=settings.lora.rank,
        alpha=settings.lora.alpha,
        targets=settings.lora.targets,
        dora=settings.lora.dora,
        rank_stabilized=settings.lora.rank_stabilized,
    )


def open_data(settings: Settings, split: str) -> Source:
    """The "train" or "validation" records of the configured set, or of the embedded world.

    Raises:
      DataError: the set is missing, foreign or damaged.
    """
    data = settings.data
    world = tinyworld.world_name(data.path)
    if world is None:
        return open_source(data.path, split=split, arm=data.arm)
    size = data.size if split == "train" else data.validation_size
    return tinyworld.source(world, data.arm, split, size, seed=settings.seed)


def optimizer_config(settings: Settings) -> OptimizerConfig:
    """The optimizer's settings for a run of `settings.steps`."""
    wanted = settings.optimizer
    return OptimizerConfig(
        learning_rate=wanted.learning_rate,
        warmup_steps=wanted.warmup_steps,
        total_steps=wanted.schedule_steps or settings.steps,
        final_share=wanted.final_share,
        weight_decay=wanted.weight_decay,
        b1=wanted.b1,
        b2=wanted.b2,
        epsilon=wanted.eps,
        clip_norm=wanted.clip_norm,
        rates=part_rates(settings),
    )
