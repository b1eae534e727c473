"""What every family's folder must have; its numbers are compared in the family's own test."""

import inspect

import pytest
import tiny_checkpoints as tiny

from vsfa_jax import models
from vsfa_jax.core.errors import WeightsError

FAMILIES = sorted(models.FAMILIES)


def test_there_is_a_family():
    assert "llava" in FAMILIES


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_has_its_parts(name):
    family = models.FAMILIES[name]
    others = {models.FAMILIES[other].MODEL_TYPE for other in FAMILIES if other != name}
    assert family.MODEL_TYPE and family.MODEL_TYPE not in others
    for method in ("hidden", "logits", "prefill", "step"):
        assert callable(getattr(family.Model, method))
    for method in ("encode", "measure", "plan", "patches"):
        assert callable(getattr(family.Processor, method))
    assert list(inspect.signature(family.Processor).parameters)[:1] == ["directory"]


@pytest.mark.parametrize("name", FAMILIES)
def test_what_the_tower_reads_of_a_patch_is_written_down(name, tmp_path):
    directory = tiny.write(name, tmp_path)
    family, skeleton = models.skeleton(directory)
    conversation = tiny.conversation(("user", "<image> what is this"), sizes=((40, 70),))
    example = family.Processor(directory, skeleton.config).encode(conversation, generate=True)
    found = {k: (v.shape[1:], v.dtype.name) for k, v in example.patch_places.items()}
    assert found == family.PLACES
    assert example.patches.shape[1] == 3 * skeleton.config.patch_size**2
    assert example.patches.dtype == "float32"


@pytest.mark.parametrize("name", FAMILIES)
def test_no_parameter_and_no_tensor_has_two_rules(name, tmp_path):
    family, model = models.skeleton(tiny.write(name, tmp_path))
    for side in ("ours", "theirs"):
        named = [getattr(rule, side) for rule in family.rules(model.config)]
        assert len(named) == len(set(named)) > 10


@pytest.mark.parametrize("name", FAMILIES)
def test_a_config_without_shapes_is_refused_by_the_key(name):
    family = models.FAMILIES[name]
    with pytest.raises(WeightsError, match=r"config\.json: no key"):
        family.read_config({"model_type": family.MODEL_TYPE})
