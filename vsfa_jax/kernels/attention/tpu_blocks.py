"""Block sizes by chip and case, from `tuned.json`; `python -m vsfa_jax.perf.kernels` writes it."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path

from jax.experimental.pallas import tpu as pltpu

from vsfa_jax.kernels.attention.block_map import SHORT
from vsfa_jax.kernels.attention.tpu_tiles import Blocks

TUNED = Path(__file__).with_name("tuned.json")
LIKE = "v6e"  # the chip whose sizes one that the table does not have gets
_STEP = 128  # a vector register's lanes; blocks are these by a power of two


def tpu_info() -> pltpu.TpuInfo | None:
    """Of the TPU that is compiled for, of the mesh in use or of this machine; None without one."""
    try:
        return pltpu.get_tpu_info()
    except (ValueError, NotImplementedError):
        return None


def choose_blocks(
    t: int, s: int, h: int, *, causal: bool, mapped: bool, longest: int | None = None
) -> tuple[Blocks, Blocks]:
    """Sizes of the forward and the backward kernel.

    Args:
      t: queries of a row.
      s: keys of a row.
      h: head size.
      causal: as in `attention`.
      mapped: whether there are segments.
      longest: the most tokens of a segment, where known.
    """
    info, table = tpu_info(), read_table()["chips"]
    chip = LIKE if info is None else str(info.chip_version)
    sizes = table.get(chip, table[LIKE])[
        case_name(h, causal=causal, mapped=mapped, longest=longest)
    ]
    forward, backward = (_cut(Blocks(**sizes[name]), t, s) for name in ("forward", "backward"))
    if mapped:  # one map serves both
        tiles = {"block_q": forward.block_q, "block_k": forward.block_k}
        backward = _cut(dataclasses.replace(backward, **tiles), forward.block_q, forward.block_k)
    return forward, backward


def case_name(h: int, *, causal: bool, mapped: bool, longest: int | None = None) -> str:
    """The table's name for a use of the kernels."""
    seen = "causal" if causal else "full"
    short = longest is not None and longest <= SHORT and not causal
    rows = ("windows" if short else "packed") if mapped else "one segment"
    return f"{seen}, {rows}, {'rows' if h % 128 == 0 else 'columns'}"


@functools.cache
def read_table() -> dict[str, dict[str, dict[str, dict[str, dict[str, int]]]]]:
    """tuned.json: chips -> case -> forward and backward -> the fields of `Blocks`."""
    return json.loads(TUNED.read_text())


def _cut(blocks: Blocks, queries: int, keys: int) -> Blocks:
    """Halved until less than an eighth of a row is padding; so one is a multiple of another."""
    q, k = _size(blocks.block_q, queries), _size(blocks.block_k, keys)
    chain = blocks.chain if q % blocks.chain == 0 and blocks.chain <= q else q
    return dataclasses.replace(blocks, block_q=q, block_k=k, chain=chain)


def _size(block: int, length: int) -> int:
    while block > _STEP and -length % block > length // 8:
        block //= 2
    return block
