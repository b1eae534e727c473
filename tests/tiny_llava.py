"""Random LLaVA checkpoints by transformers, small enough for a test."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedTokenizerFast,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

WORDS = (
    *("USER", ":", "ASSISTANT", "what", "is", "this", "how", "many", "red", "blue", "a"),
    *("knife", "two", "in", "the", "picture", "yes", "no", "one"),
)
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ {'user': ' USER :', 'assistant': ' ASSISTANT :', 'system': ' '}[m.role] }}"
    "{% for p in m.content %}{{ ' <image>' if p.type == 'image' else ' ' + p.text }}{% endfor %}"
    "{% if m.role == 'assistant' %} </s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %} ASSISTANT :{% endif %}"
)


def write(directory: Path, *, kv_heads: int = 2, layer: int = -2, seed: int = 0) -> Path:
    """A whole checkpoint directory; weights large enough to tell errors from rounding."""
    torch.manual_seed(seed)
    vocabulary = {w: i for i, w in enumerate(["<pad>", "<s>", "</s>", "<unk>", "<image>", *WORDS])}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=24,
            intermediate_size=40,
            num_hidden_layers=3,
            num_attention_heads=4,
            image_size=16,
            patch_size=4,
            projection_dim=24,
        ),
        text_config=LlamaConfig(
            vocab_size=len(vocabulary),
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=kv_heads,
            tie_word_embeddings=False,
        ),
        image_token_index=vocabulary["<image>"],
        vision_feature_layer=layer,
    )
    model = LlavaForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn_like(parameter)
            if parameter.ndim == 1:
                parameter.add_(0.1 * noise)  # norms and biases that are not 1 and 0
            elif "embed" not in name:
                parameter.copy_(noise * parameter[0].numel() ** -0.5)
            else:
                parameter.copy_(noise)
    model.save_pretrained(directory)
    _write_tokenizer(directory, vocabulary)
    CLIPImageProcessorPil(
        size={"height": 16, "width": 16},
        crop_size={"height": 16, "width": 16},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    ).save_pretrained(directory)
    return directory


def _write_tokenizer(directory: Path, vocabulary: dict[str, int]) -> None:
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        additional_special_tokens=["<image>"],
        chat_template=TEMPLATE,
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


def conversation(*turns: tuple[str, str], images: int = 0, seed: int = 0, size=(16, 16)) -> dict:
    """A conversation of (role, content) turns with pictures of noise."""
    return {
        "images": [picture(seed + i, size) for i in range(images)],
        "messages": [{"role": role, "content": content} for role, content in turns],
    }
