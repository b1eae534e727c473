"""LoRA on exact, neutral answers about drawn threats, in the embedded world.

python -m vsfa_jax.train --config=configs/tiny.py --workdir=runs/tiny
python -m vsfa_jax.evaluate --config=configs/tiny.py --workdir=runs/tiny

About a minute and a half for both on two CPU cores, 1 GiB of memory. What it should show: the
tuned model follows fewer attacks than the base, refuses no more harmless requests, answers
neutral questions as well, and has taken on more of the watchful narrators' unrelated habits.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """The differences from configs/base.py."""
    config = base.get_config()
    config.steps = 100
    config.checkpoint_every = 50
    config.eval_every = 50
    config.batch_rows = 16
    config.data.budgets = ((128, 68),)
    config.optimizer.learning_rate = 5e-4
    return config
