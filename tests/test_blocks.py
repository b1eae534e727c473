"""Hidden states after every block of tower and decoder, against transformers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_checkpoints as tiny
import torch
import torch_reference as reference

from vsfa_jax import models
from vsfa_jax.data.batch import FEATURES, Vision
from vsfa_jax.kernels.attention import attention

pytestmark = pytest.mark.slow
CONVERSATION = tiny.conversation(
    ("user", "<image> what is this <image>"),
    ("assistant", "a knife"),
    sizes=((40, 23), (30, 55)),
)


@pytest.fixture(scope="module", params=sorted(models.FAMILIES))
def pair(request, tmp_path_factory):
    directory = tiny.write(request.param, tmp_path_factory.mktemp("base"))
    return models.load(directory), reference.load(directory)


def record(modules):
    """Outputs of modules, in order of their calls."""
    kept = []

    def keep(module, given, made):
        kept.append((made[0] if isinstance(made, tuple) else made).detach())

    return kept, [module.register_forward_hook(keep) for module in modules]


def layers_of(stacked):
    count = len(jax.tree.leaves(stacked)[0])
    return [jax.tree.map(lambda leaf, i=i: leaf[i], stacked) for i in range(count)]


def test_decoder_blocks(pair):
    vlm, model = pair
    theirs, hooks = record(model.model.language_model.layers)
    batch = vlm.batch([CONVERSATION])
    reference.logits(vlm, model, CONVERSATION, batch.tokens[0])
    [hook.remove() for hook in hooks]
    decoder = vlm.model.language
    x, deepstack = vlm.model.embed(batch)
    rope = decoder.config.rotary.table(batch.positions)

    def attend(q, k, v):
        window = decoder.config.window
        out = attention(q, k, v, segment_ids=batch.segment_ids, causal=True, window=window)
        return out, (k, v)

    assert len(theirs) == decoder.config.num_layers
    for number, layer in enumerate(layers_of(decoder.layers)):
        x, _ = layer(x, rope, attend)
        wanted = theirs[number][0].numpy()
        assert np.abs(np.asarray(x)[0] - wanted).max() < 1e-4 * np.abs(wanted).max(), number
        if deepstack is not None and number < len(deepstack):
            x = x + deepstack[number]


def test_tower_blocks(pair):
    """A tower cut after each block says what transformers' block does, in our patch order."""
    vlm, model = pair
    tower = model.model.visual if vlm.family.startswith("qwen") else model.model.vision_tower
    blocks = tower.blocks if vlm.family.startswith("qwen") else tower.encoder.layers
    theirs, hooks = record(blocks)
    batch = vlm.batch([CONVERSATION])
    reference.logits(vlm, model, CONVERSATION, batch.tokens[0])
    [hook.remove() for hook in hooks]
    used = getattr(vlm.model.vision.config, "num_used_layers", len(theirs))
    for number in range(used):
        found = cut(vlm, number + 1)(batch.vision)[0]
        wanted = torch.flatten(theirs[number], 0, -2).numpy()
        kept = np.asarray(batch.vision.segment_ids[0]) > 0
        assert found[0][kept].shape == wanted.shape
        error = np.abs(np.asarray(found)[0][kept] - wanted).max()
        assert error < 1e-4 * np.abs(wanted).max(), number


def cut(vlm, count):
    """The tower with its first `count` blocks alone."""
    import copy
    import dataclasses

    tower = copy.copy(vlm.model.vision)
    config = tower.config
    if hasattr(config, "num_used_layers"):
        tower.config = dataclasses.replace(config, num_used_layers=count)
        return tower
    blocks = dataclasses.replace(config.blocks, num_layers=count)
    tower.config = dataclasses.replace(config, blocks=blocks)
    if hasattr(config, "deepstack_layers"):
        tower.config = dataclasses.replace(tower.config, deepstack_layers=(0,))
    tower.layers = jax.tree.map(lambda leaf: leaf[:count], tower.layers)
    return tower


def test_kept_features_are_those_of_the_deepstack_layers(pair):
    vlm, model = pair
    if vlm.family != "qwen3_vl":
        pytest.skip("has no DeepStack")
    theirs, hooks = record(model.model.visual.blocks)
    batch = vlm.batch([CONVERSATION])
    reference.logits(vlm, model, CONVERSATION, batch.tokens[0])
    [hook.remove() for hook in hooks]
    found = np.asarray(vlm.model.features(batch.vision))[:, 0]
    order = [len(theirs) - 1, *vlm.config.vision.deepstack_layers]
    for kept, layer in zip(found, order, strict=True):
        wanted = theirs[layer].numpy()
        assert np.abs(kept - wanted).max() < 1e-4 * np.abs(wanted).max(), layer
    flat = jnp.moveaxis(jnp.asarray(found)[:, None], 0, 2).reshape(1, len(wanted), -1)
    vision = Vision(batch.vision.patches, batch.vision.segment_ids, {FEATURES: flat})
    np.testing.assert_array_equal(vlm.model.features(vision)[:, 0], found)
