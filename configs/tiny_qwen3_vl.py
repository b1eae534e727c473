"""A tiny Qwen3-VL from random weights, every parameter, in the embedded world.

python -m vsfa_jax.train --config=configs/tiny_qwen3_vl.py --workdir=runs/tiny_qwen3_vl
python -m vsfa_jax.evaluate --config=configs/tiny_qwen3_vl.py --workdir=runs/tiny_qwen3_vl

Two to four minutes for both on two CPU cores. What it should show: the family's whole way from
records to answers, and a loss that falls; in so few steps the model learns to speak, not to see.
"""

from ml_collections import ConfigDict

from configs import tiny_base


def get_config() -> ConfigDict:
    """The differences from configs/tiny_base.py."""
    config = tiny_base.get_config()
    config.steps = 200
    config.checkpoint_every = 100
    config.eval_every = 100
    config.model.path = "tinyworld/qwen3_vl"
    config.data.size = 5000
    config.data.budgets = ((160, 192),)
    config.optimizer.schedule_steps = 0
    config.probe.per_kind = 16
    return config
