"""What a run looks at every `eval_every` steps: the held-out loss, and a few answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
from flax import nnx

from vsfa_jax import benchmarks, judges, step, tables
from vsfa_jax.answering import answers
from vsfa_jax.assemble import Assembly
from vsfa_jax.core.config import Settings
from vsfa_jax.data.batch import Batch
from vsfa_jax.input import make_input
from vsfa_jax.mesh import batch_sharding


class Probe:
    """Held-out loss over one pass of the validation split, and rates over a few cases."""

    def __init__(self, settings: Settings, assembly: Assembly, workdir: Path):
        self.settings, self.assembly = settings, assembly
        self.held_out = make_input(settings, assembly.vlm.processor, "validation", workdir)
        self.eval_step = jax.jit(step.make_eval_step(assembly.split.graph))
        self.cases = []
        if settings.probe.per_kind:
            self.cases = benchmarks.load(
                settings.eval.benchmarks, per_kind=settings.probe.per_kind, seed=settings.eval.seed
            )

    def run(self, params: nnx.State) -> dict[str, float]:
        """Rows of metrics: `held_out_loss`, and `probe_NAME` for each measure."""
        return {"held_out_loss": self._loss(params), **self._rates(params)}

    def _loss(self, params: nnx.State) -> float:
        total = tokens = 0.0
        sharding = batch_sharding(self.assembly.mesh)
        rows = self.held_out.plan.rows_per_epoch
        for number in range(max(1, rows // self.settings.batch_rows)):
            _, batch, _ = self.held_out.pipeline.load(number)
            placed: Batch = jax.tree.map(
                lambda leaf: jax.make_array_from_process_local_data(sharding, leaf), batch
            )
            loss, count = self.eval_step(params, self.assembly.split.frozen, placed)
            total, tokens = total + float(loss), tokens + float(count)
        return total / tokens

    def _rates(self, params: nnx.State) -> dict[str, float]:
        if not self.cases:
            return {}
        probe = self.settings.probe
        said = answers(
            self.assembly.with_params(params),
            self.cases,
            name="tuned",
            max_new_tokens=probe.max_new_tokens,
            temperature=probe.temperature,
            batch_size=probe.batch_size,
            seed=self.settings.eval.seed,
        )
        judge_of = {c.benchmark: benchmarks.find(c.benchmark).JUDGE for c in self.cases}
        verdicts = judges.judge_all(self.cases, said, judge_of)
        rates: dict[str, Any] = {}
        for row in tables.table(self.cases, verdicts):
            rate = row.rates["tuned"].rate
            if row.category == tables.ALL and rate is not None:
                rates[f"probe_{row.measure.name}"] = rate
        return rates
