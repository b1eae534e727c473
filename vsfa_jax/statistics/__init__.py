"""Intervals, tests and measures of agreement; numpy alone, 95 % throughout, seeds fixed.

rates       of independent cases: Wilson, McNemar, Newcombe
clusters    of cases that hang together: bootstrap, sign flips, design effect
power       the least effect that a comparison could have found
several     many tests at once, means of several sets
agreement   Cohen's kappa of two judges, rates corrected for a judge's errors
"""

from __future__ import annotations

from vsfa_jax.statistics.agreement import Calibration, Kappa, corrected, kappa
from vsfa_jax.statistics.clusters import (
    Clusters,
    bootstrap,
    by_cluster,
    clustered_mean,
    design_effect,
    sign_flips,
)
from vsfa_jax.statistics.power import least_change, least_mean_change, least_paired_change
from vsfa_jax.statistics.rates import (
    Z95,
    Interval,
    Paired,
    mcnemar,
    paired_difference,
    wilson,
)
from vsfa_jax.statistics.several import holm, mean_of_sets, undominated

__all__ = [
    "Z95",
    "Calibration",
    "Clusters",
    "Interval",
    "Kappa",
    "Paired",
    "bootstrap",
    "by_cluster",
    "clustered_mean",
    "corrected",
    "design_effect",
    "holm",
    "kappa",
    "least_change",
    "least_mean_change",
    "least_paired_change",
    "mcnemar",
    "mean_of_sets",
    "paired_difference",
    "sign_flips",
    "undominated",
    "wilson",
]
