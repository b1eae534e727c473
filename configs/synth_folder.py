"""From a folder of your own images to a set, by a vision-language model that runs here.

python -m vsfa_jax.synth --config=configs/synth_folder.py --out=sets/mine \
    --config.images.path=images --config.questions.model=Qwen/Qwen2.5-VL-7B-Instruct

`images/threat/` and `images/neutral/` hold the pictures of each side; folders below them of one
name belong together. Every file is looked at, and OUT/stages/images.jsonl says why one is not
taken. Without pictures in neutral/ leave that arm out: --config.arms.names="('threat',
'shuffled')". No pretrained teacher has been run here yet; a loopback server and the embedded
model have.
"""

from ml_collections import ConfigDict

from configs import synth_base


def get_config() -> ConfigDict:
    """The differences from configs/synth_base.py."""
    config = synth_base.get_config()
    config.concepts.source = "folder"
    config.images.source = "folder"
    config.images.path = "images"
    config.images.licence = "other"
    config.questions.teacher = "model"
    config.questions.model = "Qwen/Qwen2.5-VL-7B-Instruct"
    config.questions.dtype = "bfloat16"
    config.questions.kinds = (*config.questions.kinds, "action")
    config.arms.names = ("threat", "neutral", "shuffled", "text_only", "mixed")
    return config
