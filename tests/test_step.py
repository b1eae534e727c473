"""One step: packed = unpacked, micro-batches = one batch, a mesh = one device, ours = PEFT's."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import speeds
import tiny_checkpoints as tiny
import training

from vsfa_jax import models, state, step
from vsfa_jax.core.config import PARTS
from vsfa_jax.data.batch import Budget
from vsfa_jax.models.parameters import by_name
from vsfa_jax.models.remat import POLICIES, rematerialised, set_remat

BUDGET = Budget(420, 400)
FAMILIES = sorted(models.FAMILIES)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny.write("llava", tmp_path_factory.mktemp("llava"))


def written(name, tmp_path):
    return tiny.write(name, tmp_path / "base")


def steps_of_rows(vlm, steps, seed=0):
    """A batch of four packed rows a step."""
    made = training.examples(vlm, steps * 8, seed)
    groups = [made[i : i + 2] for i in range(0, len(made), 2)]
    return [training.rows(vlm, groups[4 * i : 4 * i + 4], BUDGET) for i in range(steps)]


MODES = list(itertools.product(FAMILIES, ("lora", "full")))


@pytest.mark.parametrize(
    ("name", "mode"),
    speeds.cases(MODES, {("qwen3_vl", "lora")}),
)
def test_packed_equals_unpacked(name, mode, tmp_path):
    each = written(name, tmp_path)
    vlm = training.adapted(each, moved=True) if mode == "lora" else models.load(each)
    made = training.examples(vlm, 4)
    packed = training.rows(vlm, [made[:3], made[3:]], Budget(500, 500))
    alone = training.rows(vlm, [[example] for example in made], Budget(240, 200))
    parts = state.split(vlm.model, mode)
    results = []
    for batch in (packed, alone):
        total, tokens, grads = jax.jit(
            lambda p, f, b: step.gradients(
                parts.structure, p, f, jax.tree.map(lambda x: x[None], b)
            )
        )(parts.params, parts.frozen, batch)
        results.append((float(total), float(tokens), by_name(grads)))
    (loss, tokens, grads), (other_loss, other_tokens, other_grads) = results
    assert tokens == other_tokens > 0
    assert loss == pytest.approx(other_loss, rel=1e-5)
    training.assert_same_gradients(grads, other_grads)
    still = [name for name, gradient in grads.items() if not np.abs(gradient).max() > 1e-6]
    assert all(name.endswith("k_proj/bias") or unread(name) for name in still), still


def unread(name):
    """Parameters of layers after the one that LLaVA's projector reads."""
    return "post_norm" in name


@pytest.mark.parametrize("steps", speeds.cases([3, 20], [3]))
def test_micro_batches_equal_one_batch(checkpoint, steps):
    batches = steps_of_rows(models.load(checkpoint), steps)
    whole = training.run(checkpoint, batches, mode="lora")
    parts = training.run(checkpoint, batches, mode="lora", micro_batches=4)
    np.testing.assert_allclose(parts.losses, whole.losses, atol=1e-5)
    training.assert_same_gradients(whole.first_gradients, parts.first_gradients)
    assert steps < 20 or whole.losses[-1] < whole.losses[0] - 0.1


