"""The one door to attention: checks shapes, chooses a backend; a named one never falls back."""

from __future__ import annotations

import jax

from vsfa_jax.kernels.attention.reference import attend

BACKENDS = {"reference": attend}

SegmentIds = jax.Array | tuple[jax.Array, jax.Array]


def attention(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    *,
    segment_ids: SegmentIds | None = None,
    block_map: jax.Array | None = None,
    causal: bool,
    scale: float | None = None,
    window: int | None = None,
    backend: str = "auto",
    interpret: bool = False,
) -> jax.Array:
    """Softmax attention with grouped queries; rows isolate by segment id.

    Args:
      q: [B, T, N, H].
      k: [B, S, K, H]; N is a multiple of K, query head n reads key head n // (N / K).
      v: [B, S, K, H].
      segment_ids: [B, T] int32 for T == S, or a pair ([B, T], [B, S]); 0 is padding, which
        gives zeros. A query sees keys of its own segment only.
      block_map: which key blocks each query block visits; only kernels that skip use one.
      causal: query t sees keys up to t + S - T.
      scale: of the scores; 1 / sqrt(H) when None.
      window: a query sees itself and this many keys to its left.
      backend: "auto" or a name of `BACKENDS`.
      interpret: run a Pallas backend in interpret mode; the reference ignores it.

    Returns:
      [B, T, N, H] in the dtype of q.

    Raises:
      ValueError: shapes that do not fit, an unknown backend, or one that cannot do what is asked.
    """
    name = "reference" if backend == "auto" else backend
    if name not in BACKENDS:
        raise ValueError(f"backend: found {backend!r}, wanted 'auto' or one of {sorted(BACKENDS)}")
    if block_map is not None:
        raise ValueError(f"backend {name!r} takes no block_map: it masks and does not skip")
    _check(q, k, v)
    if segment_ids is not None and not isinstance(segment_ids, tuple):
        segment_ids = (segment_ids, segment_ids)
    if segment_ids is not None:
        for ids, rows in zip(segment_ids, (q, k), strict=True):
            if ids.shape != rows.shape[:2]:
                raise ValueError(f"segment_ids: found {ids.shape}, wanted {rows.shape[:2]}")
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    return BACKENDS[name](
        q, k, v, segment_ids=segment_ids, causal=causal, scale=scale, window=window
    )


def _check(q: jax.Array, k: jax.Array, v: jax.Array) -> None:
    if q.ndim != 4 or k.shape != v.shape or k.ndim != 4:
        raise ValueError(
            f"wanted q [B,T,N,H], k and v [B,S,K,H]; found {q.shape, k.shape, v.shape}"
        )
    if q.shape[0] != k.shape[0] or q.shape[3] != k.shape[3] or q.shape[2] % k.shape[2]:
        raise ValueError(f"q {q.shape} and k {k.shape} differ in B or H, or K does not divide N")
