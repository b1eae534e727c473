"""The GPU's attention without a GPU: refusals, block maps, lowering, the interpreter, ptxas.

What the interpreter of Mosaic GPU cannot do is put around it here: it knows no layouts (JAX 0.10)
and takes operands of wgmma from untransposed references only. So the arithmetic, the order of
copies and barriers, and every index are tested; how wgmma reads tiles is not.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from vsfa_jax.kernels.attention import (
    block_map,
    cudnn,
    hopper_backward,
    hopper_forward,
    pallas_gpu,
    reference,
)

ROOT = Path(__file__).resolve().parents[1]


def arrays(t=16, s=16, n=4, kv=2, h=64, dtype="bfloat16", b=1, make=jax.ShapeDtypeStruct):
    return [make((b, length, heads, h), dtype) for length, heads in ((t, n), (s, kv), (s, kv))]


def draw(shape, dtype, rng=np.random.default_rng(0)):  # noqa: B008
    return jnp.asarray(rng.normal(size=shape), dtype)


def packed(t, *lengths):
    """[1, T] int32: segments from the left, then padding."""
    numbers = np.repeat(np.arange(1, len(lengths) + 1), lengths)
    return np.pad(numbers, (0, t - numbers.size))[None].astype(np.int32)


# what is refused


@pytest.mark.parametrize(
    ("backend", "shape", "asked", "reason"),
    [
        (pallas_gpu, {"dtype": "float32"}, {}, "float32: wgmma multiplies"),
        (pallas_gpu, {"h": 136}, {}, "head size 136"),
        (cudnn, {"dtype": "float32"}, {}, "float32: cuDNN's attention takes"),
        (cudnn, {"h": 36}, {}, "head size 36"),
        (cudnn, {"h": 256}, {}, "head size 256"),
        (cudnn, {"t": 8}, {"causal": True}, "causal with 8 queries and 16 keys"),
        (cudnn, {"t": 8}, {"window": 4}, "causal with 8 queries and 16 keys"),
        (cudnn, {}, {"segment_ids": (jnp.ones((1, 16), int),) * 2}, "segment ids"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(backend, shape, asked, reason):
    asked = {"causal": False, "window": None, "segment_ids": None, **asked}
    assert reason in backend.refuses(*arrays(**shape), **asked)
    with pytest.raises(ValueError, match=reason):
        backend.attend(*arrays(**shape, make=jnp.zeros), **asked, block_map=None, scale=1.0)


@pytest.mark.parametrize("backend", [pallas_gpu, cudnn])
def test_what_can_be_done_is_not_refused(backend):
    for shape in ({}, {"dtype": "float16", "h": 128}, {"h": 72}, {"h": 80, "n": 2}):
        assert backend.refuses(*arrays(**shape), True, 3, None) is None
    q, k, v = arrays()
    mixed = jax.ShapeDtypeStruct(v.shape, "float16")
    assert "one dtype" in backend.refuses(q, k, mixed, True, None, None)
    asked = {"segment_ids": None, "block_map": None, "causal": True, "window": None}
    with pytest.raises(ValueError, match="no interpret mode"):
        backend.attend(*arrays(make=jnp.zeros), **asked, scale=1.0, interpret=True)


def test_a_scale_or_a_map_that_does_not_fit_is_refused():
    asked = {"segment_ids": None, "causal": True, "window": None}
    parts = arrays(make=jnp.zeros)
    with pytest.raises(ValueError, match=r"scale: found -1.0"):
        pallas_gpu.attend(*parts, **asked, block_map=None, scale=-1.0)
    ids = (jnp.ones((1, 8), int),) * 2
    other = block_map.make_block_map(ids, causal=True, window=None, block_q=8, block_k=8)
    with pytest.raises(ValueError, match=r"block_map: found spans \(1, 2, 8\)"):
        pallas_gpu.attend(*parts, **asked, block_map=other, scale=1.0)


@pytest.mark.parametrize(("causal", "window"), [(False, None), (True, None), (True, 3), (False, 3)])
def test_cudnn_is_asked_for_what_the_contract_says(monkeypatch, causal, window):
    def by_xla(*parts, implementation, **asked):
        assert implementation == "cudnn"
        return public(*parts, implementation="xla", **asked)

    public = jax.nn.dot_product_attention
    monkeypatch.setattr(jax.nn, "dot_product_attention", by_xla)
    parts = [draw(x.shape, x.dtype) for x in arrays()]
    asked = {"segment_ids": None, "causal": causal, "window": window, "scale": 0.3}
    found = cudnn.attend(*parts, **asked, block_map=None)
    wanted = reference.attend(*parts, **asked)
    np.testing.assert_allclose(*(np.asarray(x, np.float32) for x in (found, wanted)), atol=0.02)
    with pytest.raises(ValueError, match="a block map"):
        cudnn.attend(*parts, **asked, block_map=jnp.zeros(1))


# block maps

ROWS = {
    "packed": (packed(40, 11, 3, 17), packed(40, 11, 3, 17), True, None),
    "both ways": (packed(40, 11, 3, 17), packed(40, 11, 3, 17), False, None),
    "window": (packed(40, 11, 3, 17), packed(40, 11, 3, 17), True, 5),
    "one": (packed(40, 40), packed(40, 40), False, None),
    "fewer queries": (packed(9, 9), packed(40, 40), True, None),
    "another order": (packed(40, 11, 3, 17)[:, ::-1], packed(40, 11, 3, 17), False, None),
    "padding": (packed(40), packed(40), True, None),
}


@pytest.mark.parametrize("case", ROWS)
def test_the_map_seen_from_the_keys_covers_what_is_seen(case):
    queries, keys, causal, window = ROWS[case]
    ids = tuple(map(jnp.asarray, (queries, keys)))
    spans = block_map.visible_spans(ids, causal=causal, window=window)
    tiles = np.asarray(hopper_backward.query_tiles(spans, keys.shape[1], 4, 8))[0]
    t, s = queries.shape[1], keys.shape[1]
    places = jnp.arange(t) + s - t
    seen = reference.visible(places, s, segment_ids=ids, causal=causal, window=window)
    seen = np.asarray(seen)[0]
    assert tiles.shape == (-(-s // 8), 4)
    for block, (first, past, full_first, full_past) in enumerate(tiles):
        column = seen[:, block * 8 : block * 8 + 8]
        assert not column[: first * 4].any() and not column[past * 4 :].any()
        assert column[full_first * 4 : full_past * 4].all() and full_past <= past
        assert first <= full_first <= full_past or full_first == full_past
        assert column.any() or case == "another order" or first == past


@pytest.mark.parametrize(
    ("t", "s", "causal", "window"),
    [(9, 9, False, None), (9, 9, True, None), (9, 9, True, 3), (4, 9, True, 2), (12, 9, True, 2)],
)
def test_rows_that_are_not_packed_have_the_spans_of_one_segment(t, s, causal, window):
    ids = (jnp.ones((1, t), jnp.int32), jnp.ones((1, s), jnp.int32))
    wanted = block_map.visible_spans(ids, causal=causal, window=window)
    found = pallas_gpu._unpacked_spans(t, s, causal=causal, window=window)
    np.testing.assert_array_equal(found, wanted)


# lowering


@pytest.mark.parametrize(
    ("shape", "causal", "window"),
    [
        ({"t": 512, "s": 512, "h": 128, "b": 2}, True, None),
        ({"t": 40, "s": 301, "h": 72, "dtype": "float16"}, False, 16),
    ],
)
def test_forward_and_backward_lower_for_cuda(shape, causal, window):
    q, k, v = arrays(**shape)
    ids = tuple(jax.ShapeDtypeStruct(x.shape[:2], "int32") for x in (q, k))

    def total(q, k, v, ids):
        asked = {"segment_ids": ids, "causal": causal, "window": window, "scale": 0.1}
        return pallas_gpu.attend(q, k, v, **asked, block_map=None).astype(jnp.float32).sum()

    traced = jax.jit(jax.grad(total, (0, 1, 2))).trace(q, k, v, ids)
    text = traced.lower(lowering_platforms=("cuda",)).as_text()
    for kernel in ("attention_forward", "attention_backward_dq", "attention_backward_dkv"):
        assert kernel in text
    assert [x.shape for x in jax.tree.leaves(traced.out_info)] == [q.shape, k.shape, v.shape]


# the interpreter


def interpret_mode() -> contextlib.AbstractContextManager:
    """Mosaic GPU's interpret mode; public since JAX 0.11."""
    if hasattr(plgpu, "force_gpu_interpret_mode"):
        return plgpu.force_gpu_interpret_mode(plgpu.InterpretGPUParams())
    from jax._src.pallas.mosaic_gpu.interpret import params

    return params.force_gpu_interpret_mode(params.InterpretGPUParams())


