"""Before a run on an accelerator: does the backend agree with XLA there?

Our kernels are tested by interpretation and by compiling them; a chip, a driver or a compiler may
still differ. One small packed row tells.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from vsfa_jax.core.errors import ConfigError
from vsfa_jax.kernels.attention.api import attention
from vsfa_jax.kernels.attention.auto import AUTO, Backend, map_blocks

_SEGMENTS = (1100, 1, 499, 320)  # of 2048 tokens, the rest is padding: what a run's tiles are
_LENGTH = 2048
# Of the largest entry. Rounding to bfloat16 makes 1/256 of a value; sums of rounded products, of
# which XLA rounds others, differ by a few of these.
_TOLERANCE = {"bfloat16": 0.03, "float32": 1e-3}


@dataclasses.dataclass(frozen=True)
class Use:
    """One use of attention in a model.

    Attributes:
      heads: N; at most two groups of it are computed.
      kv_heads: K.
      head_size: H.
      causal: as in `attention`.
      window: likewise.
      longest: as in `map_blocks`; then all segments are as long.
    """

    heads: int
    kv_heads: int
    head_size: int
    causal: bool
    window: int | None = None
    longest: int | None = None

    def segment_ids(self) -> np.ndarray:
        """[1, T] int32."""
        lengths: tuple[int, ...] = _SEGMENTS
        if self.longest is not None:
            lengths = (self.longest,) * (_LENGTH // self.longest - 1)
        row = np.zeros((1, _LENGTH), np.int32)
        row[0, : sum(lengths)] = np.repeat(np.arange(1, len(lengths) + 1), lengths)
        return row


def check(use: Use, dtype: jnp.dtype, backend: Backend = AUTO) -> None:
    """Whether a backend can do this here; nothing is computed.

    Raises:
      ConfigError: it cannot, with the reason.
    """
    try:
        jax.eval_shape(functools.partial(_attend, use, backend), *_arrays(use, dtype))
    except ValueError as error:
        raise ConfigError(f"train.attention: {error}") from error


def verify(use: Use, dtype: jnp.dtype, backend: Backend = AUTO) -> dict[str, float]:
    """Compares values and gradients with XLA's on one packed row of random numbers.

    Args:
      use: what is compared.
      dtype: bfloat16 or float32.
      backend: that does it.

    Returns:
      The largest difference of out, dq, dk and dv, as a share of the largest entry.

    Raises:
      ConfigError: they differ by more than rounding, or the backend cannot do it.
    """
    check(use, dtype, backend)
    arrays = _arrays(use, dtype)
    found, wanted = (
        [np.asarray(x, np.float32) for x in _run(use, which, *arrays)]
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


def _arrays(use: Use, dtype: jnp.dtype) -> list[jax.Array]:
    """Queries, keys, values and the gradient of the output."""
    keys = min(use.kv_heads, 2)
    q = (1, _LENGTH, keys * (use.heads // use.kv_heads), use.head_size)
    k = (1, _LENGTH, keys, use.head_size)
    draws = jax.random.split(jax.random.key(0), 4)
    return [jax.random.normal(key, s, dtype) for key, s in zip(draws, (q, k, k, q), strict=True)]


def _attend(
    use: Use, backend: Backend, q: jax.Array, k: jax.Array, v: jax.Array, grad: jax.Array
) -> tuple[jax.Array, ...]:
    """out, dq, dk and dv."""
    ids = jnp.asarray(use.segment_ids())
    seen = map_blocks(ids, use.head_size, causal=use.causal, window=use.window, longest=use.longest)
    attend = functools.partial(
        attention,
        segment_ids=ids,
        block_map=seen,
        causal=use.causal,
        window=use.window,
        backend=backend.name,
        interpret=backend.interpret,
    )
    out, back = jax.vjp(attend, q, k, v)
    return out, *back(grad)


_run = jax.jit(_attend, static_argnums=(0, 1))
