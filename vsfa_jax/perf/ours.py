"""Our TPU kernels as a contender: the one place that knows their interface."""

from __future__ import annotations

import importlib
from typing import Any

import jax
import numpy as np

from vsfa_jax.core.errors import ConfigError
from vsfa_jax.kernels.attention.block_map import make_block_map
from vsfa_jax.kernels.attention.shapes import Shape
from vsfa_jax.perf.contender import Blocks, Built, Contender

_NAMES = ("block_q", "block_k", "chain", "ahead", "unroll", "columns")
# Most promising first; `unroll` is for a full forward pass alone, `ahead` for any forward pass.
_FORWARD_FULL = (
    *((1024, 256, 1024, 1, 16), (2048, 256, 512, 2, 16), (1024, 512, 1024, 1, 8)),
    *((1024, 256, 512, 2, 16), (512, 512, 512, 0, 8), (512, 1024, 512, 0, 4)),
    *((1024, 1024, 512, 1, 4), (1024, 512, 512, 1, 8), (256, 1024, 256, 0, 4)),
)
_FORWARD_CAUSAL = (
    *((1024, 1024, 256, 0, 1), (1024, 1024, 256, 1, 1), (2048, 2048, 256, 1, 1)),
    *((1024, 1024, 512, 1, 1), (512, 512, 256, 0, 1), (512, 512, 256, 1, 1)),
    *((1024, 1024, 512, 0, 1), (512, 512, 512, 1, 1), (2048, 2048, 512, 1, 1)),
)
_BACKWARD_FULL = (
    *((1024, 1024, 1024, 0, 1), (1024, 512, 1024, 0, 1), (512, 512, 512, 0, 1)),
    *((1024, 1024, 512, 0, 1), (512, 1024, 512, 0, 1), (1024, 512, 512, 0, 1)),
    *((1024, 256, 1024, 0, 1), (2048, 512, 1024, 0, 1), (512, 256, 512, 0, 1)),
)
_BACKWARD_CAUSAL = (
    *((1024, 1024, 256, 0, 1), (1024, 1024, 512, 0, 1), (512, 512, 512, 0, 1)),
    *((512, 512, 256, 0, 1), (1024, 1024, 1024, 0, 1), (2048, 2048, 512, 0, 1)),
    *((512, 512, 128, 0, 1), (512, 1024, 512, 0, 1), (1024, 512, 512, 0, 1)),
)
# A packed row's two passes share one map, so each tile here is tried in both.
_PACKED = (
    *((1024, 1024, 256, 1, 1), (1024, 512, 1024, 0, 1), (256, 256, 256, 0, 1)),
    *((512, 512, 256, 1, 1), (1024, 1024, 512, 1, 1), (512, 512, 512, 0, 1)),
    *((512, 512, 512, 1, 1), (1024, 1024, 256, 0, 1), (512, 256, 512, 0, 1)),
)
_SUBLANES = 16  # two rows of bfloat16 each
# Where the layout is free; the passes share it.
_BOTH_LAYOUTS = {
    "forward": (
        *((1024, 512, 512, 2, 16), (2048, 256, 512, 2, 16, 1), (2048, 512, 512, 2, 16)),
        *((1024, 512, 1024, 1, 8, 1), (512, 512, 512, 0, 8), (512, 1024, 512, 0, 4)),
        *((1024, 1024, 1024, 1, 4, 1), (1024, 512, 1024, 1, 8)),
    ),
    "backward": (
        *((1024, 1024, 1024, 0, 1), (1024, 512, 1024, 0, 1, 1), (512, 512, 512, 0, 1)),
        *((512, 512, 512, 0, 1, 1), (1024, 1024, 512, 0, 1), (1024, 1024, 1024, 0, 1, 1)),
    ),
}


def _module(name: str) -> Any:
    """One of our modules; by name, so that what needs none of them runs without."""
    try:
        return importlib.import_module(f"vsfa_jax.kernels.attention.{name}")
    except ModuleNotFoundError as error:
        raise ConfigError(f"our kernels cannot be measured: {error}") from error


