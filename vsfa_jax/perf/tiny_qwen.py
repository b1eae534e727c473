"""A small Qwen2.5-VL with random weights, and cases for it: what decoding is timed on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from PIL import Image
from tokenizers import AddedToken, Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel

from vsfa_jax import hf_checkpoint, models

LAYERS, WIDTH, VOCABULARY = 4, 256, 4096
_HIDDEN, _HEADS, _KV_HEADS = 704, 4, 2
_SPECIAL = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|image_pad|>", "<|video_pad|>"),
    *("<|vision_start|>", "<|vision_end|>", "system", "user", "assistant", "<unk>"),
)
# The turns of Qwen's own template: a system turn where there is none, marks around an image.
_TEMPLATE = (
    "{% if messages[0].role != 'system' %}<|im_start|> system SYSTEM <|im_end|> {% endif %}"
    "{% for message in messages %}<|im_start|> {{ message.role }} "
    "{% for part in message.content %}{{ '<|vision_start|> <|image_pad|> <|vision_end|>' "
    "if part.type == 'image' else part.text }} {% endfor %}<|im_end|> {% endfor %}"
    "{% if add_generation_prompt %}<|im_start|> assistant {% endif %}"
)
_PATCH, _LEAST, _MOST = 14, 28, 448  # pixels of a patch's side, and of an image's
_MEAN_STD = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])


@dataclasses.dataclass(frozen=True)
class Case:
    """A question about an image, and how long its answer is made.

    Attributes:
      conversation: as `Vlm.generate` takes it.
      length: tokens of the answer.
    """

    conversation: dict[str, Any]
    length: int


def write(directory: Path, seed: int) -> Path:
    """Writes a whole checkpoint directory, weights in float32, that transformers opens too."""
    bare = directory / "bare"
    bare.mkdir(parents=True)
    files = {
        "config.json": _config(),
        "generation_config.json": {"eos_token_id": [_SPECIAL.index("<|im_end|>")]},
        "preprocessor_config.json": _images(),
        "tokenizer_config.json": {
            "chat_template": _TEMPLATE.replace("SYSTEM", "you are a helpful assistant"),
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "tokenizer_class": "PreTrainedTokenizerFast",
            "unk_token": "<unk>",
        },
    }
    for name, content in files.items():
        (bare / name).write_text(json.dumps(content, indent=1), encoding="utf-8")
    words = [*_SPECIAL, *(f"w{n}" for n in range(VOCABULARY - len(_SPECIAL)))]
    tokenizer = Tokenizer(WordLevel({w: n for n, w in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([AddedToken(word, special=True) for word in _SPECIAL[:7]])
    tokenizer.save(str(bare / "tokenizer.json"))
    vlm = models.initialize(bare, seed)
    whole = directory / "whole"
    hf_checkpoint.write(whole, bare, models.FAMILIES[vlm.family], vlm.model, jnp.float32)
    return whole


def cases(
    number: int, seed: int, per_image: int, lengths: tuple[int, int], largest: int
) -> list[Case]:
    """Questions of 4 to 32 words about noise of mixed sizes.

    Args:
      number: of cases.
      seed: of sizes, words, lengths and pixels.
      per_image: cases that share an image.
      lengths: the least and the most tokens of an answer, uniform between them.
      largest: pixels; sides of an image are uniform from 28 to this, at most 448.
    """
    draw = np.random.default_rng(seed)
    made: list[Case] = []
    for place in range(number):
        if place % per_image == 0:
            width, height = draw.integers(_LEAST, largest, 2, endpoint=True)
            image = Image.fromarray(draw.integers(0, 256, (height, width, 3), np.uint8))
        words = draw.integers(0, VOCABULARY - len(_SPECIAL), draw.integers(4, 32, endpoint=True))
        question = "<image>" + " ".join(f"w{word}" for word in words)
        messages = [{"role": "user", "content": question}]
        length = int(draw.integers(*lengths, endpoint=True))
        made.append(Case({"images": [image], "messages": messages}, length))
    return made


def _config() -> dict[str, Any]:
    ids = {
        name: _SPECIAL.index(token)
        for name, token in (
            ("eos_token_id", "<|im_end|>"),
            ("image_token_id", "<|image_pad|>"),
            ("video_token_id", "<|video_pad|>"),
            ("vision_start_token_id", "<|vision_start|>"),
            ("vision_end_token_id", "<|vision_end|>"),
        )
    }
    text = {
        "hidden_act": "silu",
        "hidden_size": WIDTH,
        "intermediate_size": _HIDDEN,
        "max_position_embeddings": 4096,
        "model_type": "qwen2_5_vl_text",
        "num_attention_heads": _HEADS,
        "num_hidden_layers": LAYERS,
        "num_key_value_heads": _KV_HEADS,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {
            "mrope_section": [8, 12, 12],
            "rope_theta": 1e6,
            "rope_type": "default",
        },
        "use_sliding_window": False,
        "vocab_size": VOCABULARY,
    }
    vision = {
        "depth": 4,
        "fullatt_block_indexes": [1, 3],
        "hidden_act": "silu",
        "hidden_size": 128,
        "in_channels": 3,
        "intermediate_size": 352,
        "num_heads": 4,
        "out_hidden_size": WIDTH,
        "patch_size": _PATCH,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "tokens_per_second": 2,
        "window_size": 112,
    }
    return {
        **ids,
        "architectures": ["Qwen2_5_VLForConditionalGeneration"],
        "dtype": "float32",
        "model_type": "qwen2_5_vl",
        "text_config": text,
        "tie_word_embeddings": False,
        "vision_config": vision,
    }


def _images() -> dict[str, Any]:
    mean, deviation = _MEAN_STD
    return {
        "image_mean": mean,
        "image_processor_type": "Qwen2VLImageProcessor",
        "image_std": deviation,
        "merge_size": 2,
        "patch_size": _PATCH,
        "size": {"longest_edge": _MOST**2, "shortest_edge": _LEAST**2},
        "temporal_patch_size": 2,
    }
