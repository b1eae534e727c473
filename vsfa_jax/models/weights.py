"""Reads and writes checkpoints by a family's rules, strictly both ways."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from safetensors import safe_open

from vsfa_jax.core.errors import WeightsError
from vsfa_jax.models.checkpoint_files import tensor_files
from vsfa_jax.models.rules import Rule, Turn, canonical, to_ours, to_theirs, written
from vsfa_jax.models.sharding import parameter_sharding

Index = tuple[slice, ...] | None
Finish = Callable[[str, jax.Array], dict[str, jax.Array]]


def read_weights(
    directory: Path,
    family: ModuleType,
    config: Any,
    shapes: Mapping[str, jax.ShapeDtypeStruct],
    dtype: jnp.dtype,
    mesh: Mesh,
    finish: Finish,
) -> dict[str, jax.Array]:
    """Every parameter that `shapes` names, read by slice straight into its shards.

    Host memory beyond the arrays themselves is that of one parameter's shards on this host.

    Args:
      directory: of the checkpoint.
      family: the model's.
      config: its shapes.
      shapes: of the parameters, by name.
      dtype: that they are read in.
      mesh: that they are placed on.
      finish: what is kept of each, by name, before the next one is read.

    Raises:
      WeightsError: a tensor is missing, misshapen or unused, or a rule is.
    """
    files = _canonical(tensor_files(directory))
    rules = {rule.ours: rule for rule in family.rules(config)}
    unknown = sorted(set(shapes) ^ set(rules))
    if unknown:
        raise WeightsError(f"{unknown[0]}: the family's rules and parameters differ about it")
    readers = {
        name: _Reader(rules[name], files, shape.shape, directory) for name, shape in shapes.items()
    }
    used = {key for reader in readers.values() for key in reader.keys}
    ignored = (*family.IGNORED, *(("lm_head.weight",) if config.text.tied_head else ()))
    unused = [key for key in files if key not in used and not _ignored(key, ignored)]
    if unused:
        raise WeightsError(f"{directory}: checkpoint tensors with no place: {sorted(unused)[:5]}")
    values: dict[str, jax.Array] = {}
    for name, reader in readers.items():
        sharding = parameter_sharding(name, reader.shape, family.SHARDING, mesh)
        read = jax.make_array_from_callback(reader.shape, sharding, _as(reader, dtype))
        values.update(finish(name, read))
    return values


def _as(reader: _Reader, dtype: jnp.dtype) -> Callable[[Index], np.ndarray]:
    return lambda index: reader.read(index, dtype)


def _ignored(key: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(key, pattern) for pattern in patterns)


def _canonical(files: Mapping[str, Path]) -> dict[str, tuple[str, Path]]:
    """Name in memory -> (the key in its file, the file)."""
    named: dict[str, tuple[str, Path]] = {}
    for key, path in files.items():
        name = canonical(key)
        if name in named:
            raise WeightsError(f"{path}: {key!r} and {named[name][0]!r} are the same tensor")
        named[name] = (key, path)
    return named


class _Reader:
    """Reads any slice of one of our parameters; layers are stacked as they are read."""

    def __init__(
        self,
        rule: Rule,
        files: Mapping[str, tuple[str, Path]],
        shape: tuple[int, ...],
        directory: Path,
    ):
        self.rule, self.shape = rule, shape
        layers = range(shape[0]) if rule.stacked else (0,)
        self.keys = [rule.theirs.format(layer=layer) for layer in layers]
        missing = [key for key in self.keys if key not in files]
        if missing:
            raise WeightsError(f"{rule.ours}: checkpoint {directory} has no {missing[:3]}")
        self.files = [files[key] for key in self.keys]
        wanted = shape[1:] if rule.stacked else shape
        for key, (name, path) in zip(self.keys, self.files, strict=True):
            with safe_open(path, "np") as file:
                found = tuple(file.get_slice(name).get_shape())
            if _turned_shape(found, rule.turn) != wanted:
                raise WeightsError(f"{rule.ours}: {key} has shape {found}, wanted {wanted} turned")

    def read(self, index: Index, dtype: jnp.dtype) -> np.ndarray:
        """The slice `index` of the parameter, the whole of it for None; layer by layer."""
        index = index or (slice(None),) * len(self.shape)
        if not self.rule.stacked:
            return self._one(0, index).astype(dtype)
        layers = range(*index[0].indices(self.shape[0]))
        sizes = [len(range(*i.indices(n))) for i, n in zip(index, self.shape, strict=True)]
        stacked = np.empty(sizes, dtype)
        for place, layer in enumerate(layers):
            stacked[place] = self._one(layer, index[1:])
        return stacked

    def _one(self, layer: int, index: tuple[slice, ...]) -> np.ndarray:
        name, path = self.files[layer]
        with safe_open(path, "np") as file:
            tensor = file.get_slice(name)
            if self.rule.turn is Turn.TRANSPOSE:
                return np.ascontiguousarray(tensor[index[1], index[0]].T)
            if self.rule.turn is Turn.SAME:
                return np.asarray(tensor[index])
            return to_ours(file.get_tensor(name), self.rule.turn)[index]


def _turned_shape(shape: tuple[int, ...], turn: Turn) -> tuple[int, ...]:
    if turn is Turn.SAME or not shape:
        return shape
    return (int(np.prod(shape[1:])), shape[0])


def their_tensors(
    family: ModuleType,
    config: Any,
    values: Mapping[str, jax.Array],
    dtype: Any,
    rules: Sequence[Rule] | None = None,
) -> Iterator[tuple[str, np.ndarray]]:
    """Tensors in the checkpoint's own names and layout, one after another.

    Args:
      family: the model's.
      config: its shapes.
      values: parameters by name.
      dtype: of the tensors.
      rules: for which parameters; all of the family's when None.
    """
    for rule in family.rules(config) if rules is None else rules:
        value = values[rule.ours]
        for layer in range(len(value)) if rule.stacked else (None,):
            ours = np.asarray(value if layer is None else value[layer]).astype(dtype)
            turned = to_theirs(ours, rule.turn, config.patch_shape)
            key = written(rule.theirs.format(layer=layer), family.LAYOUT)
            yield key, np.ascontiguousarray(turned)
