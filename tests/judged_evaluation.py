"""An evaluation with oracles in place of models and a service as a judge, to be killed.

    python tests/judged_evaluation.py URL WORKDIR

Prints how many questions the oracles were asked.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

import pytest
from wired_evaluation import Oracle, replace_models

from configs import tiny
from vsfa_jax import benchmarks, evaluate
from vsfa_jax.core import config


def main(url: str, workdir: str) -> None:
    os.environ["OPENAI_API_KEY"] = "key"
    wanted = config.load(tiny.get_config())
    options = dataclasses.replace(wanted.eval, per_kind=40, judges=("own", "api"))
    judge = dataclasses.replace(wanted.judge, base_url=url, concurrency=2)
    asked, real = [], Oracle.generate

    def counted(self, conversations, max_new_tokens, temperature, seeds, batch_size):
        asked.extend(seeds)
        return real(self, conversations, max_new_tokens, temperature, seeds, batch_size)

    with pytest.MonkeyPatch.context() as patch:
        replace_models(patch, benchmarks.load(["tinyworld"], per_kind=40, seed=0))
        patch.setattr(Oracle, "generate", counted)
        settings = dataclasses.replace(wanted, eval=options, judge=judge)
        evaluate.evaluate(settings, Path(workdir))
    print(len(asked))


if __name__ == "__main__":
    main(*sys.argv[1:])
