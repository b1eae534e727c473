"""Tiny checkpoints of the world, all of their files but the weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from vsfa_jax.core.errors import ConfigError
from vsfa_jax.data.record import IMAGE_MARK
from vsfa_jax.tinyworld import vocabulary as words
from vsfa_jax.tinyworld.families import FAMILIES, special_ids
from vsfa_jax.tinyworld.narrators import ASSISTANT, WORLDS

PREFIX = "tinyworld/"
UNTRAINED = tuple(name for name in FAMILIES if name != "llava")
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


def resolve_model(path: str) -> Path | str:
    """The directory of an embedded model, or the path as it is.

        tinyworld/coupled, tinyworld/uncoupled      LLaVA-1.5, trained on the world's own text
        tinyworld/qwen3_vl ...                      another family's shapes, no weights

    Raises:
      ConfigError: an embedded model that there is not.
    """
    if not str(path).startswith(PREFIX):
        return path
    name = str(path).removeprefix(PREFIX)
    known = [*WORLDS, *UNTRAINED]
    if name not in known:
        raise ConfigError(
            f"model.path: found {path!r}, wanted one of {[PREFIX + n for n in known]}"
        )
    return _BASES / name


def write_base(directory: str | Path, family: str = "llava") -> None:
    """Writes config, tokenizer, chat template and processor files; weights are left alone."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    vocabulary = words.vocabulary()
    config, images, processor = FAMILIES[family](vocabulary)
    files = {
        "config.json": config,
        "generation_config.json": special_ids(vocabulary),
        "preprocessor_config.json": images,
        "processor_config.json": processor,
        "tokenizer_config.json": _tokenizer_config(processor["processor_class"]),
    }
    for name, content in files.items():
        text = json.dumps(content, indent=2, sort_keys=True) + "\n"
        (directory / name).write_text(text, encoding="utf-8")
    (directory / "chat_template.jinja").write_text(_TEMPLATE, encoding="utf-8")
    _tokenizer(vocabulary).save(str(directory / "tokenizer.json"))


def _tokenizer_config(processor: str) -> dict[str, Any]:
    return {
        "bos_token": words.BEGIN,
        "clean_up_tokenization_spaces": False,
        "eos_token": words.END,
        "extra_special_tokens": {"image_token": IMAGE_MARK},
        "image_token": IMAGE_MARK,
        "model_max_length": 1024,
        "pad_token": words.PAD,
        "padding_side": "left",
        "processor_class": processor,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": words.UNKNOWN,
    }


def _tokenizer(vocabulary: dict[str, int]) -> Tokenizer:
    """One id for each word between spaces."""
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=words.UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([AddedToken(word, special=True) for word in words.SPECIALS])
    return tokenizer