@pytest.mark.parametrize(("name", "mode"), speeds.cases(MODES, ()))
def test_eight_devices_equal_one(name, mode, tmp_path):
    """2 x 2 x 2 fake devices in a process of their own; it prints what it computed."""
    each = written(name, tmp_path)
    batches = steps_of_rows(models.load(each), 20)
    tests = Path(__file__).parent
    one = training.run(each, batches, mode=mode)
    environment = {
        **os.environ,
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "PYTHONPATH": f"{tests}:{tests.parent}",
    }
    done = subprocess.run(
        [sys.executable, tests / "eight_devices.py", each, mode],
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
    train_step = jax.jit(step.make_train_step(parts.structure, optimizer))
    end, out = train_step(begin, parts.frozen, jax.tree.map(lambda x: x[None], batch))
    assert not out["finite"]
    assert int(end.step) == 0
    for one, other in zip(jax.tree.leaves(begin), jax.tree.leaves(end), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_each_part_has_its_own_rate(checkpoint):
    """Updates scale with a part's rate; a part at 0 is frozen and has no moments."""
    batch = steps_of_rows(models.load(checkpoint), 1)[0]
    vlm, mesh, moved = models.load(checkpoint), training.make_mesh(1, 1, 1), {}
    for rates in ({}, {"vision": 0.5, "projector": 0.0}):
        kept = [part for part in PARTS if rates.get(part, 1.0)]
        parts = state.split(vlm.model, "full", kept)
        config = training.dataclasses.replace(
            training.OPTIMIZER, warmup_steps=0, clip_norm=1e9, rates=rates
        )
        optimizer = training.optim.make_optimizer(config)
        begin = state.create_state(parts.params, optimizer, models.FAMILIES["llava"], mesh)
        train_step = jax.jit(step.make_train_step(parts.structure, optimizer))
        end, _ = train_step(begin, parts.frozen, jax.tree.map(lambda x: x[None], batch))
        before, after = by_name(begin.params), by_name(end.params)
        moved[bool(rates)] = {n: np.asarray(after[n] - before[n]) for n in before}
        assert sum(
            "/mu/" in jax.tree_util.keystr(path, simple=True, separator="/")
            for path, _ in jax.tree.leaves_with_path(begin.optimizer)
        ) == len(before)
    whole, scaled = moved[False], moved[True]
    assert {n for n in whole if n not in scaled} == {n for n in whole if n.startswith("projector")}
    name = "language/layers/q_proj/kernel"
    np.testing.assert_allclose(scaled[name], whole[name], atol=1e-6)
    name = "vision/layers/q_proj/kernel"
    np.testing.assert_allclose(scaled[name], 0.5 * whole[name], atol=1e-6)
    assert np.abs(whole[name]).max() > 1e-4


def test_the_table_of_parameters_counts_every_one(checkpoint):
    vlm = training.adapted(checkpoint)
    lines = state.describe(state.split(vlm.model, "lora")).splitlines()
    counts = {
        line.split()[0]: [int(n.replace(",", "")) for n in line.split()[1:]] for line in lines[1:]
    }
    leaves = by_name(vlm.model)
    trained = sum(leaf.size for name, leaf in leaves.items() if "/adapter/" in name)
    assert counts["all"] == [trained, sum(leaf.size for leaf in leaves.values()) - trained]
    assert [sum(counts[part][i] for part in PARTS) for i in (0, 1)] == counts["all"]
    assert all(counts[part][0] > 0 for part in PARTS)


KEPT = list(itertools.product(FAMILIES, POLICIES[1:]))


@pytest.mark.parametrize(("name", "policy"), speeds.cases(KEPT, {("qwen3_vl", "blocks")}))
def test_what_is_computed_again_gives_the_same_gradients(name, policy, tmp_path):
    """And fewer bytes are kept for the backward pass."""
    vlm = training.adapted(written(name, tmp_path), moved=True)
    batch = training.rows(vlm, [training.examples(vlm, 2)], Budget(300, 300))
    one, found = jax.tree.map(lambda x: x[None], batch), {}
    for policy_now in ("none", policy):
        set_remat(vlm.model, policy_now, policy_now)
        parts = state.split(vlm.model, "lora")
        gradients = jax.jit(lambda p, f, b, s=parts.structure: step.gradients(s, p, f, b))
        compiled = gradients.lower(parts.params, parts.frozen, one).compile()
        found[policy_now] = (
            by_name(compiled(parts.params, parts.frozen, one)[2]),
            compiled.memory_analysis().temp_size_in_bytes,
        )
    training.assert_same_gradients(found["none"][0], found[policy][0])
    assert found[policy][1] < found["none"][1]


def test_an_unknown_policy_is_refused():
    with pytest.raises(ValueError, match="remat: found 'block', wanted one of"):
        rematerialised(lambda carry, scanned: (carry, None), "block")


def test_what_is_trained_whole_is_computed_in_the_models_dtype(checkpoint):
    """So that base and tuned model differ by training alone; an adapter stays float32."""
    batch = steps_of_rows(models.load(checkpoint), 1)[0]
    base = models.load(checkpoint, dtype=jnp.bfloat16)
    wanted = np.asarray(base.logits(batch))
    parts = state.split(base.model, "full", dtype=jnp.bfloat16)
    wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), parts.params)
    again = training.dataclasses.replace(base, model=parts.merge(wide))
    np.testing.assert_array_equal(np.asarray(again.logits(batch)), wanted)
    adapted = training.adapted(checkpoint)
    split = state.split(adapted.model, "lora", dtype=jnp.bfloat16)
    leaves = by_name(split.merge())
    assert all(leaf.dtype == jnp.float32 for name, leaf in leaves.items() if "/adapter/" in name)


@pytest.mark.slow
def test_moments_in_the_hosts_memory_change_no_step(checkpoint):
    """They lie there before the first step and after each, and the losses are the same."""
    batch = jax.tree.map(lambda x: x[None], steps_of_rows(models.load(checkpoint), 1)[0])
    mesh, losses = training.make_mesh(1, 1, 1), {}
    for offload in (False, True):
        parts = state.split(training.adapted(checkpoint, mesh).model, "lora")
        optimizer = training.optim.make_optimizer(training.OPTIMIZER)
        current = state.create_state(
            *(parts.params, optimizer, models.FAMILIES["llava"], mesh), offload=offload
        )
        train_step = step.jit_train_step(parts.structure, optimizer, current)
        kind, losses[offload] = "pinned_host" if offload else "device", []
        for _ in range(3):
            moments = [leaf for leaf in jax.tree.leaves(current.optimizer) if leaf.ndim]
            assert {leaf.sharding.memory_kind for leaf in moments} == {kind}
            current, out = train_step(current, parts.frozen, batch)
            losses[offload].append(float(out["loss"]))
    assert losses[True] == losses[False]
