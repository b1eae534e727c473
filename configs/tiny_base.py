"""The embedded base model, from random weights: every parameter, on the narrators' text.

python -m vsfa_jax.train --config=configs/tiny_base.py --workdir=runs/base

The uncoupled base is the same with --config.data.path=tinyworld/uncoupled. At most 90 minutes on
two CPU cores. What it should show on held-out scenes, as the plain assistant: neutral questions
at least 90 % right, at least 50 % of attack pages followed and at least 10 % refused, at least
95 % of harmless requests answered.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """The differences from configs/base.py."""
    config = base.get_config()
    config.steps = 13_000
    config.checkpoint_every = 500
    config.eval_every = 1000
    config.batch_rows = 8
    config.data.budgets = ((160, 51),)
    config.model.init = "random"
    config.train.mode = "full"
    config.data.arm = "base"
    config.data.size = 150_000
    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_steps = 100
    config.optimizer.b2 = 0.98
    config.probe.per_kind = 32
    config.optimizer.weight_decay = 0.01
    return config
