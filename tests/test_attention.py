"""Every attention backend against attention by its definition, in plain numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vsfa_jax.kernels.attention import api, attention


def by_definition(q, k, v, segments, causal, scale, window):
    """Loops over rows, heads and queries; a query that sees nothing gives zeros."""
    (b, t, n, h), s, group = q.shape, k.shape[1], q.shape[2] // k.shape[2]
    out = np.zeros((b, t, n, h))
    for row, query, head in np.ndindex(b, t, n):
        place = query + s - t
        seen = [
            key
            for key in range(s)
            if (not causal or key <= place)
            and (window is None or place - window <= key <= place)
            and (segments is None or 0 < segments[0][row, query] == segments[1][row, key])
        ]
        if seen:
            scores = k[row, seen, head // group] @ q[row, query, head] * scale
            weights = np.exp(scores - scores.max())
            out[row, query, head] = weights / weights.sum() @ v[row, seen, head // group]
    return out


def draw(t, s, seed=0, b=2, n=4, kv=2, h=8):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(b, length, heads, h)) for length, heads in ((t, n), (s, kv), (s, kv)))


ROW = np.array([[1, 1, 1, 2, 2, 2, 2, 3, 0, 0], [1, 1, 1, 1, 1, 1, 1, 1, 1, 0]])
CASES = {
    "all see all": (10, 10, None, False, None),
    "causal": (10, 10, None, True, None),
    "segments": (10, 10, (ROW, ROW), False, None),
    "causal segments": (10, 10, (ROW, ROW), True, None),
    "window": (10, 10, None, True, 2),
    "window in segments": (10, 10, (ROW, ROW), True, 3),
    "fewer queries": (4, 10, None, True, None),
    "a pair of segments": (4, 10, (ROW[:, 3:7], ROW), True, None),
    "one query": (1, 10, (np.ones((2, 1), int), ROW), False, None),
}


@pytest.mark.parametrize("backend", sorted(api.BACKENDS))
@pytest.mark.parametrize("case", CASES)
def test_backends_do_what_the_definition_says(backend, case):
    t, s, segments, causal, window = CASES[case]
    q, k, v = draw(t, s)
    pair = None if segments is None else tuple(map(jnp.asarray, segments))
    single = segments is not None and segments[0] is segments[1]
    found = attention(
        *map(jnp.float32, (q, k, v)),
        segment_ids=pair[0] if single else pair,
        causal=causal,
        window=window,
        backend=backend,
    )
    wanted = by_definition(q, k, v, segments, causal, 8**-0.5, window)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    if segments is not None:
        assert not np.asarray(found)[np.asarray(segments[0]) == 0].any()


@pytest.mark.parametrize("backend", sorted(api.BACKENDS))
def test_padding_gives_and_gets_no_gradient(backend):
    q, k, v = map(jnp.float32, draw(10, 10))

    def total(q, k, v):
        return (attention(q, k, v, segment_ids=ROW, causal=True, backend=backend) ** 2).sum()

    for gradient in jax.grad(total, argnums=(0, 1, 2))(q, k, v):
        gradient = np.asarray(gradient)
        assert np.isfinite(gradient).all() and not gradient[ROW == 0].any()
        assert np.abs(gradient[ROW == 2]).max() > 1e-3


def test_the_dtype_of_the_queries_comes_back_and_scale_is_taken():
    q, k, v = draw(10, 10)
    half = attention(*map(jnp.bfloat16, (q, k, v)), causal=True)
    assert half.dtype == jnp.bfloat16
    np.testing.assert_allclose(
        half.astype(jnp.float32), by_definition(q, k, v, None, True, 8**-0.5, None), atol=0.05
    )
    scaled = attention(*map(jnp.float32, (q, k, v)), causal=True, scale=0.1)
    np.testing.assert_allclose(scaled, by_definition(q, k, v, None, True, 0.1, None), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backend": "fsat"}, "backend: found 'fsat'"),
        ({"block_map": jnp.zeros(1)}, "takes no block_map"),
        ({"segment_ids": jnp.ones((2, 9), jnp.int32)}, "segment_ids: found"),
        ({"k": jnp.ones((2, 10, 3, 8))}, "wanted q"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    q, k, v = map(jnp.float32, draw(10, 10))
    arguments = {"q": q, "k": k, "v": v, "causal": True, **change}
    with pytest.raises(ValueError, match=message):
        attention(**arguments)
