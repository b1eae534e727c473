"""The kernels that are measured, by name."""

from __future__ import annotations

from vsfa_jax.perf import baselines, ours

CONTENDERS = {kernel.name: kernel for kernel in (ours.OURS, *baselines.ALL)}