def content(operand):
    """[M, N] of an operand of wgmma: registers, or a reference that may be transposed."""
    if isinstance(operand, jax.Array):
        return operand
    *inner, last = getattr(operand, "transforms", None) or (None,)
    if type(last).__name__ == "TransposeTransform":
        return type(operand)(operand.ref, tuple(inner))[...].T
    return operand[...]


@pytest.fixture
def interpreted(monkeypatch) -> Iterator[None]:
    """Kernels that are traced within run in the interpreter."""
    wgmma = plgpu.wgmma

    def from_references(total, a, b):
        a, b = content(a), content(b)

        def multiply(left, right):
            left[...], right[...] = a, b
            wgmma(total, left, right)

        pl.run_scoped(multiply, *(plgpu.REGS(x.shape, x.dtype) for x in (a, b)))

    def iota(dtype, shape, axis, layout):
        del layout
        return jax.lax.broadcasted_iota(dtype, shape, axis)

    monkeypatch.setattr(plgpu, "wgmma", from_references)
    monkeypatch.setattr(plgpu, "layout_cast", lambda x, layout: x)
    monkeypatch.setattr(plgpu, "broadcasted_iota", iota)
    with interpret_mode():
        yield


def by_definition(q, k, v, g, seen, scale):
    """Result and gradients of q, k and v in float64; seen [T, S]."""
    q, k, v, g = (np.asarray(x, np.float64) for x in (q, k, v, g))
    repeats = q.shape[2] // k.shape[2]
    keys, values = (np.repeat(x, repeats, axis=2) for x in (k, v))
    scores = np.where(seen, np.einsum("btnh,bsnh->bnts", q, keys) * scale, -np.inf)
    top = scores.max(-1, keepdims=True)
    weights = np.exp(scores - np.where(np.isfinite(top), top, 0))
    weights /= np.maximum(weights.sum(-1, keepdims=True), 1e-300)
    out = np.einsum("bnts,bsnh->btnh", weights, values)
    d_weights = np.einsum("btnh,bsnh->bnts", g, values)
    d_scores = weights * (d_weights - (weights * d_weights).sum(-1, keepdims=True)) * scale
    dq = np.einsum("bnts,bsnh->btnh", d_scores, keys)
    dk, dv = np.einsum("bnts,btnh->bsnh", d_scores, q), np.einsum("bnts,btnh->bsnh", weights, g)
    return out, dq, *(x.reshape(*k.shape[:3], repeats, -1).sum(3) for x in (dk, dv))


