"""Every attention backend against attention by its definition, in float64."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from attention_definition import Case, by_definition, errors
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.experimental.pallas import tpu as pltpu
from speeds import cases

from vsfa_jax.kernels.attention import (
    attention,
    backends,
    check_contiguous,
    decode_attention,
    pallas_tpu,
)
from vsfa_jax.kernels.attention.block_map import make_block_map
from vsfa_jax.kernels.attention.shapes import MODELS
from vsfa_jax.kernels.attention.tpu_tiles import Blocks

RACES = pltpu.InterpretParams(detect_races=True, uninitialized_memory="nan")
RUN_HERE = ("reference", "xla", "pallas_tpu")  # the GPU's have a file of their own
RAGGED = (50, 70, 1, 90, 1, 1, 60)

CASES = {
    "text": Case(1, 256, 256, 8, 2, 128, True, dtype="bfloat16"),
    "text, packed": Case(2, 300, 300, 7, 1, 128, True, RAGGED),
    "tower, packed": Case(2, 300, 300, 2, 2, 72, False, RAGGED),
    "tower, bf16": Case(1, 260, 260, 2, 2, 80, False, (130, 130), dtype="bfloat16"),
    "clip": Case(1, 154, 154, 2, 2, 64, False, (77, 77)),
    "odd": Case(1, 131, 131, 2, 1, 128, True),
    "window, packed": Case(2, 300, 300, 2, 2, 128, True, RAGGED, window=40),
    "window": Case(1, 200, 200, 2, 1, 16, True, window=3),
    "all padding": Case(2, 130, 130, 2, 1, 128, True, ()),
    "fewer queries": Case(1, 100, 300, 2, 1, 128, True),
    "more queries": Case(1, 300, 100, 2, 1, 80, True),
    "a pair": Case(1, 100, 300, 2, 1, 128, False, ((30, 0, 70), (150, 10, 90))),
    "a causal pair": Case(1, 200, 200, 2, 1, 128, True, ((120, 70), (64, 100))),
    "window without causal": Case(1, 384, 384, 2, 1, 128, False, window=0),
    "large": Case(1, 150, 150, 2, 1, 128, True, (100, 30), size=1000.0),
    "large, bf16": Case(1, 150, 150, 2, 1, 128, True, size=1000.0, dtype="bfloat16"),
    "tiny": Case(2, 40, 40, 4, 2, 8, True, (20, 15)),
    "one to one, bf16": Case(1, 300, 300, 2, 2, 128, True, RAGGED, dtype="bfloat16"),
    "seven to one, bf16": Case(1, 257, 257, 7, 1, 128, True, (200, 57), dtype="bfloat16"),
}
QUICK = ("text", "text, packed", "tower, packed", "a causal pair", "large")
PLAIN = ("window, packed", "all padding", "more queries", "seven to one, bf16", *QUICK)


def run(case: Case, backend: str, interpret=False) -> tuple[np.ndarray, ...]:
    """Output and gradients of a backend."""
    dtype = jnp.dtype(case.dtype)
    q, k, v, grad = (jnp.asarray(x, dtype) for x in case.arrays())
    ids = case.segment_ids()
    ids = None if ids is None else tuple(map(jnp.asarray, ids))
    attend = functools.partial(
        attention,
        segment_ids=ids if ids is None or case.is_pair else ids[0],
        causal=case.causal,
        window=case.window,
        backend=backend,
        interpret=interpret,
    )

    @jax.jit
    def both(q, k, v, grad):
        out, back = jax.vjp(attend, q, k, v)
        return out, *back(grad)

    found = both(q, k, v, grad)
    assert all(x.dtype == dtype for x in found)
    return tuple(np.asarray(x) for x in found)


def check(case: Case, found: tuple[np.ndarray, ...]) -> None:
    """Values, gradients, finite everywhere, zero at padding."""
    wanted = by_definition(case, case.head_size**-0.5)
    assert all(np.isfinite(x.astype(np.float64)).all() for x in found)
    wrong = [e for e in errors(case, found, wanted) if e[1] > e[2]]
    assert not wrong, wrong
    ids = case.segment_ids()
    if ids is not None:
        for array, part in zip(found, (ids[0], ids[0], ids[1], ids[1]), strict=True):
            assert not array[part == 0].any()


@pytest.mark.parametrize("name", cases(CASES, PLAIN))
@pytest.mark.parametrize("backend", ["reference", "xla"])
def test_values_and_gradients(backend: str, name: str) -> None:
    check(CASES[name], run(CASES[name], backend))


@pytest.mark.parametrize("name", cases(CASES, QUICK))
def test_values_and_gradients_of_the_tpu_kernels(name: str) -> None:
    """Interpreted, with races detected and memory that was never written full of NaN."""
    check(CASES[name], run(CASES[name], "pallas_tpu", RACES))


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("backend", ["xla", "pallas_tpu"])
def test_shapes_of_the_models(backend: str, name: str) -> None:
    """At full length, with as many heads as share a key head."""
    shape = MODELS[name]
    group = shape.heads // shape.kv_heads
    case = Case(
        *(1, shape.queries, shape.keys, group, 1, shape.head_size, shape.causal),
        segments=shape.segments,
        window=shape.window,
        dtype="bfloat16",
    )
    check(case, run(case, backend, backend == "pallas_tpu"))


@pytest.mark.parametrize(("unroll", "ahead"), [(1, 2), (16, 2), (16, 5)])
def test_a_full_row_in_straight_lines(unroll: int, ahead: int) -> None:
    """Seven whole tiles of keys and a cut one; scores ahead of the first softmax, across tiles."""
    case = Case(1, 500, 500, 1, 1, 16, False)
    q, k, v, _ = (jnp.asarray(x, jnp.float32) for x in case.arrays())
    blocks = Blocks(block_q=256, block_k=64, chain=128, ahead=ahead, unroll=unroll)
    attend = functools.partial(pallas_tpu.attend, segment_ids=None, block_map=None, window=None)
    out = attend(q, k, v, causal=False, scale=0.25, blocks=(blocks, blocks), interpret=True)
    [wanted, *_] = by_definition(case, 0.25)
    np.testing.assert_allclose(out, wanted, atol=1e-5 * np.abs(wanted).max())


def test_every_backend_is_in_this_contract_or_has_its_own_file() -> None:
    assert set(backends()) - {"pallas_gpu", "cudnn"} == set(RUN_HERE)


@pytest.mark.parametrize("backend", RUN_HERE)
def test_a_neighbours_change_changes_nothing(backend: str) -> None:
    """Bit for bit, in values and in gradients, and twice gives the same bits."""
    case = CASES["text, packed"]
    q, k, v, grad = (jnp.asarray(x, jnp.float32) for x in case.arrays())
    ids = tuple(map(jnp.asarray, case.segment_ids()))
    mine = ids[0] == 2

    @jax.jit
    def both(q, k, v, grad):
        attend = functools.partial(
            attention, segment_ids=ids[0], causal=True, backend=backend, interpret=True
        )
        out, back = jax.vjp(attend, q, k, v)
        return out, *back(grad)

    def disturb(x):
        return jnp.where(mine[..., None, None], x, -7 * x + 3)

    before = both(q, k, v, grad)
    again = both(q, k, v, grad)
    after = both(*map(disturb, (q, k, v, grad)))
    for one, two, other in zip(before, again, after, strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one[mine], other[mine])
        assert np.abs(np.asarray(one - other)).max() > 1e-3


@settings(max_examples=12, deadline=None, derandomize=True, database=None)
@given(st.data())
def test_drawn_shapes_by_xla(data: st.DataObject) -> None:
    check_drawn(data, "xla")


@pytest.mark.slow
@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(st.data())
def test_drawn_shapes_by_the_tpu_kernels(data: st.DataObject) -> None:
    check_drawn(data, "pallas_tpu")


def check_drawn(data: st.DataObject, backend: str) -> None:
    """A case drawn by Hypothesis."""
    queries = data.draw(st.integers(1, 280))
    square = data.draw(st.booleans())
    keys = queries if square else data.draw(st.integers(1, 280))
    kv_heads, group = data.draw(st.sampled_from([(1, 1), (2, 1), (1, 3), (2, 2)]))
    segments = None
    if data.draw(st.booleans()):
        segments = tuple(lengths(data, width) for width in (queries, keys))
        segments = segments[0] if square and data.draw(st.booleans()) else segments
    case = Case(
        *(data.draw(st.integers(1, 2)), queries, keys, kv_heads * group, kv_heads),
        head_size=data.draw(st.sampled_from([8, 64, 72, 128])),
        causal=data.draw(st.booleans()),
        segments=segments,
        window=data.draw(st.none() | st.integers(0, 60)),
    )
    check(case, run(case, backend, backend == "pallas_tpu"))


def lengths(data: st.DataObject, width: int) -> tuple[int, ...]:
    """Segments that fit a row."""
    cuts = data.draw(st.lists(st.integers(0, width), max_size=5).map(sorted))
    return tuple(np.diff([0, *cuts]).tolist())


def test_windows_go_by_bands() -> None:
    """The map's bound on segments makes XLA's scores [B, N, T, 3 longest]."""
    case = Case(2, 300, 300, 2, 2, 80, False, (64, 64, 10, 33, 64, 1))
    q, k, v, grad = (jnp.asarray(x, jnp.float32) for x in case.arrays())
    ids = tuple(map(jnp.asarray, case.segment_ids()))
    bounded = make_block_map(ids, causal=False, window=None, block_q=128, block_k=128, longest=64)

    def attend(q, k, v, block_map):
        return attention(q, k, v, segment_ids=ids, block_map=block_map, causal=False, backend="xla")

    out, back = jax.vjp(functools.partial(attend, block_map=bounded), q, k, v)
    check(case, tuple(map(np.asarray, (out, *back(grad)))))
    text = str(jax.make_jaxpr(functools.partial(attend, block_map=bounded))(q, k, v))
    assert "64,192]" in text and "300]" not in text.split("dot_general")[1]


@pytest.mark.parametrize("window", [None, 5])
def test_decoding_equals_the_last_row_of_the_whole(window: int | None) -> None:
    rng = np.random.default_rng(0)
    q, k, v = (
        jnp.asarray(rng.normal(size=shape), jnp.float32)
        for shape in ((3, 14, 32), (3, 2, 1100, 32), (3, 2, 1100, 32))
    )
    lengths = np.asarray([1, 700, 1100])
    found = decode_attention(q, k, v, lengths=jnp.asarray(lengths), window=window)
    for row, length in enumerate(lengths):
        part = (x[row : row + 1, :, :length].swapaxes(1, 2) for x in (k, v))
        wanted = attention(
            q[row : row + 1, None], *part, causal=True, window=window, backend="reference"
        )
        np.testing.assert_allclose(found[row], wanted[0, 0], atol=2e-6)
    other = decode_attention(
        q,
        k.at[0, :, 1:].set(9e3),
        v.at[0, :, 1:].set(9e3),
        lengths=jnp.asarray(lengths),
        window=window,
    )
    np.testing.assert_array_equal(found, other)


def test_scale_is_taken() -> None:
    case = dataclasses.replace(CASES["tiny"], size=2.0)
    q, k, v, _ = (jnp.asarray(x, jnp.float32) for x in case.arrays())
    ids = tuple(map(jnp.asarray, case.segment_ids()))
    found = attention(q, k, v, segment_ids=ids, causal=True, scale=0.1)
    np.testing.assert_allclose(found, by_definition(case, 0.1)[0], atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backend": "fsat"}, "backend: found 'fsat'"),
        ({"backend": "pallas_tpu"}, "backend 'pallas_tpu': it runs on a tpu, this is a cpu"),
        ({"backend": "pallas_gpu"}, "backend 'pallas_gpu': it runs on a gpu, this is a cpu"),
        ({"backend": "pallas_tpu", "interpret": True, "v": jnp.ones((2, 10, 2, 8), jnp.float16)},
         "bfloat16 or float32, the same for all"),
        ({"segment_ids": jnp.ones((2, 9), jnp.int32)}, "segment_ids: found"),
        ({"k": jnp.ones((2, 10, 3, 8))}, "wanted q"),
        ({"window": -1}, "window: found -1"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(change: dict, message: str) -> None:
    arrays = {"q": jnp.ones((2, 10, 4, 8)), "k": jnp.ones((2, 10, 2, 8))}
    arguments = {**arrays, "v": jnp.ones((2, 10, 2, 8)), "causal": True, **change}
    with pytest.raises(ValueError, match=message):
        attention(**arguments)


def test_segments_in_pieces_are_refused() -> None:
    check_contiguous(np.asarray([[1, 1, 0, 2, 2, 0]]))
    for row in ([1, 2, 1], [1, 0, 1]):
        with pytest.raises(ValueError, match="row 1: segment 1 is in 2 pieces"):
            check_contiguous(np.asarray([[1, 1, 1], row]))


@pytest.mark.parametrize("change", [{"causal": True}, {"window": 3}, {"q": jnp.ones((1, 9, 2, 8))}])
def test_a_map_of_something_else_is_refused(change: dict) -> None:
    ids = jnp.ones((1, 8), jnp.int32)
    made = make_block_map((ids, ids), causal=False, window=None, block_q=8, block_k=8)
    row = jnp.ones((1, 8, 2, 8))
    given = {"q": row, "k": row, "v": row, "causal": False, "segment_ids": ids, **change}
    if "q" in change:
        given |= {"k": change["q"], "v": change["q"], "segment_ids": jnp.ones((1, 9), jnp.int32)}
    with pytest.raises(ValueError, match="block_map: found spans, causal, window"):
        attention(**given, block_map=made, backend="reference")
