"""The chunked loss against float64: values, gradients, trips, and the program on eight devices."""

from __future__ import annotations

import json
import os
import re
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
from cross_entropy_on_eight import CHUNK_ON_EIGHT, TERMS, problem, problem_on_eight
from hypothesis import given, settings
from hypothesis import strategies as st

from vsfa_jax import lora, models, state, step
from vsfa_jax.data.batch import Budget
from vsfa_jax.kernels.cross_entropy import chunked, cross_entropy, linear_cross_entropy
from vsfa_jax.models.parameters import by_name
from vsfa_jax.perf import cross_entropy as perf

PLAIN = {"z_loss": 0.0, "label_smoothing": 0.0}


def exact(hidden, head, targets, weights, z_loss, label_smoothing):
    """(loss, d hidden, d head) in float64, by the formulas."""
    hidden, head, weights = (np.asarray(x, np.float64) for x in (hidden, head, weights))
    logits = hidden @ head
    top = logits.max(-1, keepdims=True)
    log_z = np.log(np.exp(logits - top).sum(-1, keepdims=True)) + top
    wanted = np.full_like(logits, label_smoothing / logits.shape[-1])
    wanted[np.arange(len(targets)), targets] += 1 - label_smoothing
    losses = (wanted * (log_z - logits)).sum(-1) + z_loss * log_z[:, 0] ** 2
    slopes = np.exp(logits - log_z) * (1 + 2 * z_loss * log_z) - wanted
    slopes *= weights[:, None]
    return (weights * losses).sum(), slopes @ head.T, hidden.T @ slopes


def computed(hidden, head, targets, weights, transposed=False, wanted=(0, 1), **options):
    """(loss, *gradients) by the chunked loss; the head is laid out as it takes it."""

    def loss(hidden, head):
        head = head.T if transposed else head
        return linear_cross_entropy(
            hidden, head, targets, weights, transposed=transposed, **options
        )

    value, gradients = jax.jit(jax.value_and_grad(loss, wanted))(hidden, head)
    return (value, *gradients)


def assert_near(found, wanted, tolerance=1e-5):
    """Each array within `tolerance` of its largest."""
    for one, other in zip(found, wanted, strict=True):
        one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
        assert one.shape == other.shape
        assert np.abs(one - other).max(initial=0) <= tolerance * np.abs(other).max(initial=0)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("terms", [PLAIN, TERMS], ids=["plain", "terms"])
def test_equals_float64(terms, transposed):
    made = problem(53, 24, 300)
    assert chunked.block_size(300, 24, 8) == 128  # three blocks, the last shares some with another
    found = computed(*made, transposed, chunk=8, **terms)
    assert_near(found, exact(*made, **terms))
    np.testing.assert_allclose(
        cross_entropy(made[0] @ made[1], *made[2:], **terms), found[0], rtol=1e-5
    )


@settings(max_examples=5, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 9),
    st.integers(1, 40),
    st.integers(1, 48),
    st.floats(0, 1),
    st.sampled_from([PLAIN, TERMS]),
    st.integers(0, 9),
)
def test_any_shape_equals_float64(n, d, v, chunk, share, terms, seed):
    made = problem(n, d, v, share, seed)
    wanted = exact(*made, **terms)
    found = computed(*made, seed % 2 == 0, chunk=chunk, **terms)
    # a sum may cancel: a vocabulary of one word has no loss at all
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * max(1, np.abs(other).max()))


@pytest.mark.parametrize("whole", [True, False], ids=["weights of 1", "any weights"])
def test_bfloat16_is_as_near_as_rounding(whole):
    """At most three times as far from float64 as the float64 gradient rounded to bfloat16."""
    made = problem(96, 64, 500, whole=whole)
    hidden, head = (jnp.asarray(x / 4, jnp.bfloat16) for x in made[:2])
    wanted = exact(hidden, head, *made[2:], **PLAIN)
    found = computed(hidden, head, *made[2:], chunk=32)
    assert found[1].dtype == found[2].dtype == jnp.bfloat16 and found[0].dtype == jnp.float32
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-5)
    for one, other in zip(found[1:], wanted[1:], strict=True):
        rounded = np.asarray(jnp.asarray(other, jnp.float32).astype(jnp.bfloat16), np.float64)
        error = np.abs(np.asarray(one, np.float64) - other).max()
        assert error <= 3 * np.abs(rounded - other).max()


def test_no_trained_row_is_no_loss():
    hidden, head, targets, weights = problem(21, 8, 30)
    found = computed(hidden, head, targets, 0 * weights, chunk=4, **TERMS)
    assert all(np.array_equal(leaf, np.zeros_like(leaf)) for leaf in found)


