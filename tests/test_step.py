"""One step: packed = unpacked, micro-batches = one batch, a mesh = one device, ours = PEFT's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny_llava
import training

from vsfa_jax import models, state, step
from vsfa_jax.data.batch import Budget
from vsfa_jax.models.parameters import by_name

BUDGET = Budget(150, 72)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_llava.write(tmp_path_factory.mktemp("llava"))


def steps_of_rows(vlm, steps, seed=0):
    """A batch of four packed rows a step."""
    made = training.examples(vlm, steps * 8, seed)
    groups = [made[i : i + 2] for i in range(0, len(made), 2)]
    return [training.rows(vlm, groups[4 * i : 4 * i + 4], BUDGET) for i in range(steps)]


@pytest.mark.parametrize("mode", ["lora", "full"])
def test_packed_equals_unpacked(checkpoint, mode):
    vlm = training.adapted(checkpoint) if mode == "lora" else models.load(checkpoint)
    if mode == "lora":  # an adapter at its start has a zero gradient for A: move it off zero
        key = jax.random.key(2)
        for _, leaf in training.lora.linears(vlm.model):
            if leaf.adapter is not None:
                shape = leaf.adapter.b.shape
                leaf.adapter.b = type(leaf.adapter.b)(0.1 * jax.random.normal(key, shape))
    made = training.examples(vlm, 4)
    packed = training.rows(vlm, [made[:3], made[3:]], Budget(160, 110))
    alone = training.rows(vlm, [[example] for example in made], Budget(60, 40))
    parts = state.split(vlm.model, mode)
    results = []
    for batch in (packed, alone):
        total, tokens, grads = jax.jit(
            lambda p, f, b: step.gradients(parts.graph, p, f, jax.tree.map(lambda x: x[None], b))
        )(parts.params, parts.frozen, batch)
        results.append((float(total), float(tokens), by_name(grads)))
    (loss, tokens, grads), (other_loss, other_tokens, other_grads) = results
    assert tokens == other_tokens > 0
    assert loss == pytest.approx(other_loss, rel=1e-5)
    training.assert_same_gradients(grads, other_grads)
    still = [name for name, gradient in grads.items() if not np.abs(gradient).max() > 1e-6]
    assert all(name.endswith("k_proj/bias") or "post_norm" in name for name in still), still


def test_micro_batches_equal_one_batch(checkpoint):
    batches = steps_of_rows(models.load(checkpoint), 20)
    whole = training.run(checkpoint, batches, mode="lora")
    parts = training.run(checkpoint, batches, mode="lora", micro_batches=4)
    np.testing.assert_allclose(parts.losses, whole.losses, atol=1e-5)
    training.assert_same_gradients(whole.first_gradients, parts.first_gradients)
    assert whole.losses[-1] < whole.losses[0] - 0.1


def test_eight_devices_equal_one(checkpoint):
    """2 x 2 x 2 fake devices in a process of their own; it prints what it computed."""
    batches = steps_of_rows(models.load(checkpoint), 20)
    tests = Path(__file__).parent
    for mode in ("lora", "full"):
        one = training.run(checkpoint, batches, mode=mode)
        environment = {
            **os.environ,
            "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
            "PYTHONPATH": f"{tests}:{tests.parent}",
        }
        done = subprocess.run(
            [sys.executable, tests / "eight_devices.py", checkpoint, mode],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        printed = json.loads(done.stdout.splitlines()[-1])
        np.testing.assert_allclose(printed["losses"], one.losses, atol=1e-5)
        training.assert_same_gradients(one.first_gradients, printed["gradients"])


def test_frozen_parameters_do_not_move_and_every_adapter_does(checkpoint):
    batches = steps_of_rows(models.load(checkpoint), 3)
    vlm = training.adapted(checkpoint)
    frozen = state.split(vlm.model, "lora").frozen
    before = {name: np.array(leaf) for name, leaf in by_name(frozen).items()}
    ran = training.run(checkpoint, batches, mode="lora")
    assert set(ran.frozen) == set(before) and len(before) > 20
    assert all(np.array_equal(before[name], ran.frozen[name]) for name in before)
    start = by_name(state.split(vlm.model, "lora").params)
    assert set(ran.params) == set(start)
    assert all(not np.array_equal(ran.params[name], start[name]) for name in start)


def test_a_step_that_is_not_finite_changes_nothing(checkpoint):
    vlm = training.adapted(checkpoint)
    batch = steps_of_rows(vlm, 1)[0]
    batch.vision.patches[0, 0, 0] = np.inf
    parts = state.split(vlm.model, "lora")
    optimizer = training.optim.make_optimizer(training.OPTIMIZER)
    mesh = training.make_mesh(1, 1, 1)
    begin = state.create_state(parts.params, optimizer, models.FAMILIES["llava"], mesh)
    train_step = jax.jit(step.make_train_step(parts.graph, optimizer))
    end, out = train_step(begin, parts.frozen, jax.tree.map(lambda x: x[None], batch))
    assert not out["finite"]
    assert int(end.step) == 0
    for one, other in zip(jax.tree.leaves(begin), jax.tree.leaves(end), strict=True):
        np.testing.assert_array_equal(one, other)
