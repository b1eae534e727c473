"""Times attention on the GPU that is present: ours beside XLA, cuDNN and tokamax."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vsfa_jax.core.errors import ConfigError
from vsfa_jax.kernels.attention import shapes
from vsfa_jax.kernels.attention.api import attention
from vsfa_jax.kernels.attention.shapes import Shape
from vsfa_jax.perf import text
from vsfa_jax.perf.contender import require

PACKAGES = ("jax", "jaxlib", "tokamax")
_WARM, _RUNS, _QUICK_RUNS = 3, 50, 10
_CALLS = 8  # in one measurement
_QUICK_SHAPES = ("text_qwen2_5", "qwen3_tower")

Arrays = tuple[jax.Array, ...]
Attend = Callable[..., jax.Array]


def run(*, quick: bool) -> dict[str, Any]:
    """Prints a table and returns all medians, in seconds.

    Raises:
      ConfigError: there is no GPU, or something is not installed.
    """
    device = jax.devices()[0]
    if device.platform != "gpu":
        raise ConfigError(f"--device: wanted a GPU, found {device.device_kind!r}")
    require("tokamax")
    chosen = {n: s for n, s in shapes.MODELS.items() if not quick or n in _QUICK_SHAPES}
    found = {name: _shape(shape, _QUICK_RUNS if quick else _RUNS) for name, shape in chosen.items()}
    print(_table(found))
    return {"device": device.device_kind, "seconds": found}


def implementations(shape: Shape) -> dict[str, Attend]:
    """(q, k, v, segment ids or None) to the output, by name."""
    import tokamax

    def by_us(backend: str) -> Attend:
        def attend(q: jax.Array, k: jax.Array, v: jax.Array, ids: jax.Array | None) -> jax.Array:
            return attention(q, k, v, segment_ids=ids, causal=shape.causal, backend=backend)

        return attend

    def by_jax(name: Any) -> Attend:
        def attend(q: jax.Array, k: jax.Array, v: jax.Array, ids: jax.Array | None) -> jax.Array:
            mask, causal = _mask(ids), shape.causal
            return jax.nn.dot_product_attention(
                q, k, v, mask=mask, is_causal=causal, implementation=name
            )

        return attend

    def by_tokamax(q: jax.Array, k: jax.Array, v: jax.Array, ids: jax.Array | None) -> jax.Array:
        mask, causal = _mask(ids), shape.causal
        out: jax.Array = tokamax.dot_product_attention(
            q, k, v, mask=mask, is_causal=causal, implementation="mosaic"
        )
        return out

    others = {"xla": by_jax("xla"), "cudnn": by_jax("cudnn"), "tokamax": by_tokamax}
    return {"ours": by_us("pallas_gpu"), "our xla": by_us("xla"), **others}


def _mask(ids: jax.Array | None) -> jax.Array | None:
    """[B, 1, T, S] bool of segment ids [B, T]."""
    return None if ids is None else (ids[:, :, None] == ids[:, None, :])[:, None]


def arguments(shape: Shape) -> Arrays:
    """q, k, v and the output's cotangent: random, [B, tokens, heads, H] bfloat16."""
    keys = jax.random.split(jax.random.key(0), 4)
    queries = (shape.rows, shape.queries, shape.heads, shape.head_size)
    others = (shape.rows, shape.keys, shape.kv_heads, shape.head_size)
    sizes = (queries, others, others, queries)
    return tuple(
        jax.random.normal(key, size, jnp.bfloat16) for key, size in zip(keys, sizes, strict=True)
    )


def _shape(shape: Shape, runs: int) -> dict[str, dict[str, float | str]]:
    """By implementation, the medians of both passes, or why there are none."""
    arrays, segments = arguments(shape), shape.segment_ids()
    ids = None if segments is None else jnp.asarray(segments)

    def both(f: Attend) -> Callable[..., Any]:
        return lambda q, k, v, g, ids: jax.vjp(lambda *x: f(*x, ids), q, k, v)[1](g)

    return {
        name: {
            "forward": _timed(lambda q, k, v, g, ids, f=f: f(q, k, v, ids), (*arrays, ids), runs),
            "both": _timed(both(f), (*arrays, ids), runs),
        }
        for name, f in implementations(shape).items()
    }


def _timed(function: Callable[..., Any], arrays: tuple[Any, ...], runs: int) -> float | str:
    """Median seconds of many runs; the error's words where the implementation cannot.

    Segment ids are an argument, or the compiler would fold the masks that it shall compute.
    """
    try:
        compiled = jax.jit(function).lower(*arrays).compile()
        for _ in range(_WARM):
            jax.block_until_ready(compiled(*arrays))
    except (ValueError, NotImplementedError, RuntimeError) as error:
        return (str(error) or type(error).__name__).splitlines()[0][:120]
    return statistics.median(_seconds(compiled, arrays) for _ in range(runs))


def _seconds(compiled: Callable[..., Any], arrays: tuple[Any, ...]) -> float:
    """Of one call among several that the device works off without waiting for this process."""
    started = time.perf_counter()
    for _ in range(_CALLS):
        last = compiled(*arrays)
    jax.block_until_ready(last)
    return (time.perf_counter() - started) / _CALLS


def _table(found: dict[str, dict[str, dict[str, float | str]]]) -> str:
    """Milliseconds, and others' ratio to ours."""
    lines: list[tuple[str, ...]] = [
        ("shape and kernel", "forward ms", "to ours", "both ms", "to ours")
    ]
    for shape, by_name in found.items():
        for name, passes in by_name.items():
            cells = [f"{shape} {name}"]
            for one in ("forward", "both"):
                value, ours = passes[one], by_name["ours"][one]
                is_timed = isinstance(value, float)
                cells.append(f"{value * 1e3:.3f}" if isinstance(value, float) else "cannot")
                both = is_timed and isinstance(ours, float)
                cells.append(f"{np.divide(value, ours):.2f}" if both else "-")
            lines.append(tuple(cells))
    return "\n".join(text.aligned(lines))
