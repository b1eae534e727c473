"""What a plan takes for granted of things that the data decide: segments, trained rows, branches.

The worst that the shapes allow, unless it is told better:

    attention    every row is one segment, so that no tile is skipped
    loss         every token that may be is trained
    decoding     no answer ends before its last token
    the tower    a window is full; of Qwen2.5-VL's two branches each as often as layers take it
"""

from __future__ import annotations

import math
from typing import Any

from vsfa_jax.kernels.cross_entropy.api import CHUNK
from vsfa_jax.planning.cost import Kernel, KernelFlops, Shares
from vsfa_jax.planning.hlo import HloError, Instruction
from vsfa_jax.planning.loops import Trips
from vsfa_jax.planning.scopes import scopes_of

_DECODE = "decode/while"  # how the name of the loop over new tokens ends
_MATMULS = {"attention_forward": 2, "attention_backward": 5}


def attention_pairs(queries: int, keys: int, *, causal: bool, longest: int | None = None) -> float:
    """Pairs of a query and a key that attention of one head looks at.

    Args:
      queries: T.
      keys: S.
      causal: whether query t sees keys up to t + S - T only.
      longest: the most tokens of a segment; None for the whole row.
    """
    if longest is not None and longest < min(queries, keys):
        whole, rest = divmod(queries, longest)
        one, last = (attention_pairs(n, n, causal=causal) for n in (longest, rest))
        return whole * one + last
    hidden = queries * (queries - 1) / 2 if causal else 0.0
    return queries * keys - hidden


def kernel_flops(window_patches: int | None = None) -> KernelFlops:
    """FLOPs of our attention kernels: two matmuls a pair forward, five backward.

    Text is causal, patches are not; tiles that a mask cuts count by the pairs that are seen.

    Args:
      window_patches: the most patches of a window, where the tower has such.

    Returns:
      What `cost.measure` takes; it raises HloError for a kernel that is not ours.
    """

    def flops(kernel: Kernel) -> float:
        if kernel.name not in _MATMULS:
            raise HloError(f"kernel {kernel.name!r}: wanted one of {[*_MATMULS]}")
        rows, heads, queries, keys, size = _attention_shape(kernel)
        scopes = scopes_of(kernel.op_name)
        longest = window_patches if "window" in scopes else None
        pairs = attention_pairs(queries, keys, causal="vision" not in scopes, longest=longest)
        return 2.0 * _MATMULS[kernel.name] * rows * heads * pairs * size

    return flops


def _attention_shape(kernel: Kernel) -> tuple[int, int, int, int, int]:
    """B, N, T, S and H as padded, whichever way round the kernel takes its arrays."""
    arrays = (*kernel.operands, *kernel.results)
    sums = [array for array in arrays if len(array.dims) == 4 and array.dims[2] == 1]
    query, key, *_ = (array for array in kernel.operands if len(array.dims) == 4)
    if not sums:
        raise HloError(f"kernel {kernel.name!r}: found no log-sum-exp [B, N, 1, T]")
    rows, heads, _, queries = sums[0].dims
    size = query.size // (rows * heads * queries)
    return rows, heads, queries, key.size // (rows * key.dims[1] * size), size


def loss_trips(trained_rows: int, chunk: int = CHUNK) -> Trips:
    """Trip counts of the loss's loops over chunks and quarters of them.

    Args:
      trained_rows: of the device that has most.
      chunk: rows of one.
    """
    quarter = max(1, chunk // 4)
    chunks = max(0, math.ceil((trained_rows - (chunk - quarter)) / chunk))
    quarters = max(0, math.ceil((trained_rows - chunks * chunk) / quarter))

    def trips(loop: Instruction) -> float | None:
        scopes = scopes_of(loop.op_name)
        if "chunks" in scopes:
            return chunks
        return quarters if "quarters" in scopes else None

    return trips


def trips(trained_rows: int, new_tokens: int) -> Trips:
    """Trip counts of every loop that ends by the data.

    Args:
      trained_rows: of the device that has most.
      new_tokens: that every answer has.
    """
    of_loss = loss_trips(trained_rows)

    def found(loop: Instruction) -> float | None:
        if loop.op_name.endswith(_DECODE):
            return new_tokens
        return of_loss(loop)

    return found


def tower_shares(config: Any) -> Shares:
    """How often a tower's layers see a window (the first branch) and the whole image.

    Args:
      config: a family's; only Qwen2.5-VL's tower has two branches.
    """
    full = getattr(config.vision, "full_layers", ())

    def shares(conditional: Instruction) -> tuple[float, float] | None:
        if not full or "vision" not in scopes_of(conditional.op_name):
            return None
        share = len(full) / config.vision.blocks.num_layers
        return 1 - share, share

    return shares


def window_patches(config: Any) -> int | None:
    """The most patches of a window of a family's tower; None where there are no windows."""
    return getattr(config.vision, "window_patches", None)