def test_rows_without_weight_are_not_read():
    hidden, head, targets, weights = problem(40, 8, 30, share=0.3)
    out = weights == 0
    spoiled = np.where(out[:, None], np.nan, hidden)
    found = computed(spoiled, head, np.where(out, -100, targets), weights, chunk=16, **TERMS)
    assert_near(found, exact(hidden, head, targets, weights, **TERMS))
    assert np.array_equal(found[1][out], np.zeros_like(found[1][out]))
    reference = cross_entropy(spoiled @ head, np.where(out, 0, targets), weights, **TERMS)
    np.testing.assert_allclose(reference, found[0], rtol=1e-5)


def test_large_logits_are_finite():
    made = problem(30, 8, 40, scale=4e3)
    assert np.abs(made[0] @ made[1]).max() > 1e4
    found = computed(*made, chunk=7)
    assert all(np.isfinite(leaf).all() for leaf in found)
    assert_near(found, exact(*made, **PLAIN), 1e-4)  # logits themselves are rounded to 1e-3


def test_a_gradient_scales_with_that_of_the_loss():
    hidden, head, targets, weights = problem(20, 8, 30)

    def loss(hidden, head):
        return 3 * linear_cross_entropy(hidden, head, targets, weights, chunk=8) ** 2

    found = jax.grad(loss, (0, 1))(hidden, head)
    total, *wanted = exact(hidden, head, targets, weights, **PLAIN)
    assert_near(found, [6 * total * leaf for leaf in wanted])


TRIPS = {0: 0, 1: 1, 4: 1, 5: 2, 12: 3, 13: 1, 16: 1, 17: 2, 30: 2, 64: 4}


def test_cost_scales_with_trained_rows(monkeypatch):
    """Trips of the loops, chunks of 16 and then quarters, whatever the number of rows is."""
    sizes = []

    def count(logits, *rest):
        sizes.append(len(logits))
        return losses(logits, *rest)

    losses = chunked.losses
    monkeypatch.setattr(chunked, "losses", count)
    hidden, head, targets, weights = problem(64, 4, 6, share=1)
    for trained, trips in TRIPS.items():
        sizes.clear()
        weights = np.random.default_rng(trained).permutation(np.arange(64) < trained)
        with jax.disable_jit():
            linear_cross_entropy(hidden, head, targets, weights.astype(np.float32), chunk=16)
        assert len(sizes) == trips, trained
        assert trained <= sum(sizes) < trained + 4, trained


def products(wanted):
    """How often a chunk is multiplied with the head, by what is differentiated."""
    hidden, head, targets, weights = problem(64, 4, 6)

    def loss(hidden, head):
        return linear_cross_entropy(hidden, head, targets, weights, chunk=16)

    return counted(jax.value_and_grad(loss, wanted) if wanted else loss, hidden, head)


def counted(function, *arguments):
    """Matrix products of a loop; there are two, of chunks and of quarters."""
    return str(jax.make_jaxpr(function)(*arguments)).count("dot_general[") / 2


@pytest.mark.parametrize(("wanted", "number"), [((), 1), ((0,), 2), ((1,), 3), ((0, 1), 4)])
def test_only_what_is_asked_for_is_computed(wanted, number):
    """The logits are computed a second time for d head alone."""
    assert products(wanted) == number


