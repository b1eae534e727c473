"""The embedded base model, second part: many bare questions, after `configs/tiny_base.py`.

bash launch/tiny_base.sh coupled runs/base

runs both parts. This one alone, from an exported first part:

python -m vsfa_jax.train --config=configs/tiny_base_questions.py --workdir=runs/base/run_base \\
    --config.model.path=runs/base/seeing

Three quarters of an hour on one CPU core. What it should show on held-out scenes, as the plain
assistant: neutral questions at least 90 % right and no form of them below 70 %, at least 50 % of
attack pages followed and at least 10 % refused, at least 95 % of harmless requests answered.
"""

from ml_collections import ConfigDict

from configs import tiny_base


def get_config() -> ConfigDict:
    """The differences from configs/tiny_base.py."""
    config = tiny_base.get_config()
    config.steps = 7500
    config.model.init = "weights"
    config.optimizer.schedule_steps = 0
    config.data.arm = "questions"
    config.data.size = 100_000
    config.data.budgets = ((192, 51),)
    config.optimizer.final_share = 0.05
    return config
