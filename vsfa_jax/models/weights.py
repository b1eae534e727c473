"""Reads and writes checkpoints by a family's rules, strictly both ways."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from jax.sharding import Mesh
from safetensors import safe_open
from safetensors.numpy import save_file

from vsfa_jax.core.errors import WeightsError
from vsfa_jax.models.checkpoint_files import tensor_files
from vsfa_jax.models.rules import Rule, Turn, to_ours, to_theirs
from vsfa_jax.models.sharding import parameter_sharding

Index = tuple[slice, ...] | None


def read_weights(
    directory: Path,
    family: ModuleType,
    shapes: Mapping[str, jax.ShapeDtypeStruct],
    dtype: jnp.dtype,
    mesh: Mesh,
) -> dict[str, jax.Array]:
    """Every parameter that `shapes` names, read by slice straight into its shards.

    Raises:
      WeightsError: a tensor is missing, misshapen or unused, or a rule is.
    """
    files = _canonical(tensor_files(directory), family.CANONICAL)
    rules = {rule.ours: rule for rule in family.RULES}
    unknown = sorted(set(shapes) ^ set(rules))
    unknown = [name for name in unknown if not _absent_bias(name, shapes, rules)]
    if unknown:
        raise WeightsError(f"{unknown[0]}: the family's rules and parameters differ about it")
    readers = {
        name: _Reader(rules[name], files, shape.shape, directory) for name, shape in shapes.items()
    }
    used = {key for reader in readers.values() for key in reader.keys}
    unused = [key for key in files if key not in used and not _ignored(key, family.IGNORED)]
    if unused:
        raise WeightsError(f"{directory}: checkpoint tensors with no place: {sorted(unused)[:5]}")
    return {
        name: jax.make_array_from_callback(
            reader.shape,
            parameter_sharding(name, reader.shape, family.SHARDING, mesh),
            _cast(reader, dtype),
        )
        for name, reader in readers.items()
    }


def _cast(reader: _Reader, dtype: jnp.dtype) -> Callable[[Index], np.ndarray]:
    return lambda index: reader(index).astype(dtype)


def _absent_bias(name: str, shapes: Mapping[str, object], rules: Mapping[str, Rule]) -> bool:
    return name.endswith("/bias") and name in rules and name not in shapes


def _ignored(key: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(key, pattern) for pattern in patterns)


def _canonical(
    files: Mapping[str, Path], prefixes: Sequence[tuple[str, str]]
) -> dict[str, tuple[str, Path]]:
    """Canonical key -> (the key in its file, the file)."""
    named: dict[str, tuple[str, Path]] = {}
    for key, path in files.items():
        name = key
        for old, new in prefixes:
            if name.startswith(old) and not (new.startswith(old) and name.startswith(new)):
                name = new + name[len(old) :]
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

    def __call__(self, index: Index) -> np.ndarray:
        """The slice `index` of the parameter; the whole of it for None."""
        index = index or (slice(None),) * len(self.shape)
        if not self.rule.stacked:
            return self._one(0, index)
        layers = range(*index[0].indices(self.shape[0]))
        return np.stack([self._one(layer, index[1:]) for layer in layers])

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


def write_weights(
    path: Path, family: ModuleType, values: Mapping[str, jax.Array], patch_size: int
) -> None:
    """Writes parameters as one bfloat16 safetensors file, in the checkpoint's own names."""
    tensors: dict[str, np.ndarray] = {}
    for rule in family.RULES:
        if rule.ours not in values:
            continue
        ours = np.asarray(values[rule.ours], np.float32)
        for layer, parameter in enumerate(ours if rule.stacked else [ours]):
            turned = to_theirs(parameter, rule.turn, patch_size)
            key = rule.theirs.format(layer=layer)
            tensors[key] = np.ascontiguousarray(turned.astype(ml_dtypes.bfloat16))
    save_file(tensors, path, metadata={"format": "pt"})
    path.chmod(0o644)  # safetensors writes for the owner alone
