"""A whole model as a Hugging Face checkpoint directory: shards of safetensors and their index."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np
from flax import nnx
from safetensors import safe_open
from safetensors.numpy import save_file

from vsfa_jax.core.errors import WeightsError
from vsfa_jax.lora import linears
from vsfa_jax.models.checkpoint_files import read_json, tensor_files
from vsfa_jax.models.linear import Linear, merged_kernel
from vsfa_jax.models.parameters import by_name
from vsfa_jax.models.weights import their_tensors

SHARD_BYTES = 4 * 2**30
_KEPT = (".json", ".jinja", ".txt", ".model")


def write(
    directory: Path,
    source: Path,
    family: ModuleType,
    model: Any,
    dtype: Any,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Writes a model, its adapter merged, and reads it back.

    Args:
      directory: made here.
      source: the base's directory, whose config, tokenizer, template and processor files are kept.
      family: the model's.
      model: the model.
      dtype: of the tensors.
      shard_bytes: a file holds at most this much, or one tensor.

    Raises:
      WeightsError: what was written does not read back, or a merged adapter changes nothing.
    """
    directory.mkdir()
    for path in sorted(source.iterdir()):
        if path.suffix in _KEPT and not path.name.endswith(".index.json"):
            shutil.copyfile(path, directory / path.name)
    _say_dtype(directory / "config.json", dtype)
    tensors = their_tensors(family, model.config, _Merged(model), dtype)
    weight_map = _write_shards(directory, tensors, shard_bytes)
    _check(directory, family, model, dtype, weight_map)


def _say_dtype(path: Path, dtype: Any) -> None:
    """config.json with the dtype that the tensors now have, under whichever key it stands."""
    config = read_json(path)
    key = "torch_dtype" if "torch_dtype" in config else "dtype"
    config[key] = str(np.dtype(dtype))
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


class _Merged(Mapping[str, Any]):
    """Every parameter by name; a kernel's adapter is merged when it is asked for."""

    def __init__(self, model: nnx.Module):
        plain = by_name(model)
        self._values = {name: value for name, value in plain.items() if "/adapter/" not in name}
        self._adapted = {
            f"{name}/kernel": layer for name, layer in linears(model) if layer.adapter is not None
        }

    @property
    def adapted(self) -> set[str]:
        """Names of the merged kernels."""
        return set(self._adapted)

    def base(self, name: str) -> jax.Array:
        """The parameter without its adapter."""
        return self._values[name]

    def __getitem__(self, name: str) -> Any:
        if name not in self._adapted:
            return self._values[name]
        stacked = self._values[name].ndim == 3
        layer = self._adapted[name]
        return _Layers(layer) if stacked else jax.jit(merged_kernel)(layer)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class _Layers:
    """A stacked kernel, merged one layer at a time: whole, in float32, it may not fit."""

    def __init__(self, stacked: Linear):
        self._stacked = stacked
        self._merge = jax.jit(
            lambda stacked, number: merged_kernel(jax.tree.map(lambda leaf: leaf[number], stacked))
        )

    def __len__(self) -> int:
        return len(self._stacked.kernel[...])

    def __getitem__(self, number: int) -> jax.Array:
        return self._merge(self._stacked, number)


def _write_shards(
    directory: Path, tensors: Iterator[tuple[str, np.ndarray]], shard_bytes: int
) -> dict[str, str]:
    """Writes shards; returns which file holds each tensor."""
    shards: list[list[str]] = []
    held: dict[str, np.ndarray] = {}
    total = 0

    def flush() -> None:
        save_file(held, directory / f"shard-{len(shards)}", metadata={"format": "pt"})
        shards.append(list(held))
        held.clear()

    for key, tensor in tensors:
        if held and sum(t.nbytes for t in held.values()) + tensor.nbytes > shard_bytes:
            flush()
        held[key] = tensor
        total += tensor.nbytes
    flush()
    return _name_shards(directory, shards, total)


def _name_shards(directory: Path, shards: list[list[str]], total: int) -> dict[str, str]:
    """Gives shards the names that transformers wants, now that their number is known."""
    weight_map: dict[str, str] = {}
    for number, keys in enumerate(shards):
        name = f"model-{number + 1:05d}-of-{len(shards):05d}.safetensors"
        name = name if len(shards) > 1 else "model.safetensors"
        path = (directory / f"shard-{number}").rename(directory / name)
        path.chmod(0o644)  # safetensors writes for the owner alone
        weight_map |= dict.fromkeys(keys, name)
    if len(shards) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        text = json.dumps(index, indent=2, sort_keys=True) + "\n"
        (directory / "model.safetensors.index.json").write_text(text, encoding="utf-8")
    return weight_map


def _check(
    directory: Path, family: ModuleType, model: Any, dtype: Any, weight_map: Mapping[str, str]
) -> None:
    """Reads every tensor back; an adapted one must differ from the base's, and no other."""
    if set(tensor_files(directory)) != set(weight_map):
        raise WeightsError(f"{directory}: its files do not hold what was written")
    values = _Merged(model)
    changed = set()
    for name in values:
        only = {name: values.base(name)}
        rules = [rule for rule in family.rules(model.config) if rule.ours == name]
        for key, base in their_tensors(family, model.config, only, dtype, rules):
            with safe_open(directory / weight_map[key], "np") as file:
                written = file.get_tensor(key)
            if not np.array_equal(written, base):
                changed.add(name)
    if changed - values.adapted:
        odd = sorted(changed - values.adapted)
        raise WeightsError(f"{directory}: outside the adapter these changed: {odd[:3]}")
    if values.adapted and not changed:
        raise WeightsError(f"{directory}: the merged adapter changes nothing")