def test_a_frozen_head_is_seen_through_scan_and_jit():
    hidden, head, targets, weights = problem(64, 4, 6)

    @jax.jit
    def loss(hidden, head):
        return linear_cross_entropy(hidden, head, targets, weights, chunk=16)

    def accumulate(carry, _):
        return carry + jax.grad(loss)(hidden, head), None

    def run(hidden):
        return jax.lax.scan(accumulate, jnp.zeros_like(hidden), None, length=2)[0]

    assert counted(run, hidden) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"transposed": True}, "wanted \\[V, D\\]"),
        ({"targets": np.zeros(4, np.int32)}, "targets: found"),
        ({"weights": np.zeros(4, np.float32)}, "weights: found"),
        ({"chunk": 0}, "chunk: found 0"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    names = ("hidden", "head", "targets", "weights")
    with pytest.raises(ValueError, match=message):
        linear_cross_entropy(**{**dict(zip(names, problem(5, 3, 7), strict=True)), **change})


@pytest.fixture(scope="module")
def on_eight():
    """What eight devices computed, and their programs."""
    tests = Path(__file__).parent
    environment = {
        **os.environ,
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "PYTHONPATH": f"{tests}:{tests.parent}",
    }
    done = subprocess.run(
        [sys.executable, tests / "cross_entropy_on_eight.py"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_eight_devices_equal_float64(on_eight):
    hidden, head, targets, weights = problem_on_eight()
    total, d_hidden, d_head = exact(
        hidden.reshape(-1, 24), head, targets.reshape(-1), weights.reshape(-1), **TERMS
    )
    for name, found in on_eight.items():
        wanted = [d_hidden.reshape(hidden.shape)]
        if not name.endswith("frozen"):
            wanted.append(d_head.T if name.startswith("transposed") else d_head)
        assert_near([found["loss"], *found["gradients"]], [total, *wanted])
    assert on_eight["plain-trained"]["d_head_axes"] == ["fsdp", "tensor"]
    assert on_eight["transposed-trained"]["d_head_axes"] == ["tensor", "fsdp"]


def held(text, v):
    """Sizes of the arrays of a program that have a whole or half vocabulary, without V."""
    found = set()
    for shape in re.findall(r"\b(?:f32|bf16|pred|s32)\[([\d,]+)\]", text):
        sizes = [int(size) for size in shape.split(",")]
        if v in sizes or v // 2 in sizes:
            own = v if v in sizes else v // 2
            sizes.remove(own)
            found.add((own, int(np.prod(sizes))))
    return found


def test_eight_devices_hold_no_logits_and_gather_no_vocabulary(on_eight):
    """Of the vocabulary a device has its half: of a chunk, a quarter, and the head [24, 131]."""
    few = {1, CHUNK_ON_EIGHT, CHUNK_ON_EIGHT // 4, 24}
    for name, found in on_eight.items():
        arrays = held(found["text"], 262)
        if name.endswith("naive"):  # the check itself: 8 rows of 19 on four pairs of devices
            assert any(rows >= 2 * 19 for _, rows in arrays)
            continue
        assert {own for own, _ in arrays} == {131}, name
        assert {rows for _, rows in arrays} <= few, name
        gathers = re.findall(r"= \w+\[([\d,]+)\]\S* all-gather\(", found["text"])
        assert len(gathers) == 1 and set(gathers[0].split(",")) == {"24", "131"}, name


def gradients_of(vlm, batch, mode):
    """(loss, gradients by name) of a step."""
    parts, config = state.split(vlm.model, mode, ("language",)), step.LossConfig(**TERMS)
    one = jax.tree.map(lambda x: x[None], batch)
    total, _, grads = jax.jit(lambda p, f, b: step.gradients(parts.structure, p, f, b, config))(
        parts.params, parts.frozen, one
    )
    return float(total), by_name(grads)


HEADS = ["lora", "dora", "trained", "tied"]


@pytest.mark.parametrize("done", speeds.cases(HEADS, {"lora"}))
def test_a_step_is_right_whatever_is_done_to_the_head(done, tmp_path, monkeypatch):
    """Adapted, where the logits are held, or trained whole: equal to the plain loss."""
    vlm = models.load(tiny.write("llava", tmp_path / "base", tied=done == "tied"))
    if done in ("lora", "dora"):
        config = lora.AdapterConfig(4, 8.0, ("language/head",), done == "dora")
        lora.attach(vlm.model, config, jax.random.key(0))
    whole = done in ("trained", "tied")
    assert (vlm.model.language.head_matrix() is not None) == whole
    batch = training.rows(vlm, [training.examples(vlm, 2)], Budget(300, 300))
    mode = "full" if whole else "lora"
    loss, grads = gradients_of(vlm, batch, mode)
    assert ("language/head/kernel" in grads) == (done == "trained")
    monkeypatch.setattr(type(vlm.model.language), "head_matrix", lambda self: None)
    wanted_loss, wanted = gradients_of(vlm, batch, mode)
    assert loss == pytest.approx(wanted_loss, rel=1e-5)
    training.assert_same_gradients(wanted, grads)


PROGRAM = """
%body (p: (s32[])) -> (s32[]) {
  %a = f32[8,128]{1,0} fusion(%p), kind=kLoop, calls=%x, backend_config={"estimated_cycles":"10"}
  %g = bf16[4,1024]{1,0} fusion(%p), kind=kCustom, calls=%y, metadata={op_name="jit(f)/gather"}
  ROOT %in = (s32[]) while(%t), condition=%c, body=%inner, backend_config={"known_trip_count":{"n":"3"}}
}

%inner (p: (s32[])) -> (s32[]) {
  ROOT %a = f32[8,128]{1,0} fusion(%p), kind=kLoop, calls=%x, backend_config={"estimated_cycles":"2"}
}

ENTRY %main (p: f32[8]) -> f32[8] {
  %w = (s32[]) while(%t), condition=%c, body=%body
  ROOT %b = f32[8]{0} add(%p, %p), backend_config={"estimated_cycles":"7"}
}
"""  # noqa: E501


def test_cycles_are_counted_once_a_trip():
    cycles, silent = perf.executed(PROGRAM, [5])
    assert cycles == 5 * (10 + 3 * 2) + 7
    assert silent == {"gather": 5 * 4 * 1024 * 2}
    with pytest.raises(ValueError, match="fewer loops"):
        perf.executed(PROGRAM, [5, 5])
    with pytest.raises(ValueError, match="more loops"):
        perf.executed(PROGRAM, [])