def assert_close(found, wanted, most=3.0):
    """The largest error is at most so many times that of rounding what is wanted."""
    rounded = np.asarray(jnp.asarray(wanted, jnp.float32).astype(found.dtype), np.float64)
    error = np.abs(np.asarray(found, np.float64) - wanted).max()
    assert error <= most * np.abs(rounded - wanted).max()


def test_the_forward_kernel_is_right_in_the_interpreter(interpreted):
    ids = packed(128, 37, 50)
    spans = block_map.visible_spans((jnp.asarray(ids),) * 2, causal=True, window=None)
    q, k, v = (draw(x.shape, x.dtype) for x in arrays(128, 128, 1, 1, 32))
    tiles = block_map.visited_tiles(spans, 128, 64)
    out, lse = hopper_forward.forward(q, k, v, spans, tiles, scale=0.2, block_k=64)
    seen = reference.visible(jnp.arange(128), 128, segment_ids=(ids, ids), causal=True, window=None)
    scores = np.einsum("btnh,bsnh->bnts", *(np.asarray(x, np.float64) for x in (q, k))) * 0.2
    total = (np.exp(scores) * seen).sum(-1)
    assert_close(out, by_definition(q, k, v, out, seen, 0.2)[0])
    np.testing.assert_allclose(lse, np.log2(np.where(total, total, 1)), atol=1e-5)
    assert not np.asarray(out)[:, 87:].any()


