"""Adapters in PEFT's format: adapter_config.json and adapter_model.safetensors.

    base_model.model.model.language_model.layers.3.self_attn.q_proj.lora_A.weight     [R, D]
    base_model.model.model.language_model.layers.3.self_attn.q_proj.lora_B.weight     [F, R]
    base_model.model.model.language_model.layers.3.self_attn.q_proj.lora_magnitude_vector  [F]

Names are those that transformers gives its modules in memory; a layer of ours that is stacked over
L is L modules of theirs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from vsfa_jax.core.errors import WeightsError
from vsfa_jax.lora import AdapterConfig, linears
from vsfa_jax.models.checkpoint_files import read_json
from vsfa_jax.models.rules import Rule, canonical

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_PARTS = {"a": "lora_A.weight", "b": "lora_B.weight", "magnitude": "lora_magnitude_vector"}
# What must be plain for our adapter to be the same function.
_PLAIN: Mapping[str, object] = {
    **{"bias": "none", "fan_in_fan_out": False, "lora_bias": False, "use_qalora": False},
    **{"modules_to_save": None, "layers_to_transform": None},
    **{"rank_pattern": {}, "alpha_pattern": {}},
}

# Beginnings of an adapter that leave the base model as it is.
_SAME_BASE = (True, False, None, "gaussian", "eva", "orthogonal")


def write(
    directory: Path,
    family: ModuleType,
    model: Any,
    config: AdapterConfig,
    values: Mapping[str, Any],
    base: str,
) -> None:
    """Writes an adapter and reads it back.

    Args:
      directory: an empty folder.
      family: the model's.
      model: the model.
      config: of the adapter.
      values: "language/layers/q_proj/adapter/a" -> array, every part of every adapted layer.
      base: name or path of the base model, for adapter_config.json.

    Raises:
      WeightsError: an adapter that changes nothing, or one that does not read back.
    """
    if not any(np.any(value) for name, value in values.items() if name.endswith("/b")):
        raise WeightsError("the adapter changes nothing: every B is zero; nothing was trained")
    rules = _layer_rules(family, model)
    tensors = {
        key: np.ascontiguousarray(array) for key, array in their_tensors(family, model, values)
    }
    adapted = sorted({name.rpartition("/adapter/")[0] for name in values})
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": config.rank,
        "lora_alpha": config.alpha,
        "lora_dropout": 0.0,
        "use_dora": config.dora,
        "use_rslora": config.rank_stabilized,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "target_modules": "|".join(_module_pattern(rules[layer]) for layer in adapted),
    }
    (directory / CONFIG).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    save_file(tensors, directory / WEIGHTS, metadata={"format": "pt"})
    (directory / WEIGHTS).chmod(0o644)  # safetensors writes for the owner alone
    _, again = read(directory, family, model)
    wrong = [n for n in values if n not in again or not np.array_equal(again[n], values[n])]
    if wrong or len(again) != len(values):
        raise WeightsError(f"{directory}: does not read back as it was written: {wrong[:3]}")


def read(
    directory: Path, family: ModuleType, model: Any
) -> tuple[AdapterConfig, dict[str, np.ndarray]]:
    """An adapter's config, its targets our layers' names, and its parts by our names.

    Args:
      directory: holds the two files.
      family: the model's.
      model: the model, or its skeleton of shapes.

    Raises:
      WeightsError: files are missing or damaged, a tensor has no place, a layer lacks a part, or
        the adapter is of a kind that we do not have.
    """
    settings = read_json(directory / CONFIG)
    for key, plain in _PLAIN.items():
        if settings.get(key) not in (plain, None, []):
            raise WeightsError(f"{directory / CONFIG}: {key}: found {settings[key]!r}")
    if settings.get("init_lora_weights", True) not in _SAME_BASE:
        raise WeightsError(
            f"{directory / CONFIG}: init_lora_weights: found {settings['init_lora_weights']!r}, "
            "which changed the base model's weights too"
        )
    if settings.get("peft_type") != "LORA":
        raise WeightsError(f"{directory / CONFIG}: peft_type: wanted 'LORA'")
    try:
        tensors = load_file(directory / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{directory / WEIGHTS}: not a whole file: {error}") from error
    values = _ours(family, model, tensors, directory / WEIGHTS)
    config = AdapterConfig(
        rank=int(settings["r"]),
        alpha=float(settings["lora_alpha"]),
        targets=tuple(sorted({re.escape(n.rpartition("/adapter/")[0]) for n in values})),
        dora=bool(settings.get("use_dora", False)),
        rank_stabilized=bool(settings.get("use_rslora", False)),
    )
    return config, values


def check_shapes(values: Mapping[str, Any], shapes: Mapping[str, Any], path: Path) -> None:
    """Refuses an adapter whose parts have other shapes than the model wants.

    Raises:
      WeightsError: it names the part.
    """
    for name in sorted({*shapes, *values}):
        found, wanted = (tree[name].shape if name in tree else None for tree in (values, shapes))
        if found != wanted:
            raise WeightsError(f"{path}: {name}: found {found}, wanted {wanted}")


def _layer_rules(family: ModuleType, model: Any) -> dict[str, Rule]:
    """The kernel's rule of every linear layer."""
    rules = {rule.ours: rule for rule in family.rules(model.config)}
    return {name: rules[f"{name}/kernel"] for name, _ in linears(model)}


def _module(rule: Rule, layer: int | None) -> str:
    """The name of their module; `layer` is None where ours is not stacked."""
    return rule.theirs.format(layer=layer).removesuffix(".weight")


def _module_pattern(rule: Rule) -> str:
    """A regular expression over the names of a rule's modules."""
    name = re.escape(_module(rule, 0))
    return name.replace(r"\.0", r"\.\d+") if rule.stacked else name


def their_tensors(
    family: ModuleType, model: Any, values: Mapping[str, Any]
) -> Iterator[tuple[str, np.ndarray]]:
    """PEFT's key and float32 tensor of each layer's parts."""
    rules = _layer_rules(family, model)
    for name, value in values.items():
        layer, _, part = name.rpartition("/adapter/")
        rule, array = rules[layer], np.asarray(value, np.float32)
        for number in range(len(array)) if rule.stacked else (None,):
            one = array if number is None else array[number]
            yield f"{_PREFIX}{_module(rule, number)}.{_PARTS[part]}", one.T


def _ours(
    family: ModuleType, model: Any, tensors: Mapping[str, np.ndarray], path: Path
) -> dict[str, np.ndarray]:
    """Our parts, stacked, from PEFT's tensors; strict both ways."""
    known = {canonical(key.removeprefix(_PREFIX)): key for key in tensors}
    kernels = {name: layer.kernel.shape for name, layer in linears(model)}
    values: dict[str, np.ndarray] = {}
    used: set[str] = set()
    for layer, rule in _layer_rules(family, model).items():
        numbers = range(kernels[layer][0]) if rule.stacked else (None,)
        for part, suffix in _PARTS.items():
            keys = [f"{_module(rule, number)}.{suffix}" for number in numbers]
            if not known.keys() & set(keys):
                continue
            missing = [key for key in keys if key not in known]
            if missing:
                raise WeightsError(f"{path}: no {missing[:3]}, though other layers are adapted")
            parts = [np.asarray(tensors[known[key]], np.float32).T for key in keys]
            values[f"{layer}/adapter/{part}"] = np.stack(parts) if rule.stacked else parts[0]
            used |= set(keys)
    unmatched = sorted(known.keys() - used)
    if unmatched:
        raise WeightsError(f"{path}: tensors with no place: {unmatched[:3]}")
    return values