def _sweep(shape: Shape, direction: str) -> list[Blocks]:
    forward = _FORWARD_CAUSAL if shape.causal else _FORWARD_FULL
    backward = _BACKWARD_CAUSAL if shape.causal else _BACKWARD_FULL
    table = forward if direction == "forward" else backward
    if shape.segments is not None:
        table = _PACKED
    least = min(shape.queries, shape.keys)
    if shape.segments is None and not shape.causal and shape.head_size % 128 == 0:
        table = _BOTH_LAYOUTS[direction]  # type: ignore[assignment]
    return [dict(zip(_NAMES, (*row, 0), strict=False)) for row in table if max(row[:2]) <= least]


def _tiling(shape: Shape, blocks: Blocks) -> Any:
    tiles = _module("tpu_tiles")
    return tiles.Tiling(
        blocks=tiles.Blocks(**blocks),
        queries=shape.queries,
        keys=shape.keys,
        causal=shape.causal,
        window=shape.window,
        mapped=shape.segments is not None,
        rows=shape.head_size % 128 == 0 and not blocks["columns"],
    )


def _build(shape: Shape, direction: str, blocks: Blocks) -> Built:
    """In the kernels' own layout; with segments the block map is an argument."""
    tiling = _tiling(shape, blocks)
    b, n, t, h = shape.rows, shape.heads, shape.queries, shape.head_size

    def laid_out(heads: int, tokens: int) -> jax.ShapeDtypeStruct:
        padded = -(-h // _SUBLANES) * _SUBLANES
        ends = (tokens, h) if tiling.rows else (padded, tokens)
        return jax.ShapeDtypeStruct((b, heads, *ends), "bfloat16")

    q, k = laid_out(n, t), laid_out(shape.kv_heads, shape.keys)
    block_map: tuple[Any, ...] = ()
    if tiling.mapped:
        found = jax.eval_shape(lambda: block_map_of(shape, blocks))
        block_map = (found.spans, found.tiles)
    given = {"tiling": tiling, "scale": h**-0.5}
    if direction == "forward":
        forward = _module("tpu_forward").forward
        return (lambda q, k, v, *m: forward(q, k, v, m or None, **given)), (q, k, k, *block_map)
    backward = _module("tpu_backward").backward
    row = jax.ShapeDtypeStruct((b, n, 1, t), "float32")
    return (
        lambda q, k, v, g, lse, d, *m: backward(q, k, v, g, lse, d, m or None, **given),
        (q, k, k, q, row, row, *block_map),
    )


def block_map_of(shape: Shape, blocks: Blocks) -> Any:
    """The block map of a packed shape, as the kernels get it."""
    ids = jax.numpy.asarray(shape.segment_ids())
    sizes = {name: blocks[name] for name in ("block_q", "block_k")}
    return make_block_map((ids, ids), causal=shape.causal, window=shape.window, **sizes)


def visited(shape: Shape, blocks: Blocks) -> int:
    """Tiles that one head of a packed row visits, by its block map."""
    tiles = np.asarray(block_map_of(shape, blocks).tiles)[0]
    return int((tiles[:, 1] - tiles[:, 0]).sum())


def _tile(shape: Shape, part: str, blocks: Blocks) -> tuple[int, int]:
    del part
    is_plain = not shape.causal and shape.segments is None and shape.window is None
    unroll = blocks["unroll"] if is_plain else 1
    return blocks["block_q"], min(blocks["block_k"] * unroll, shape.keys)


OURS = Contender(
    name="ours",
    source="vsfa_jax.kernels.attention: tpu_forward, tpu_backward",
    sweep=_sweep,
    build=_build,
    parts={
        "forward": {"forward": "attention_forward"},
        "backward": {"backward": "attention_backward"},
    },
    tile=_tile,
    is_simulated=True,
)