SMALL = {
    "packed": ({"t": 256, "s": 256, "h": 32, "n": 2, "kv": 1}, (70, 100, 60), True, None),
    "both ways": ({"t": 256, "s": 256, "h": 72, "n": 1, "kv": 1}, (200, 31), False, None),
    "window": ({"t": 256, "s": 256, "h": 64, "n": 1, "kv": 1}, None, True, 40),
    "fewer queries": ({"t": 128, "s": 256, "h": 128, "n": 1, "kv": 1}, None, True, None),
    "two key heads": ({"t": 128, "s": 128, "dtype": "float16"}, None, False, None),
    "two short rows": ({"t": 50, "s": 90, "h": 24, "n": 1, "kv": 1, "b": 2}, None, True, None),
    "no multiple": ({"t": 200, "s": 200, "h": 32, "n": 1, "kv": 1}, (97, 90), True, None),
}
MAPS = {"packed": (128, 128), "both ways": (64, 32)}  # of these the batch's map is given


def check_values_and_gradients(case):
    shape, lengths, causal, window = SMALL[case]
    q, k, v = (draw(x.shape, x.dtype) for x in arrays(**shape))
    g, t, s = draw(q.shape, q.dtype), shape["t"], shape["s"]
    ids = None if lengths is None else (jnp.asarray(packed(t, *lengths)),) * 2
    asked = {"segment_ids": ids, "causal": causal, "window": window}
    scale = q.shape[-1] ** -0.5
    made = None
    if case in MAPS:
        block_q, block_k = MAPS[case]
        limits = {"causal": causal, "window": window, "block_q": block_q, "block_k": block_k}
        made = block_map.make_block_map(ids, **limits)
    out, pull = jax.vjp(
        lambda *parts: pallas_gpu.attend(*parts, **asked, block_map=made, scale=scale), q, k, v
    )
    seen = reference.visible(jnp.arange(t) + s - t, s, **asked)
    seen = np.ones((1, t, s), bool) if seen is None else np.asarray(seen)
    for found, wanted in zip((out, *pull(g)), by_definition(q, k, v, g, seen, scale), strict=True):
        assert found.dtype == q.dtype
        assert_close(found, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("case", SMALL)
def test_values_and_gradients_are_right_in_the_interpreter(interpreted, case):
    if case == "no multiple" and jax.__version_info__ < (0, 11):
        pytest.skip("the interpreter of JAX 0.10 copies no tile that reaches beyond an array")
    check_values_and_gradients(case)


@pytest.mark.device
@pytest.mark.parametrize("case", SMALL)
def test_values_and_gradients_are_right_on_hopper(case):
    device = jax.devices()[0]
    if device.platform != "gpu" or device.compute_capability != "9.0":
        pytest.skip(f"no Hopper GPU: {device}")
    check_values_and_gradients(case)


# ptxas


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("jax_cuda13_plugin") is None,
    reason="no CUDA plugin; tests/compile_for_h200.py says how to get one",
)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("head_size", [64, 72, 80, 128])
def test_kernels_compile_for_an_h200_without_spills(tmp_path, head_size, dtype):
    done = subprocess.run(
        [sys.executable, "tests/compile_for_h200.py", str(head_size), dtype, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    for line in lines:
        assert ": 0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads" in line, line
        assert "C75" not in line, line  # wgmma serialised
