"""LoRA on LLaVA-v1.6-Mistral-7B, language model and projector, at its own resolution.

python -m vsfa_jax.train --config=configs/llava_1_6_mistral_7b.py \\
    --workdir=runs/llava_1_6_mistral_7b --config.data.path=DATA

DATA is a folder made by `python -m vsfa_jax.data.build`. A row holds 4,096 tokens and the patches
of one image of five tiles, at up to 672 x 672 pixels. The base model is downloaded from the
Hugging Face hub unless `--config.model.path` names a directory. Not run on an accelerator yet.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """The differences from configs/base.py."""
    config = base.get_config()
    config.steps = 1000
    config.batch_rows = 8
    config.model.path = "llava-hf/llava-v1.6-mistral-7b-hf"
    # Its config.json leaves most shapes of the language model to its library.
    config.model.completed_from = "llava-1.6-mistral-7b"
    config.model.dtype = "bfloat16"
    config.train.remat = "blocks"
    config.train.vision_remat = "blocks"
    config.lora.rank = 16
    config.lora.alpha = 32.0
    config.lora.targets = ("attention", "mlp", "projector")
    config.optimizer.learning_rate = 1e-4
    config.optimizer.warmup_steps = 30
    config.data.path = "data/threat_vqa"
    config.data.budgets = ((4096, 2885),)
    config.data.num_threads = 8
    config.eval.batch_size = 16
    config.probe.batch_size = 16
    config.mesh.data = 1
    config.mesh.fsdp = -1
    return config
