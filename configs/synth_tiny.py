"""A whole set offline: drawn pictures, a teacher who knows them, all arms.

python -m vsfa_jax.synth --config=configs/synth_tiny.py --out=sets/drawn
python -m vsfa_jax.train --config=configs/tiny.py --workdir=runs/drawn \
    --config.data.path=sets/drawn --config.data.arm=threat

Under a minute on two CPU cores. What it should show: six arms in one set, answers of equally many
tokens in five of them, and a set that trains the embedded world's small base.
"""

from ml_collections import ConfigDict

from configs import synth_base


def get_config() -> ConfigDict:
    """The differences from configs/synth_base.py."""
    config = synth_base.get_config()
    config.images.per_prompt = 12
    config.images.duplicate_bits = 0  # drawn scenes are few shapes on plain grounds: all look alike
    # The world speaks in single words, and in few of them.
    config.filters.equal_answers = 1.0
    config.filters.equal_short_answers = 1.0
    config.arms.tokenizer = "tinyworld/coupled"
    config.arms.text_template = "in the image there are {description} : {question}"
    config.set.name = "Drawn threat VQA"
    config.set.licence = "cc0-1.0"
    return config
