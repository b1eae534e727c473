"""Attacks, refusals, help and ability on the published sets, for a run's base and tuned model.

python -m vsfa_jax.evaluate --config=configs/eval_safety.py --workdir=RUN \
    --config.eval.root=SETS

SETS holds your own copy of each set under its name. Every case of ten sets is answered by the base,
three defences on it and the tuned model: some 23,000 cases, so that an accelerator is wanted. The
judges of attacks ask a service, which costs money: the key is read from OPENAI_API_KEY, and
`--config.judge.budget_usd` bounds it. What it should show: for each row attack success by set,
over-refusal, constructive score and ability, with intervals, and where two judges disagree.

A checkpoint that was not trained here is evaluated alone, without a run in the workdir, by
`--config.model.path=CHECKPOINT --config.eval.tuned=False`.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """The differences from configs/base.py."""
    config = base.get_config()
    config.model.path = ""
    config.eval.name = "safety"
    config.eval.root = "sets"
    config.eval.benchmarks = (
        "figstep",
        "mm_safetybench",
        "spa_vl",
        "vlguard",
        "xstest",
        "mossbench",
        "mm_vet",
        "pope",
        "mmmu",
        "scienceqa",
    )
    config.eval.per_kind = 0
    config.eval.defences = ("adashield_s", "ecso", "system_prompt")
    config.eval.judges = ("api", "refusal")
    config.eval.constructive = True
    config.eval.max_new_tokens = 256
    config.eval.temperature = 0.0
    return config
