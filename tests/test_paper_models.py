"""The paper's models from their written-out configs: shapes against transformers, configs build."""

from __future__ import annotations

import importlib
import json
import math

import numpy as np
import pytest
import tiny_checkpoints as tiny
import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from vsfa_jax import models
from vsfa_jax.core import config
from vsfa_jax.core.errors import ConfigError, WeightsError
from vsfa_jax.models import paper
from vsfa_jax.models.parameters import by_name

CONFIGS = {
    "llava-1.5-7b": ("llava_1_5_7b", 7.06e9),
    "llava-1.6-mistral-7b": ("llava_1_6_mistral_7b", 7.57e9),
    "qwen2.5-vl-7b": ("qwen2_5_vl_7b", 8.29e9),
    "qwen3-vl-8b": ("qwen3_vl_8b", 8.77e9),
}


def test_every_written_out_config_is_a_paper_config():
    assert set(paper.names()) == set(CONFIGS)


@pytest.mark.parametrize("name", CONFIGS)
def test_shapes_are_those_of_transformers(name):
    """Every parameter of transformers' model, made without memory, has a place in ours."""
    directory = paper.directory(name)
    with torch.device("meta"):
        theirs = AutoModelForImageTextToText.from_config(AutoConfig.from_pretrained(directory))
    wanted = {key: tuple(value.shape) for key, value in theirs.named_parameters()}
    family, model = models.skeleton(directory)
    shapes = {key: value.shape for key, value in by_name(model).items()}
    found = {}
    for rule in family.rules(model.config):
        shape = shapes.pop(rule.ours)
        for layer in range(shape[0]) if rule.stacked else (None,):
            one = shape[1:] if rule.stacked else shape
            found[rule.theirs.format(layer=layer)] = math.prod(one)
    assert not shapes
    assert found == {key: math.prod(shape) for key, shape in wanted.items()}
    assert sum(found.values()) == pytest.approx(CONFIGS[name][1], rel=2e-3)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_config_and_its_budget_fit_the_model(name):
    """Row shapes hold the images that the config's text promises, and merge evenly."""
    stem, _ = CONFIGS[name]
    settings = config.load(importlib.import_module(f"configs.{stem}").get_config())
    family, model = models.skeleton(paper.directory(name))
    processor = object.__new__(family.Processor)
    processor.directory, processor.config = paper.directory(name), model.config
    processor.max_pixels = settings.model.max_pixels
    processor.images = processor.image_processor()
    ((tokens, patches),) = settings.data.budgets
    sizes = [(1024, 1024), (1365, 768), (700, 1500), (64, 64)]
    plans = [processor.plan(*size) for size in sizes]
    images = 1 if name.startswith("llava-1.6") else 2
    assert patches % processor.patch_multiple == 0
    assert images * max(len(plan.segments) for plan in plans) <= patches
    assert images * max(len(plan.image_index) for plan in plans) < tokens
    assert settings.model.completed_from in ("", name)


def test_a_published_config_is_completed_on_request_only(tmp_path):
    """As llava-1.5-7b-hf's, which leaves the language model's shapes to a class."""
    written = json.loads((paper.directory("llava-1.5-7b") / "config.json").read_text())
    kept = ("model_type", "rms_norm_eps", "vocab_size")
    written["text_config"] = {key: written["text_config"][key] for key in kept}
    written["text_config"]["rms_norm_eps"] = 1e-4
    (tmp_path / "config.json").write_text(json.dumps(written))
    with pytest.raises(WeightsError, match="no key 'hidden_size'"):
        models.skeleton(tmp_path)
    _, model = models.skeleton(tmp_path, completed_from="llava-1.5-7b")
    assert model.config.text.width == 4096
    assert model.config.text.norm_epsilon == 1e-4, "a checkpoint's own wins"
    with pytest.raises(ConfigError, match="found 'llava', wanted one of"):
        models.skeleton(tmp_path, completed_from="llava")


def test_a_hub_name_is_found_in_the_cache(tmp_path, monkeypatch):
    """By branch and by commit; what is not there is an error that names it."""
    commit, home = "0123456789abcdef0123456789abcdef01234567", tmp_path / "hub"
    repository = home / "models--someone--tiny"
    tiny.write("llava", repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(home))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    vlm = models.load("someone/tiny")
    assert models.commit_of(vlm.directory) == commit
    other = models.load("someone/tiny", revision=commit)
    name = "language/embedding"
    assert np.array_equal(by_name(vlm.model)[name], by_name(other.model)[name])
    with pytest.raises(WeightsError, match="someone/absent is no directory here"):
        models.load("someone/absent")
    with pytest.raises(WeightsError, match="wanted a checkpoint's, or a hub name"):
        models.load("/no/such/place")
