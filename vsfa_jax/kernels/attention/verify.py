"""Before a run on an accelerator: does the backend agree with XLA there?

Our kernels are tested by interpretation and by compiling them; a chip, a driver or a compiler may
still differ. One small packed row tells.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from vsfa_jax.core.errors import ConfigError
from vsfa_jax.kernels.attention.api import attention
from vsfa_jax.kernels.attention.auto import AUTO, Backend, map_blocks

_SEGMENTS = (300, 1, 199, 120)  # of 640 tokens, the rest is padding
_LENGTH = 640
# Of the largest entry. Rounding to bfloat16 makes 1/256 of a value; sums of rounded products, of
# which XLA rounds others, differ by a few of these.
_TOLERANCE = {"bfloat16": 0.03, "float32": 1e-3}


def verify(
    heads: int,
    kv_heads: int,
    head_size: int,
    *,
    causal: bool,
    dtype: jnp.dtype,
    backend: Backend = AUTO,
) -> dict[str, float]:
    """Compares values and gradients with XLA's on one packed row of random numbers.

    Args:
      heads: N; at most two groups of it are computed.
      kv_heads: K.
      head_size: H.
      causal: as in `attention`.
      dtype: bfloat16 or float32.
      backend: what is compared.

    Returns:
      The largest difference of out, dq, dk and dv, as a share of the largest entry.

    Raises:
      ConfigError: they differ by more than rounding.
    """
    keys = min(kv_heads, 2)
    shape = (1, _LENGTH, keys * (heads // kv_heads), head_size)
    draws = jax.random.split(jax.random.key(0), 4)
    shapes = (shape, (*shape[:2], keys, head_size), (*shape[:2], keys, head_size), shape)
    arrays = [jax.random.normal(key, s, dtype) for key, s in zip(draws, shapes, strict=True)]
    found, wanted = (
        [np.asarray(x, np.float32) for x in _run(which, causal, *arrays)]
        for which in (backend, Backend("xla"))
    )
    names = ("out", "dq", "dk", "dv")
    differences = {
        name: float(np.abs(a - b).max() / np.abs(b).max())
        for name, a, b in zip(names, found, wanted, strict=True)
    }
    allowed = _TOLERANCE[jnp.dtype(dtype).name]
    if not all(value <= allowed for value in differences.values()):  # NaN is not <=
        shares = ", ".join(f"{name} {value:.3g}" for name, value in differences.items())
        raise ConfigError(
            f"attention backend {backend.name!r} differs from 'xla' on this device by {shares} of "
            f"the largest entry, wanted at most {allowed}; train.attention='xla' goes without it"
        )
    return differences


@functools.partial(jax.jit, static_argnums=(0, 1))
def _run(
    backend: Backend, causal: bool, q: jax.Array, k: jax.Array, v: jax.Array, grad: jax.Array
) -> tuple[jax.Array, ...]:
    """out, dq, dk and dv of one packed row."""
    row = np.zeros((1, _LENGTH), np.int32)
    row[0, : sum(_SEGMENTS)] = np.repeat(np.arange(1, len(_SEGMENTS) + 1), _SEGMENTS)
    ids = jnp.asarray(row)
    attend = functools.partial(
        attention,
        segment_ids=ids,
        block_map=map_blocks(ids, q.shape[-1], causal=causal),
        causal=causal,
        backend=backend.name,
        interpret=backend.interpret,
    )
    out, back = jax.vjp(attend, q, k, v)
    return out, *back(grad)
