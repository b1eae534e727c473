"""Every arm of the embedded world over several seeds, against the base: one table.

python -m vsfa_jax.study --config=configs/study_tiny.py --workdir=runs/study

Each arm and seed is a run of configs/tiny.py, about a minute on two CPU cores. What it should show:
the threat arm lowers attack success clear of zero and of the neutral arm, over-refusal stays,
neutral questions are answered as before, unrelated habits move. In the uncoupled world, a study in
a folder of its own, nothing but the refusal arm moves attack success. The shuffled arm breaks the
model so far that a third of its answers are neither steps nor refusals, which is no fault here:

python -m vsfa_jax.study --config=configs/study_tiny.py --workdir=runs/study_uncoupled \
    --config.model.path=tinyworld/uncoupled --config.data.path=tinyworld/uncoupled
"""

from ml_collections import ConfigDict

from configs import tiny


def get_config() -> ConfigDict:
    """The differences from configs/tiny.py."""
    config = tiny.get_config()
    config.eval_every = 0
    config.eval.per_kind = 120
    config.eval.max_unjudged = 0.5
    config.study.arms = (
        "threat",
        "neutral",
        "text_only",
        "mixed",
        "shuffled",
        "vague",
        "refusal",
    )
    config.study.seeds = (0, 1, 2)
    return config
