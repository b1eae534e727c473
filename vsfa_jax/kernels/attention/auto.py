"""Which backend `auto` is, and the block map that a batch's layers share."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax

from vsfa_jax.kernels.attention import pallas_tpu, tpu_blocks
from vsfa_jax.kernels.attention.block_map import BlockMap, SegmentPair, make_block_map


@dataclasses.dataclass(frozen=True)
class Backend:
    """Which backend a model's attention asks for; see `api.attention`."""

    name: str = "auto"
    interpret: Any = False


AUTO = Backend()
_SMALL = 512 * 512  # scores of a head that a CPU may as well hold whole


def choose(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    *,
    segment_ids: SegmentPair | None,
    causal: bool,
    window: int | None,
) -> str:
    """The name of a backend.

    On a TPU our kernels, where they can; elsewhere XLA: no kernel of ours has been measured on a
    GPU. On a CPU small scores are held whole.
    """
    if platform() == "tpu":
        return "xla" if pallas_tpu.refuses(q, k, v, causal, window, segment_ids) else "pallas_tpu"
    small = q.shape[1] * k.shape[1] <= _SMALL
    return "reference" if small and platform() == "cpu" else "xla"


def platform() -> str:
    """What is compiled for: "tpu", "gpu" or "cpu"."""
    return "tpu" if tpu_blocks.tpu_info() is not None else jax.default_backend()


def map_blocks(
    segment_ids: jax.Array,
    head_size: int,
    *,
    causal: bool,
    window: int | None = None,
    longest: int | None = None,
) -> BlockMap:
    """The map of rows whose queries are their keys, in the tiles that the chip's table says.

    Make it once for a batch and hand it to every layer's `attention`; a backend that does not skip
    leaves it unread, and the compiler leaves it out.

    Args:
      segment_ids: [B, T] int32, contiguous, 0 is padding.
      head_size: H.
      causal: as in `attention`.
      window: as in `attention`.
      longest: the most tokens of a segment, where known, as of a tower's windows.
    """
    t = segment_ids.shape[1]
    blocks, _ = tpu_blocks.choose_blocks(
        t, t, head_size, causal=causal, mapped=True, longest=longest
    )
    return make_block_map(
        (segment_ids, segment_ids),
        causal=causal,
        window=window,
        block_q=blocks.block_q,
        block_k=blocks.block_k,
        longest=longest,
    )
