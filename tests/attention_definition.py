"""Attention by its definition in float64 numpy, with its gradients, and the contract's cases."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import ml_dtypes
import numpy as np


@dataclasses.dataclass(frozen=True)
class Case:
    """One use of attention; segments are lengths from the left, or a pair of them."""

    rows: int
    queries: int
    keys: int
    heads: int
    kv_heads: int
    head_size: int
    causal: bool
    segments: tuple[int, ...] | tuple[tuple[int, ...], tuple[int, ...]] | None = None
    window: int | None = None
    size: float = 1.0  # of the queries: 300 makes logits of thousands
    dtype: str = "float32"

    @property
    def is_pair(self) -> bool:
        """Whether keys have segments of their own."""
        return bool(self.segments) and isinstance(self.segments[0], tuple)

    def segment_ids(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Of queries and keys; the second row's segments are the first's in reverse order."""
        if self.segments is None:
            return None
        both = self.segments if self.is_pair else (self.segments,) * 2
        ids = []
        for lengths, width in zip(both, (self.queries, self.keys), strict=True):
            rows = [lengths if row % 2 == 0 else lengths[::-1] for row in range(self.rows)]
            ids.append(np.stack([_row(part, width) for part in rows]))
        return ids[0], ids[1]

    def arrays(self, seed: int = 0) -> tuple[np.ndarray, ...]:
        """Queries, keys, values and the gradient of the output, float64 that the dtype holds."""
        rng = np.random.default_rng(seed)
        q = (self.rows, self.queries, self.heads, self.head_size)
        k = (self.rows, self.keys, self.kv_heads, self.head_size)
        drawn = [rng.normal(size=shape) for shape in (q, k, k, q)]
        drawn[0] *= self.size
        dtype = ml_dtypes.bfloat16 if self.dtype == "bfloat16" else np.float32
        return tuple(x.astype(dtype).astype(np.float64) for x in drawn)


def _row(lengths: tuple[int, ...], width: int) -> np.ndarray:
    ids = np.repeat(np.arange(1, len(lengths) + 1), lengths)
    return np.pad(ids, (0, width - len(ids))).astype(np.int32)


def seen_keys(case: Case) -> np.ndarray:
    """[B, T, S] bool."""
    place = np.arange(case.queries)[:, None] + case.keys - case.queries
    key = np.arange(case.keys)[None]
    seen = np.ones((case.rows, case.queries, case.keys), bool)
    if case.causal or case.window is not None:
        seen &= key <= place
    if case.window is not None:
        seen &= key >= place - case.window
    ids = case.segment_ids()
    if ids is not None:
        seen &= (ids[0][:, :, None] == ids[1][:, None, :]) & (ids[0][:, :, None] > 0)
    return seen


def by_definition(case: Case, scale: float) -> tuple[np.ndarray, ...]:
    """Output and gradients of queries, keys and values, float64."""
    q, k, v, grad = case.arrays()
    group = case.heads // case.kv_heads
    out, dq = np.zeros_like(q), np.zeros_like(q)
    dk, dv = np.zeros_like(k), np.zeros_like(v)
    seen = seen_keys(case)
    for b, n in np.ndindex(case.rows, case.heads):
        at, kv = (b, slice(None), n), (b, slice(None), n // group)
        scores = np.where(seen[b], q[at] @ k[kv].T * scale, -np.inf)
        top = scores.max(-1, keepdims=True, initial=-1e300)
        weights = np.exp(scores - top)
        weights /= np.maximum(weights.sum(-1, keepdims=True), 1e-300)
        out[at] = weights @ v[kv]
        dp = grad[at] @ v[kv].T
        ds = weights * (dp - (dp * weights).sum(-1, keepdims=True)) * scale
        dq[at] = ds @ k[kv]
        dk[kv] += ds.T @ q[at]
        dv[kv] += weights.T @ grad[at]
    return out, dq, dk, dv


def errors(case: Case, found: tuple[np.ndarray, ...], wanted: tuple[np.ndarray, ...]) -> Iterator:
    """(name, largest error, allowed) of the output and of each gradient.

    In float32 1e-5 of the largest entry; in bfloat16 three times the largest error of rounding the
    float32 result. For large logits, in both, what rounding the largest score to float32 may change
    of a weight besides: such a case is about finite numbers.
    """
    q, k, _, _ = case.arrays()
    largest = np.abs(q).max() * np.abs(k).max() * case.head_size**0.5
    score_rounding = 2 * np.finfo(np.float32).eps * largest if case.size > 1 else 0.0
    for name, mine, right in zip(("out", "dq", "dk", "dv"), found, wanted, strict=True):
        single = right.astype(np.float32)
        rounded = single.astype(ml_dtypes.bfloat16).astype(np.float64)
        size = max(np.abs(right).max(), 1.0)
        allowed = 1e-5 * size
        if case.dtype == "bfloat16":
            allowed = 3 * np.abs(rounded - single).max()
        allowed += score_rounding * size
        yield name, np.abs(mine.astype(np.float64) - right).max(), allowed
