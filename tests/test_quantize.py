"""A base in int8: how far it is off, that it is read as drawn, and that adapters sit on it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_checkpoints as tiny
import training
from flax import nnx
from speeds import cases

from vsfa_jax import lora, models, state, step
from vsfa_jax.data.batch import Budget
from vsfa_jax.models.linear import Linear, linear, wide_kernel
from vsfa_jax.models.parameters import by_name
from vsfa_jax.models.quantize import SCALE, is_quantized, quantize, quantized

FAMILIES = sorted(models.FAMILIES)


def test_a_weight_is_off_by_at_most_half_a_step_and_a_column_of_zeros_stays():
    kernel = jax.random.normal(jax.random.key(0), (3, 32, 16)).at[:, :, 5].set(0)
    values, scale = quantized(kernel)
    assert values.dtype == jnp.int8 and scale.shape == (3, 16)
    off = np.abs(np.asarray(values * scale[:, None] - kernel))
    assert (off <= np.asarray(scale)[:, None] / 2 * (1 + 1e-5)).all()
    assert (values[:, :, 5] == 0).all()
    assert np.abs(np.asarray(values)).max() == 127


def test_a_layer_multiplies_by_what_it_keeps():
    wide, kept = (Linear(24, 8, jax.random.key(1), bias=True) for _ in range(2))
    values, scale = quantized(wide.kernel[...])
    wide.kernel = nnx.Param(values * scale)
    kept.kernel, kept.kernel_scale = nnx.Param(values), nnx.data(nnx.Param(scale))
    x = jax.random.normal(jax.random.key(2), (5, 24))
    np.testing.assert_allclose(linear(kept, x), linear(wide, x), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(wide_kernel(kept), wide.kernel[...])


@pytest.mark.parametrize("name", cases(FAMILIES, {"llava"}))
def test_a_loaded_base_is_the_exact_one_rounded_and_its_logits_are_near(name, tmp_path):
    """The error of the logits is printed; it is at most 5 % of their spread on random weights."""
    directory = tiny.write(name, tmp_path)
    exact, small = models.load(directory), models.load(directory, int8=True)
    ours, theirs = by_name(small.model), by_name(exact.model)
    assert {n for n in ours if n.endswith(SCALE)} == {n + SCALE for n in theirs if is_quantized(n)}
    for key, leaf in theirs.items():
        if is_quantized(key):
            values, scale = quantized(leaf)
            np.testing.assert_array_equal(ours[key], values)
            np.testing.assert_allclose(ours[key + SCALE], scale, rtol=1e-6)
        else:
            np.testing.assert_array_equal(ours[key], leaf)
    batch = training.rows(exact, [training.examples(exact, 3)], Budget(300, 300))
    wanted, found = np.asarray(exact.logits(batch)), np.asarray(small.logits(batch))
    seen = np.asarray(batch.segment_ids) > 0
    error = np.sqrt(((found - wanted)[seen] ** 2).mean()) / wanted[seen].std()
    print(f"{name}: root mean square error of the logits {error:.2%} of their deviation")
    assert 0 < error < 0.05


@pytest.mark.parametrize("dora", cases([False, True], {True}))
def test_an_adapter_on_it_starts_as_the_base_and_learns(dora, tmp_path):
    directory = tiny.write("llava", tmp_path)
    base = models.load(directory, int8=True)
    batch = training.rows(base, [training.examples(base, 2)], Budget(300, 300))
    wanted = np.asarray(base.logits(batch))
    config = lora.AdapterConfig(rank=4, alpha=8.0, targets=("attention", "mlp"), dora=dora)
    lora.attach(base.model, config, jax.random.key(5))
    np.testing.assert_allclose(np.asarray(base.logits(batch)), wanted, rtol=1e-4, atol=1e-4)
    parts = state.split(base.model, "lora")
    assert all("/adapter/" in key for key in by_name(parts.params))
    one = jax.tree.map(lambda x: x[None], batch)
    gradients = by_name(step.gradients(parts.structure, parts.params, parts.frozen, one)[2])
    assert all(np.abs(g).max() > 0 for key, g in gradients.items() if key.endswith("/b"))


@pytest.mark.slow
def test_drawn_weights_are_rounded_as_loaded_ones_are(tmp_path):
    directory = tiny.write("llava", tmp_path)
    small = by_name(models.initialize(directory, 3, int8=True).model)
    model = quantize(models.initialize(directory, 3).model)
    for key, leaf in by_name(model).items():
        # the two programs may round a weight that lies on an edge apart
        np.testing.assert_allclose(small[key], leaf, atol=1 if leaf.dtype == jnp.int8 else 1e-6)
