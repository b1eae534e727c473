"""Others' attention for TPU: JAX's flash and splash, and tokamax's splash."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax

from vsfa_jax.kernels.attention.shapes import Shape
from vsfa_jax.perf.contender import Blocks, Built, Contender, gradient, heads_first, require

# (block_q, block_k_major, block_k) of flash, (block_q, block_kv, block_kv_compute) of the others,
# most promising first.
_FLASH_FULL = (
    *((1024, 8192, 1024), (2048, 8192, 1024)),
    *((2048, 4096, 1024), (4096, 4096, 1024), (1024, 4096, 1024), (1024, 2048, 1024)),
    *((2048, 2048, 1024), (1024, 4096, 512), (2048, 4096, 512), (1024, 1024, 1024)),
    *((512, 4096, 512), (512, 2048, 2048), (1024, 2048, 512), (512, 512, 512)),
    *((256, 2048, 2048), (2048, 2048, 512), (1024, 2048, 2048), (512, 1024, 1024)),
)
_FLASH_CAUSAL = (
    *((1024, 1024, 1024), (512, 512, 512), (1024, 1024, 512), (2048, 2048, 1024)),
    *((512, 1024, 1024), (2048, 1024, 1024), (1024, 512, 512), (512, 1024, 512)),
    *((1024, 2048, 1024), (2048, 2048, 512), (256, 512, 512), (512, 2048, 1024)),
    *((2048, 2048, 2048), (1024, 2048, 512), (512, 512, 256), (256, 1024, 1024)),
)
_FLASH_BACKWARD = (
    *((1024, 1024, 1024), (512, 512, 512), (1024, 512, 512), (512, 1024, 512)),
    *((512, 1024, 1024), (1024, 1024, 512), (2048, 1024, 1024), (2048, 512, 512)),
    *((512, 2048, 512), (256, 512, 512), (512, 512, 256), (1024, 2048, 1024)),
    *((256, 256, 256), (256, 1024, 512), (1024, 256, 256), (2048, 2048, 512)),
)
_SPLASH = (
    *((1024, 1024, 512), (1024, 1024, 1024), (512, 512, 512), (1024, 2048, 512)),
    *((2048, 1024, 512), (512, 1024, 512), (1024, 512, 512), (2048, 2048, 1024)),
    *((1024, 2048, 1024), (512, 1024, 1024), (1024, 1024, 256), (2048, 1024, 1024)),
    *((512, 2048, 512), (512, 512, 256), (2048, 2048, 512), (256, 1024, 512)),
)


def _sizes(names: tuple[str, ...], table: tuple[tuple[int, ...], ...], t: int) -> list[Blocks]:
    return [dict(zip(names, row, strict=True)) for row in table if max(row) <= t]


def _flash_sweep(shape: Shape, direction: str) -> list[Blocks]:
    forward = _FLASH_CAUSAL if shape.causal else _FLASH_FULL
    table = forward if direction == "forward" else _FLASH_BACKWARD
    return _sizes(("block_q", "block_k_major", "block_k"), table, min(shape.queries, shape.keys))


def _splash_sweep(shape: Shape, direction: str) -> list[Blocks]:
    del direction
    names = ("block_q", "block_kv", "block_kv_compute")
    return _sizes(names, _SPLASH, min(shape.queries, shape.keys))


def _build_flash(shape: Shape, direction: str, blocks: Blocks) -> Built:
    """It scales queries itself."""
    from jax.experimental.pallas.ops.tpu import flash_attention as flash

    q, major, k = blocks["block_q"], blocks["block_k_major"], blocks["block_k"]
    small = direction == "backward"
    sizes = flash.BlockSizes(
        block_b=1,
        block_q=512 if small else q,
        block_k_major=512 if small else major,
        block_k=512 if small else k,
        block_q_major_dkv=q,
        block_q_dkv=q,
        block_k_major_dkv=major,
        block_k_dkv=k,
        block_q_dq=q,
        block_k_major_dq=major,
        block_k_dq=k,
    )

    def forward(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
        scale = shape.head_size**-0.5
        out: jax.Array = flash.flash_attention(
            q, k, v, causal=shape.causal, sm_scale=scale, block_sizes=sizes
        )
        return out

    arguments = heads_first(shape)
    if direction == "forward":
        return forward, arguments
    return gradient(forward), (*arguments, arguments[0])


def _build_splash(shape: Shape, direction: str, blocks: Blocks) -> Built:
    """The kernel wants scaled queries; that multiplication is not counted."""
    from jax.experimental.pallas.ops.tpu import splash_attention as splash

    kind = splash.CausalMask if shape.causal else splash.FullMask
    mask = splash.MultiHeadMask([kind((shape.queries, shape.keys)) for _ in range(shape.heads)])
    sizes = splash.BlockSizes(
        block_q=blocks["block_q"] if direction == "forward" else 512,
        block_kv=blocks["block_kv"] if direction == "forward" else 512,
        block_kv_compute=blocks["block_kv_compute"] if direction == "forward" else 512,
        block_q_dkv=blocks["block_q"],
        block_kv_dkv=blocks["block_kv"],
        block_kv_dkv_compute=blocks["block_kv_compute"],
        use_fused_bwd_kernel=True,
    )

    def forward(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
        kernel = splash.make_splash_mha_single_device(mask, block_sizes=sizes)
        out: jax.Array = jax.vmap(kernel)(q, k, v)
        return out

    arguments = heads_first(shape)
    if direction == "forward":
        return forward, arguments
    return gradient(forward), (*arguments, arguments[0])


def _build_tokamax(shape: Shape, direction: str, blocks: Blocks) -> Built:
    """As `_build_splash`. The sizes are of its operator, which it names under no public module."""
    require("tokamax")
    import tokamax

    operator = next(
        kind
        for kind in _descendants(tokamax.Op)
        if kind.__name__ == "PallasMosaicTpuFlashAttention"
    )()
    backward = operator.vjp.config_cls(
        block_q_dkv=blocks["block_q"],
        block_kv_dkv=blocks["block_kv"],
        block_kv_dkv_compute=blocks["block_kv_compute"],
    )
    operator = operator.replace(vjp=operator.vjp.replace(config=backward))
    sizes = blocks if direction == "forward" else dict.fromkeys(blocks, 512)

    def forward(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
        bound = operator.bind(q, k, v, is_causal=shape.causal)
        config = dataclasses.replace(bound.heuristics_config, **sizes)
        out: jax.Array = operator.replace(config=config)(q, k, v, is_causal=shape.causal)
        return out

    b, n, t, h = shape.rows, shape.heads, shape.queries, shape.head_size
    q = jax.ShapeDtypeStruct((b, t, n, h), "bfloat16")
    k = jax.ShapeDtypeStruct((b, shape.keys, shape.kv_heads, h), "bfloat16")
    if direction == "forward":
        return forward, (q, k, k)
    return gradient(forward), (q, k, k, q)


def _descendants(kind: Any) -> Iterator[Any]:
    for child in kind.__subclasses__():
        yield child
        yield from _descendants(child)


def _flash_tile(shape: Shape, part: str, blocks: Blocks) -> tuple[int, int]:
    del shape, part
    return blocks["block_q"], blocks["block_k_major"]


def _splash_tile(shape: Shape, part: str, blocks: Blocks) -> tuple[int, int]:
    del shape, part
    return blocks["block_q"], blocks["block_kv"]


_SPLASH_PARTS = {"forward": {"forward": "fwd"}, "backward": {"backward": "dkv"}}

FLASH = Contender(
    name="flash",
    source="jax.experimental.pallas.ops.tpu.flash_attention",
    sweep=_flash_sweep,
    build=_build_flash,
    parts={"forward": {"forward": "flash"}, "backward": {"dq": "_dq", "dkv": "_dkv"}},
    tile=_flash_tile,
    is_simulated=True,
    repeats_kv=True,
)
SPLASH = Contender(
    name="splash",
    source="jax.experimental.pallas.ops.tpu.splash_attention",
    sweep=_splash_sweep,
    build=_build_splash,
    parts=_SPLASH_PARTS,
    tile=_splash_tile,
    is_simulated=False,
)
TOKAMAX = Contender(
    name="tokamax",
    source="tokamax: PallasMosaicTpuFlashAttention (splash)",
    sweep=_splash_sweep,
    build=_build_tokamax,
    parts=_SPLASH_PARTS,
    tile=_splash_tile,
    is_simulated=False,
)
ALL = (FLASH, SPLASH, TOKAMAX)


def check_installed() -> None:
    """Asks for the compiler and for tokamax.

    Raises:
      ConfigError: one is not installed.
    """
    for package in ("libtpu", "tokamax"):
        require(package)
