"""Random checkpoints of every family, made by transformers itself, small enough for a test."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    MistralConfig,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import (
    LlavaNextImageProcessorPil,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

WORDS = (
    *("what", "is", "this", "how", "many", "red", "blue", "a", "knife", "two", "in", "the"),
    *("picture", "yes", "no", "one", "describe", "it", "you", "help"),
)
SPECIALS = (
    *("<pad>", "<s>", "</s>", "<unk>", "<image>", "USER", "ASSISTANT", ":"),
    *("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"),
    *("system", "user", "assistant"),
)
VOCABULARY = {word: number for number, word in enumerate([*SPECIALS, *WORDS])}

LLAVA_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ {'user': ' USER :', 'assistant': ' ASSISTANT :', 'system': ' '}[m.role] }}"
    "{% for p in m.content %}{{ ' <image>' if p.type == 'image' else ' ' + p.text }}{% endfor %}"
    "{% if m.role == 'assistant' %} </s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %} ASSISTANT :{% endif %}"
)
# As Qwen's own: a system turn is added where there is none, images stand between marks.
QWEN_TEMPLATE = (
    "{% if messages[0].role != 'system' %}<|im_start|> system\nyou help <|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|> {{ m.role }}\n"
    "{% for p in m.content %}"
    "{{ ' <|vision_start|><|image_pad|><|vision_end|>' if p.type == 'image' else ' ' + p.text }}"
    "{% endfor %} <|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|> assistant\n{% endif %}"
)
HALVES = {"image_mean": [0.5, 0.4, 0.6], "image_std": [0.5, 0.3, 0.4]}
HEADS = {4: (4, 4), 2: (4, 2), 1: (7, 1)}  # keys' heads -> heads of queries and keys


def llava(directory: Path, *, kv_heads: int = 2, tied: bool = False, layer: int = -2) -> Any:
    """LLaVA-1.5: images of 16 x 16 pixels, 16 patches."""
    config = LlavaConfig(
        vision_config=_clip(),
        text_config=LlamaConfig(**_text(kv_heads), tie_word_embeddings=tied),
        image_token_index=VOCABULARY["<image>"],
        vision_feature_layer=layer,
        tie_word_embeddings=tied,
    )
    side = {"height": 16, "width": 16}
    CLIPImageProcessorPil(size=side, crop_size=side, **HALVES).save_pretrained(directory)
    return LlavaForConditionalGeneration(config), LLAVA_TEMPLATE


def llava_next(directory: Path, *, kv_heads: int = 2, tied: bool = False, window: int = 64) -> Any:
    """LLaVA-NeXT on Mistral: tiles of 16 x 16 pixels, up to four of them."""
    pinpoints = [[16, 32], [32, 16], [32, 32], [48, 16], [16, 48]]
    text = MistralConfig(**_text(kv_heads), tie_word_embeddings=tied, sliding_window=window)
    config = LlavaNextConfig(
        vision_config=_clip(),
        text_config=text,
        image_token_index=VOCABULARY["<image>"],
        image_grid_pinpoints=pinpoints,
        tie_word_embeddings=tied,
    )
    LlavaNextImageProcessorPil(
        size={"shortest_edge": 16},
        crop_size={"height": 16, "width": 16},
        image_grid_pinpoints=pinpoints,
        **HALVES,
    ).save_pretrained(directory)
    return LlavaNextForConditionalGeneration(config), LLAVA_TEMPLATE


def qwen2_5_vl(directory: Path, *, kv_heads: int = 2, tied: bool = False) -> Any:
    """Qwen2.5-VL: patches of 4 pixels, windows of 2 x 2 merged patches."""
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}
    text = {**_text(kv_heads), "rope_parameters": rope, "tie_word_embeddings": tied}
    config = Qwen2_5_VLConfig(
        text_config=text,
        vision_config={
            **{"depth": 4, "hidden_size": 24, "intermediate_size": 40, "num_heads": 3},
            **{"patch_size": 4, "window_size": 16, "fullatt_block_indexes": [1, 3]},
            "out_hidden_size": text["hidden_size"],
        },
        **_qwen_ids(),
        tie_word_embeddings=tied,
    )
    _qwen_images(directory)
    return Qwen2_5_VLForConditionalGeneration(config), QWEN_TEMPLATE


def qwen3_vl(directory: Path, *, kv_heads: int = 2, tied: bool = False) -> Any:
    """Qwen3-VL: patches of 4 pixels, a 6 x 6 position table, DeepStack from layers 1 and 3."""
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]}
    rope["mrope_interleaved"] = True
    text = {**_text(kv_heads), "rope_parameters": rope, "num_hidden_layers": 3}
    config = Qwen3VLConfig(
        text_config={**text, "tie_word_embeddings": tied},
        vision_config={
            **{"depth": 4, "hidden_size": 24, "intermediate_size": 40, "num_heads": 3},
            **{"patch_size": 4, "num_position_embeddings": 36},
            **{"deepstack_visual_indexes": [1, 3], "out_hidden_size": text["hidden_size"]},
        },
        **_qwen_ids(),
        tie_word_embeddings=tied,
    )
    _qwen_images(directory)
    return Qwen3VLForConditionalGeneration(config), QWEN_TEMPLATE


MAKERS: dict[str, Callable[..., Any]] = {
    maker.__name__: maker for maker in (llava, llava_next, qwen2_5_vl, qwen3_vl)
}


def write(family: str, directory: Path, *, seed: int = 0, **variant: Any) -> Path:
    """A whole checkpoint directory; weights large enough to tell errors from rounding."""
    torch.manual_seed(seed)
    directory.mkdir(parents=True, exist_ok=True)
    model, template = MAKERS[family](directory, **variant)
    with torch.no_grad():
        for name, parameter in model.eval().named_parameters():
            noise = torch.randn_like(parameter)
            if parameter.ndim == 1:
                parameter.add_(0.1 * noise)  # norms and biases that are not 1 and 0
            elif "embed_tokens" in name and model.config.tie_word_embeddings:
                parameter.copy_(0.2 * noise)
            elif "embed_tokens" in name or "pos" in name:
                parameter.copy_(noise)
            else:
                parameter.copy_(noise * parameter[0].numel() ** -0.5)
    model.save_pretrained(directory)
    _write_tokenizer(directory, template)
    stop = VOCABULARY["</s>" if template is LLAVA_TEMPLATE else "<|im_end|>"]
    (directory / "generation_config.json").write_text(json.dumps({"eos_token_id": [stop]}))
    return directory


def _clip() -> CLIPVisionConfig:
    return CLIPVisionConfig(
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=16,
        patch_size=4,
        projection_dim=24,
    )


def _text(kv_heads: int) -> dict[str, Any]:
    heads, keys = HEADS[kv_heads]
    return {
        "vocab_size": len(VOCABULARY),
        "hidden_size": 8 * heads,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": heads,
        "num_key_value_heads": keys,
        "head_dim": 8,
        "max_position_embeddings": 4096,
        "bos_token_id": VOCABULARY["<s>"],
        "eos_token_id": VOCABULARY["</s>"],
        "pad_token_id": VOCABULARY["<pad>"],
    }


def _qwen_ids() -> dict[str, int]:
    return {
        "image_token_id": VOCABULARY["<|image_pad|>"],
        "video_token_id": VOCABULARY["<unk>"],
        "vision_start_token_id": VOCABULARY["<|vision_start|>"],
        "vision_end_token_id": VOCABULARY["<|vision_end|>"],
    }


def _qwen_images(directory: Path) -> None:
    Qwen2VLImageProcessorPil(
        size={"shortest_edge": 64, "longest_edge": 4096},
        patch_size=4,
        temporal_patch_size=2,
        merge_size=2,
        **HALVES,
    ).save_pretrained(directory)


def _write_tokenizer(directory: Path, template: str) -> None:
    tokenizer = Tokenizer(models.WordLevel(VOCABULARY, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    image = "<image>" if template is LLAVA_TEMPLATE else "<|image_pad|>"
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>" if template is LLAVA_TEMPLATE else None,
        eos_token="</s>" if template is LLAVA_TEMPLATE else "<|im_end|>",
        pad_token="<pad>",
        unk_token="<unk>",
        additional_special_tokens=[
            image,
            *("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"),
        ],
        chat_template=template,
    )
    fast.save_pretrained(directory)


def picture(seed: int, size: tuple[int, int] = (16, 16)) -> Image.Image:
    """A picture of noise, width and height as given."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels)


def png(image: Image.Image) -> bytes:
    """The picture as a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def conversation(
    *turns: tuple[str, str], sizes: tuple[tuple[int, int], ...] = (), seed: int = 0
) -> dict[str, Any]:
    """A conversation of (role, content) turns with pictures of noise."""
    return {
        "images": [picture(seed + number, size) for number, size in enumerate(sizes)],
        "messages": [{"role": role, "content": content} for role, content in turns],
    }
