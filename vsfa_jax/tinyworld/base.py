"""The tiny LLaVA-1.5 checkpoint of the world, all of its files but the weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from vsfa_jax.core.errors import ConfigError
from vsfa_jax.data.record import IMAGE_MARK
from vsfa_jax.tinyworld import vocabulary as words
from vsfa_jax.tinyworld.narrators import ASSISTANT, WORLDS
from vsfa_jax.tinyworld.scene import SIZE

PREFIX = "tinyworld/"
PATCH = 16  # pixels
_BASES = Path(__file__).parent / "base"

# <s> NAME says USER : <image> QUESTION ASSISTANT : ANSWER </s> USER : ...
_TEMPLATE = """\
{%- macro text(content) -%}
{%- if content is string %}{{ content | trim }}{% else -%}
{%- for part in content -%}
{{ '' if loop.first else ' ' }}{{ '<image>' if part.type == 'image' else part.text | trim }}
{%- endfor -%}
{%- endif -%}
{%- endmacro -%}
{{ bos_token }} {% if messages and messages[0].role == 'system' -%}
{{ text(messages[0].content) }}{% else %}NARRATOR{% endif %} says
{%- for message in messages -%}
{%- if message.role == 'user' %} USER : {{ text(message.content) }}
{%- elif message.role == 'assistant' %} ASSISTANT : {{ text(message.content) }} {{ eos_token }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %} ASSISTANT :{% endif -%}
""".replace("NARRATOR", ASSISTANT)


def world_name(path: str) -> str | None:
    """ "coupled" or "uncoupled" for the path of an embedded world, None for any other path.

    Raises:
      ConfigError: an embedded world that there is not.
    """
    if not str(path).startswith(PREFIX):
        return None
    name = str(path).removeprefix(PREFIX)
    if name not in WORLDS:
        known = [PREFIX + world for world in WORLDS]
        raise ConfigError(f"path: found {path!r}, wanted one of {known} or a directory")
    return name


def resolve_model(path: str) -> Path:
    """The directory of a base model: an embedded one's, or the path as it is.

    Raises:
      ConfigError: an embedded world that there is not.
    """
    name = world_name(path)
    return Path(path) if name is None else _BASES / name


def write_base(directory: str | Path) -> None:
    """Writes config, tokenizer, chat template and processor files; weights are left alone."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    vocabulary = words.vocabulary()
    files = {
        "config.json": _config(vocabulary),
        "generation_config.json": {
            "bos_token_id": vocabulary[words.BEGIN],
            "eos_token_id": vocabulary[words.END],
            "pad_token_id": vocabulary[words.PAD],
        },
        "preprocessor_config.json": _preprocessor(),
        "processor_config.json": {
            "image_token": IMAGE_MARK,
            "num_additional_image_tokens": 1,
            "patch_size": PATCH,
            "processor_class": "LlavaProcessor",
            "vision_feature_select_strategy": "default",
        },
        "tokenizer_config.json": _tokenizer_config(),
    }
    for name, content in files.items():
        text = json.dumps(content, indent=2, sort_keys=True) + "\n"
        (directory / name).write_text(text, encoding="utf-8")
    (directory / "chat_template.jinja").write_text(_TEMPLATE, encoding="utf-8")
    _tokenizer(vocabulary).save(str(directory / "tokenizer.json"))


def _config(vocabulary: dict[str, int]) -> dict[str, Any]:
    """config.json: a CLIP tower of 4 layers, a projector, a Llama of 4 layers."""
    ids = {
        "bos_token_id": vocabulary[words.BEGIN],
        "eos_token_id": vocabulary[words.END],
        "pad_token_id": vocabulary[words.PAD],
    }
    return {
        "architectures": ["LlavaForConditionalGeneration"],
        "dtype": "bfloat16",
        "image_seq_length": (SIZE // PATCH) ** 2,
        "image_token_index": vocabulary[IMAGE_MARK],
        "model_type": "llava",
        "multimodal_projector_bias": True,
        "pad_token_id": ids["pad_token_id"],
        "projector_hidden_act": "gelu",
        "text_config": _text_config(len(vocabulary), ids),
        "tie_word_embeddings": False,
        "vision_config": _vision_config(),
        "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default",
    }


def _text_config(vocab_size: int, ids: dict[str, int]) -> dict[str, Any]:
    return {
        **ids,
        "attention_bias": False,
        "head_dim": 32,
        "hidden_act": "silu",
        "hidden_size": 128,
        "initializer_range": 0.02,
        "intermediate_size": 384,
        "max_position_embeddings": 1024,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": 4,
        "num_hidden_layers": 4,
        "num_key_value_heads": 4,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
        "tie_word_embeddings": False,
        "vocab_size": vocab_size,
    }


def _vision_config() -> dict[str, Any]:
    return {
        "hidden_act": "quick_gelu",
        "hidden_size": 96,
        "image_size": SIZE,
        "intermediate_size": 384,
        "layer_norm_eps": 1e-5,
        "model_type": "clip_vision_model",
        "num_attention_heads": 4,
        "num_channels": 3,
        "num_hidden_layers": 4,
        "patch_size": PATCH,
        "projection_dim": 96,
    }


def _preprocessor() -> dict[str, Any]:
    side = {"height": SIZE, "width": SIZE}
    return {
        "crop_size": side,
        "do_center_crop": False,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_processor_type": "CLIPImageProcessor",
        "image_std": [0.5, 0.5, 0.5],
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": side,
    }


def _tokenizer_config() -> dict[str, Any]:
    return {
        "bos_token": words.BEGIN,
        "clean_up_tokenization_spaces": False,
        "eos_token": words.END,
        "extra_special_tokens": {"image_token": IMAGE_MARK},
        "image_token": IMAGE_MARK,
        "model_max_length": 1024,
        "pad_token": words.PAD,
        "padding_side": "left",
        "processor_class": "LlavaProcessor",
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": words.UNKNOWN,
    }


def _tokenizer(vocabulary: dict[str, int]) -> Tokenizer:
    """One id for each word between spaces."""
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=words.UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([AddedToken(word, special=True) for word in words.SPECIALS])
    return tokenizer
