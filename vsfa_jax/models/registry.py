"""Finds families by import name, and builds a Vlm from a checkpoint directory."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh

from vsfa_jax.core.errors import WeightsError
from vsfa_jax.models import paper
from vsfa_jax.models.checkpoint_files import read_json
from vsfa_jax.models.hub import resolve
from vsfa_jax.models.parameters import by_name, map_named, replace
from vsfa_jax.models.quantize import SCALE, is_quantized, quantize, quantized
from vsfa_jax.models.sharding import parameter_sharding, single_device_mesh
from vsfa_jax.models.vlm import Vlm
from vsfa_jax.models.weights import read_weights


def _families() -> dict[str, ModuleType]:
    found = {}
    for entry in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if entry.ispkg:
            module = importlib.import_module(f"vsfa_jax.models.{entry.name}")
            found[entry.name] = module
    return found


FAMILIES = _families()


def load(
    path_or_dir: str | Path,
    dtype: jnp.dtype = jnp.float32,
    mesh: Mesh | None = None,
    max_pixels: int = 0,
    completed_from: str = "",
    revision: str = "",
    int8: bool = False,
) -> Vlm:
    """Loads a checkpoint: config.json, *.safetensors, tokenizer and processor files.

    Args:
      path_or_dir: its directory, or its name on the Hugging Face hub.
      dtype: of the loaded parameters.
      mesh: axes data, fsdp, tensor; one device when None.
      max_pixels: of an image, in place of the checkpoint's own bound; 0 leaves that.
      completed_from: a paper model whose written-out config completes config.json; "" is none.
      revision: branch, tag or commit of a hub name; "" is the newest.
      int8: whether the blocks' matrices are kept in int8; see `quantize.py`.

    Raises:
      WeightsError: anything about the directory that is not as the family wants it.
    """
    directory, family, model = _open(resolve(path_or_dir, revision), completed_from)
    mesh = mesh or single_device_mesh()
    shapes = by_name(model)
    finish = functools.partial(_in_int8, family, mesh) if int8 else _as_read
    values = read_weights(directory, family, model.config, shapes, dtype, mesh, finish)
    graph, state = nnx.split(jax.eval_shape(quantize, model) if int8 else model)
    return _vlm(directory, family, nnx.merge(graph, replace(state, values)), mesh, max_pixels)


def _as_read(name: str, value: jax.Array) -> dict[str, jax.Array]:
    return {name: value}


def _in_int8(family: ModuleType, mesh: Mesh, name: str, value: jax.Array) -> dict[str, jax.Array]:
    """What is kept of a parameter where the base is kept in int8."""
    if not is_quantized(name):
        return {name: value}
    names = (name, name + SCALE)
    shapes = jax.eval_shape(quantized, value)
    places = tuple(
        parameter_sharding(part, shape.shape, family.SHARDING, mesh)
        for part, shape in zip(names, shapes, strict=True)
    )
    parts = jax.jit(quantized, out_shardings=places)(value)
    value.delete()
    return dict(zip(names, parts, strict=True))


def initialize(
    path_or_dir: str | Path,
    seed: int,
    dtype: jnp.dtype = jnp.float32,
    mesh: Mesh | None = None,
    max_pixels: int = 0,
    completed_from: str = "",
    int8: bool = False,
) -> Vlm:
    """The same model with random weights, born sharded; the directory needs no safetensors."""
    directory, family, drawn = _open(resolve(path_or_dir), completed_from)
    mesh, config = mesh or single_device_mesh(), drawn.config

    def create(key: jax.Array) -> nnx.Module:
        return drawn_model(family, config, key, dtype, int8)

    graph, shapes = nnx.split(jax.eval_shape(create, jax.random.key(seed)))
    shardings = map_named(
        lambda name, leaf: parameter_sharding(name, leaf.shape, family.SHARDING, mesh), shapes
    )
    state = jax.jit(lambda key: nnx.state(create(key)), out_shardings=shardings)(
        jax.random.key(seed)
    )
    return _vlm(directory, family, nnx.merge(graph, state), mesh, max_pixels)


def drawn_model(
    family: ModuleType, config: Any, key: jax.Array, dtype: jnp.dtype, int8: bool = False
) -> Any:
    """A family's model with random parameters of `dtype`, and int8 where asked; traceable."""
    model = family.Model(config, key)
    model = jax.tree.map(lambda leaf: leaf.astype(dtype), model)
    return quantize(model) if int8 else model


def skeleton(path_or_dir: str | Path, completed_from: str = "") -> tuple[ModuleType, Any]:
    """The family of a checkpoint and its model with shapes in place of arrays."""
    _, family, model = _open(resolve(path_or_dir), completed_from)
    return family, model


def _open(directory: Path, completed_from: str) -> tuple[Path, ModuleType, Any]:
    """The directory, its family and the model's structure, with shapes in place of arrays."""
    raw = read_json(directory / "config.json")
    if completed_from:
        raw = paper.complete(raw, completed_from)
    if "auto_map" in raw:
        raise WeightsError(f"{directory}/config.json: auto_map names code of its own; refused")
    model_type = raw.get("model_type")
    by_type = {family.MODEL_TYPE: family for family in FAMILIES.values()}
    if model_type not in by_type:
        raise WeightsError(
            f"{directory}/config.json: model_type {model_type!r}, wanted one of {sorted(by_type)}"
        )
    family = by_type[model_type]
    config = family.read_config(raw)
    model = jax.eval_shape(lambda key: family.Model(config, key), jax.random.key(0))
    return directory, family, model


def _vlm(directory: Path, family: ModuleType, model: Any, mesh: Mesh, max_pixels: int) -> Vlm:
    return Vlm(
        family=family.__name__.rpartition(".")[2],
        config=model.config,
        model=model,
        processor=family.Processor(directory, model.config, max_pixels),
        directory=directory,
        mesh=mesh,
    )
