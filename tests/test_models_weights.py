"""Weights: strict both ways, lazily read, and out again as they came in."""

from __future__ import annotations

import json
import shutil

import jax
import ml_dtypes
import numpy as np
import pytest
import tiny_checkpoints as tiny
from safetensors.numpy import load_file, save_file

from vsfa_jax import hf_checkpoint, models
from vsfa_jax.core.errors import WeightsError
from vsfa_jax.models.parameters import by_name
from vsfa_jax.models.rules import canonical

FAMILIES = sorted(models.FAMILIES)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny.write("llava", tmp_path_factory.mktemp("llava"))


@pytest.fixture(scope="module")
def vlm(checkpoint):
    return models.load(checkpoint)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("name", FAMILIES)
def test_weights_go_out_as_they_came_in(name, tied, tmp_path):
    """In transformers' own keys, in one file and in several, and in again."""
    directory, family = tiny.write(name, tmp_path / "base", tied=tied), models.FAMILIES[name]
    vlm, theirs = models.load(directory), load_file(directory / "model.safetensors")
    for shard_bytes in (2**30, 20_000):
        out = tmp_path / f"out{shard_bytes}"
        hf_checkpoint.write(out, directory, family, vlm.model, np.float32, shard_bytes)
        files = sorted(out.glob("*.safetensors"))
        assert (len(files) > 2) == (out / "model.safetensors.index.json").exists()
        ours = {key: tensor for file in files for key, tensor in load_file(file).items()}
        assert set(ours) == set(theirs)
        assert all(np.array_equal(ours[key], theirs[key]) for key in theirs)
        again = by_name(models.load(out).model)
        assert all(np.array_equal(again[n], leaf) for n, leaf in by_name(vlm.model).items())


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_is_read_as_it_is(name, dtype, tmp_path):
    directory = tiny.write(name, tmp_path)
    edit(directory, lambda t: t.update({key: value.astype(dtype) for key, value in t.items()}))
    for wanted in (np.float32, ml_dtypes.bfloat16):
        leaves = by_name(models.load(directory, dtype=wanted).model)
        assert {leaf.dtype for leaf in leaves.values()} == {np.dtype(wanted)}


@pytest.fixture
def copy(checkpoint, tmp_path):
    shutil.copytree(checkpoint, tmp_path / "copy")
    return tmp_path / "copy"


def edit(directory, change):
    tensors = load_file(directory / "model.safetensors")
    change(tensors)
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})


KEY = "language_model.model.layers.1.self_attn.k_proj.weight"


def test_missing_tensor_is_named(copy):
    edit(copy, lambda t: t.pop(KEY))
    with pytest.raises(WeightsError, match="language/layers/k_proj/kernel.*layers.1.self_attn"):
        models.load(copy)


def test_unused_tensor_is_named(copy):
    edit(copy, lambda t: t.update(extra=np.zeros(3, np.float32)))
    with pytest.raises(WeightsError, match="no place.*extra"):
        models.load(copy)


def test_misshapen_tensor_is_named(copy):
    edit(copy, lambda t: t.update({KEY: t[KEY][:-1]}))
    with pytest.raises(WeightsError, match=r"k_proj.*\(15, 32\)"):
        models.load(copy)


# Prefixes in memory -> those of older files.
LAYOUTS = {
    "memory": {},
    "4.52 and later": {"model.vision_tower.": "model.vision_tower.vision_model."},
    "parts": {
        "model.language_model.": "language_model.model.",
        "lm_head.": "language_model.lm_head.",
        "model.vision_tower.": "vision_tower.vision_model.",
        "model.visual.": "visual.",
        "model.multi_modal_projector.": "multi_modal_projector.",
        "model.image_newline": "image_newline",
    },
    "flat": {"model.language_model.": "model.", "model.visual.": "visual."},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", FAMILIES)
def test_every_key_layout_loads(name, layout, tmp_path):
    directory = tiny.write(name, tmp_path)
    wanted = by_name(models.load(directory).model)
    prefixes = LAYOUTS[layout]

    def rename(tensors):
        for key in list(tensors):
            new = canonical(key)
            for ours, theirs in prefixes.items():
                new = new.replace(ours, theirs, 1) if new.startswith(ours) else new
            tensors[new] = tensors.pop(key)

    edit(directory, rename)
    found = by_name(models.load(directory).model)
    assert all(np.array_equal(found[parameter], leaf) for parameter, leaf in wanted.items())


def test_pickles_are_refused(copy):
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="pytorch_model.bin.*may run code"):
        models.load(copy)


def test_truncated_file_is_refused(copy):
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="not a whole safetensors file"):
        models.load(copy)


def test_index_that_leaves_the_directory_is_refused(copy):
    index = {"weight_map": {KEY: "../model.safetensors"}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(WeightsError, match="leaves the directory"):
        models.load(copy)


@pytest.mark.parametrize("key", ["vision_feature_layer", "text_config", "vision_config"])
def test_absent_config_key_is_an_error(copy, key):
    config = json.loads((copy / "config.json").read_text())
    del config[key]
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=key):
        models.load(copy)


def test_a_config_that_names_code_is_refused(copy):
    config = json.loads((copy / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "modeling.Model"}
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="auto_map names code"):
        models.load(copy)


def test_foreign_family_is_an_error(copy):
    (copy / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(WeightsError, match="'bert', wanted one of"):
        models.load(copy)


def test_random_initialisation_is_seeded_and_shaped_as_the_checkpoint(vlm, checkpoint):
    one, same = models.initialize(checkpoint, 3), models.initialize(checkpoint, 3)
    other = models.initialize(checkpoint, 4)
    shapes = jax.tree.map(np.shape, by_name(vlm.model))
    assert jax.tree.map(np.shape, by_name(one.model)) == shapes
    name = "language/layers/q_proj/kernel"
    assert np.array_equal(by_name(one.model)[name], by_name(same.model)[name])
    assert not np.array_equal(by_name(one.model)[name], by_name(other.model)[name])
