"""What a run looks at every `eval_every` steps: the held-out loss, and a few answers.

Only what an offline judge can judge is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jax
from flax import nnx

from vsfa_jax import benchmarks, judges, step, tables
from vsfa_jax.answering import answers
from vsfa_jax.assemble import Assembly
from vsfa_jax.benchmarks.case import Case
from vsfa_jax.core.config import Settings
from vsfa_jax.input import make_input, place
from vsfa_jax.vision_cache import VisionCache


class Probe:
    """Held-out loss over one pass of the validation split, and rates over a few cases."""

    def __init__(
        self,
        settings: Settings,
        assembly: Assembly,
        workdir: Path,
        cache: VisionCache | None = None,
    ):
        self.settings, self.assembly = settings, assembly
        self.held_out = make_input(settings, assembly, "validation", workdir, cache)
        self.eval_step = jax.jit(step.make_eval_step(assembly.split.structure))
        self.cases: list[Case] = []
        options = settings.eval
        if settings.probe.per_kind:
            cases = benchmarks.load(
                options.benchmarks,
                per_kind=settings.probe.per_kind,
                seed=options.seed,
                root=Path(options.root) if options.root else None,
            )
            self.cases = [case for case in cases if judges.is_offline(_judge(case))]

    def run(self, params: nnx.State, stopped: Callable[[], bool]) -> dict[str, float]:
        """Rows of metrics: `held_out_loss`, and `probe_NAME` for each measure.

        Args:
          params: what is trained.
          stopped: asked between batches, on every process alike; True ends the probe, and what is
            not known yet is left out, so that a signal need not wait for all of it.
        """
        found = self._loss(params, stopped)
        return found if stopped() else {**found, **self._rates(params, stopped)}

    def _loss(self, params: nnx.State, stopped: Callable[[], bool]) -> dict[str, float]:
        total = tokens = 0.0
        for batch in self.held_out.pipeline.one_pass():
            if stopped():
                return {}
            placed = place(batch, self.settings, self.assembly.mesh)
            loss, count = self.eval_step(params, self.assembly.split.frozen, placed)
            total, tokens = total + float(loss), tokens + float(count)
        return {"held_out_loss": total / tokens}

    def _rates(self, params: nnx.State, stopped: Callable[[], bool]) -> dict[str, float]:
        probe, model, said = self.settings.probe, self.assembly.with_params(params), []
        for start in range(0, len(self.cases), probe.batch_size):
            if stopped():
                return {}
            said += answers(
                model,
                self.cases[start : start + probe.batch_size],
                name="tuned",
                max_new_tokens=probe.max_new_tokens,
                temperature=probe.temperature,
                batch_size=probe.batch_size,
                seed=self.settings.eval.seed,
            )
        verdicts = judges.judge_all(
            self.cases, said, lambda case: [_judge(case)], self.settings.judge
        )
        rates: dict[str, float] = {}
        for row in tables.table(self.cases, verdicts):
            rate = row.rates["tuned"].rate
            if row.category == tables.ALL and rate is not None:
                rates[f"probe_{row.measure.name}"] = rate
        return rates


def _judge(case: Case) -> str:
    return benchmarks.judges_of(case.benchmark)[case.kind]
