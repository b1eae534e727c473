"""LoRA on Qwen2.5-VL-7B-Instruct, language model and projector, at its own resolution.

python -m vsfa_jax.train --config=configs/qwen2_5_vl_7b.py \\
    --workdir=runs/qwen2_5_vl_7b --config.data.path=DATA

DATA is a folder made by `python -m vsfa_jax.data.build`. A row holds 4,096 tokens and the patches
of two images of a megapixel. The base model is downloaded from the Hugging Face hub unless
`--config.model.path` names a directory. Not run on an accelerator yet. `mesh.tensor` divides 4 at
most: the tower's MLP is 3,420 wide.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """The differences from configs/base.py."""
    config = base.get_config()
    config.steps = 1000
    config.batch_rows = 8
    config.model.path = "Qwen/Qwen2.5-VL-7B-Instruct"
    config.model.max_pixels = 1_048_576
    config.model.dtype = "bfloat16"
    config.train.remat = "blocks"
    config.train.vision_remat = "blocks"
    config.lora.rank = 16
    config.lora.alpha = 32.0
    config.lora.targets = ("attention", "mlp", "projector")
    config.optimizer.learning_rate = 1e-4
    config.optimizer.warmup_steps = 30
    config.data.path = "data/threat_vqa"
    config.data.budgets = ((4096, 10_752),)
    config.data.num_threads = 8
    config.eval.batch_size = 16
    config.probe.batch_size = 16
    config.mesh.data = 1
    config.mesh.fsdp = -1
    return config
