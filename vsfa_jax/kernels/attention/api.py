"""The one door to attention: checks shapes, chooses a backend; a named one never falls back."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import Any

import jax

from vsfa_jax.kernels.attention import auto
from vsfa_jax.kernels.attention.block_map import BlockMap, SegmentPair
from vsfa_jax.kernels.attention.sharded import over_mesh

SegmentIds = jax.Array | SegmentPair


@functools.cache
def backends() -> dict[str, ModuleType]:
    """The modules of this folder that have `attend` and `refuses`, by name."""
    names = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])]
    modules = {name: _module(name) for name in names}
    return {n: m for n, m in modules.items() if hasattr(m, "attend") and hasattr(m, "refuses")}


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{__package__}.{name}")


def _backend(name: str) -> ModuleType:
    """One backend, without the others, whose compilers may not be installed."""
    if name.isidentifier() and Path(__file__).with_name(f"{name}.py").exists():
        module = _module(name)
        if hasattr(module, "refuses"):
            return module
    raise ValueError(f"backend: found {name!r}, wanted 'auto' or one of {[*backends()]}")


def attention(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    *,
    segment_ids: SegmentIds | None = None,
    block_map: BlockMap | None = None,
    causal: bool,
    scale: float | None = None,
    window: int | None = None,
    backend: str = "auto",
    interpret: Any = False,
) -> jax.Array:
    """Softmax attention with grouped queries; rows isolate by segment id.

    On a mesh (`jax.set_mesh`) with axes of the names in `sharded.py`, rows and heads are computed
    where they lie.

    Args:
      q: [B, T, N, H].
      k: [B, S, K, H]; N is a multiple of K, query head n reads key head n // (N / K).
      v: [B, S, K, H].
      segment_ids: [B, T] int32 for T == S, or a pair ([B, T], [B, S]); 0 is padding, which
        gives zeros. A query sees keys of its own segment only. Segments must be contiguous for
        backends that skip; `block_map.check_contiguous` checks that on the host.
      block_map: of `map_blocks` for the same segment ids, causal and window; made here when
        None. Backends that skip nothing do not read it.
      causal: query t sees keys up to t + S - T.
      scale: of the scores; 1 / sqrt(H) when None.
      window: a query sees itself and this many keys to its left.
      backend: "auto" or a name of `backends()`.
      interpret: run a Pallas backend in interpret mode, True or Pallas's parameters of it.

    Returns:
      [B, T, N, H] in the dtype of q; differentiable in q, k and v.

    Raises:
      ValueError: shapes that do not fit, an unknown backend, or a named one that cannot do what is
        asked, with the reason.
    """
    _check(q, k, v, window)
    pair = _pair(segment_ids, q, k)
    if block_map is not None:
        _check_map(block_map, pair, causal, window)
    asked: dict[str, Any] = {"causal": causal, "window": window}
    if backend == "auto":
        backend = auto.choose(q, k, v, segment_ids=pair, **asked)
    module = _backend(backend)
    wanted, here = getattr(module, "PLATFORM", None), auto.platform()
    if wanted not in (None, here) and not interpret:
        raise ValueError(f"backend {backend!r}: it runs on a {wanted}, this is a {here}")
    if reason := module.refuses(q, k, v, segment_ids=pair, **asked):
        raise ValueError(f"backend {backend!r}: {reason}")
    asked["scale"] = q.shape[-1] ** -0.5 if scale is None else scale
    attend = functools.partial(module.attend, interpret=interpret, **asked)
    return over_mesh(attend, q, k, v, pair, block_map)


def _pair(segment_ids: SegmentIds | None, q: jax.Array, k: jax.Array) -> SegmentPair | None:
    """Segment ids as a pair, of the right shapes."""
    if segment_ids is None:
        return None
    pair = segment_ids if isinstance(segment_ids, tuple) else (segment_ids, segment_ids)
    for ids, rows in zip(pair, (q, k), strict=True):
        if ids.shape != rows.shape[:2]:
            raise ValueError(f"segment_ids: found {ids.shape}, wanted {rows.shape[:2]}")
    return pair


def _check_map(
    block_map: BlockMap, pair: SegmentPair | None, causal: bool, window: int | None
) -> None:
    """Refuses a map of other rows; whether it is of these segments is not looked at."""
    if pair is None:
        raise ValueError("block_map: found one without segment_ids")
    rows = (len(pair[0]), 2, pair[0].shape[1])
    found = (block_map.spans.shape, block_map.causal, block_map.window)
    if found != (rows, causal, window):
        raise ValueError(
            f"block_map: found spans, causal, window {found}, wanted {(rows, causal, window)}"
        )


def _check(q: jax.Array, k: jax.Array, v: jax.Array, window: int | None) -> None:
    if q.ndim != 4 or k.shape != v.shape or k.ndim != 4:
        raise ValueError(
            f"wanted q [B,T,N,H], k and v [B,S,K,H]; found {q.shape, k.shape, v.shape}"
        )
    if q.shape[0] != k.shape[0] or q.shape[3] != k.shape[3] or q.shape[2] % k.shape[2]:
        raise ValueError(f"q {q.shape} and k {k.shape} differ in B or H, or K does not divide N")
    if window is not None and window < 0:
        raise ValueError(f"window: found {window}, wanted at least 0")
