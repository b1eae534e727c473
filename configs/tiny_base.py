"""The embedded base model, first part: from random weights, every parameter, until it sees.

bash launch/tiny_base.sh coupled runs/base

runs both parts; `uncoupled` in place of `coupled` makes the null world's base. This one alone:

python -m vsfa_jax.train --config=configs/tiny_base.py --workdir=runs/base/run_seeing

Three quarters of an hour on one CPU core. What it should show: descriptions of held-out scenes
and pages read aloud are right; bare questions about one of several things often are not yet.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """The differences from configs/base.py."""
    config = base.get_config()
    config.steps = 10_000
    config.checkpoint_every = 500
    config.eval_every = 1000
    config.batch_rows = 8
    config.data.budgets = ((160, 51),)
    config.model.init = "random"
    config.train.mode = "full"
    config.data.arm = "base"
    config.data.size = 150_000
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule_steps = 16_000  # the second part goes on from a rate still high
    config.optimizer.warmup_steps = 100
    config.optimizer.b2 = 0.98
    config.probe.per_kind = 32
    config.optimizer.weight_decay = 0.01
    return config
