"""config.json and image processor of a tiny model of each family, for the world's 64 x 64 images.

Whatever their family would call it, the image placeholder is the world's `<image>`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vsfa_jax.data.record import IMAGE_MARK
from vsfa_jax.tinyworld import vocabulary as words
from vsfa_jax.tinyworld.scene import SIZE

PATCH = 16  # pixels, of LLaVA; Qwen merges 2 x 2 patches of half as many
TILE = 32  # pixels, of LLaVA-NeXT
_PINPOINTS = [[TILE, 2 * TILE], [2 * TILE, TILE], [2 * TILE, 2 * TILE]]

Files = tuple[dict[str, Any], dict[str, Any], dict[str, Any]]


def llava(vocabulary: Mapping[str, int]) -> Files:
    """Of 16 image tokens."""
    config = {
        **_llava("llava", "LlavaForConditionalGeneration", vocabulary),
        "image_seq_length": (SIZE // PATCH) ** 2,
        "text_config": {**_text(vocabulary), "mlp_bias": False, "model_type": "llama"},
        "vision_config": _clip(SIZE),
    }
    return config, _squares(SIZE, "CLIPImageProcessor"), _processor("LlavaProcessor")


def llava_next(vocabulary: Mapping[str, int]) -> Files:
    """Of 24 image tokens: the whole image in 4, four tiles in 16, four ends of lines."""
    text = {**_text(vocabulary), "model_type": "mistral", "sliding_window": None}
    config = {
        **_llava("llava_next", "LlavaNextForConditionalGeneration", vocabulary),
        "image_grid_pinpoints": _PINPOINTS,
        "image_seq_length": (TILE // PATCH) ** 2,
        "text_config": text,
        "vision_config": _clip(TILE),
    }
    images = {
        **_squares(TILE, "LlavaNextImageProcessor"),
        "do_pad": True,
        "image_grid_pinpoints": _PINPOINTS,
    }
    return config, images, _processor("LlavaNextProcessor")


def qwen2_5_vl(vocabulary: Mapping[str, int]) -> Files:
    """Of 16 image tokens, windows of 2 x 2 of them."""
    rope = {"mrope_section": [4, 6, 6], "rope_theta": 10000.0, "rope_type": "default"}
    text = {**_text(vocabulary), "model_type": "qwen2_5_vl_text", "rope_parameters": rope}
    vision = {
        **_qwen_tower("qwen2_5_vl_vision", "silu", hidden=256),
        "fullatt_block_indexes": [1, 3],
        "window_size": 2 * PATCH,
    }
    config = _qwen("qwen2_5_vl", "Qwen2_5_VLForConditionalGeneration", text, vision, vocabulary)
    return config, _qwen_images(), {"processor_class": "Qwen2_5_VLProcessor"}


def qwen3_vl(vocabulary: Mapping[str, int]) -> Files:
    """Of 16 image tokens, DeepStack from the first three of four tower layers."""
    rope = {"mrope_section": [6, 5, 5], "rope_theta": 10000.0, "rope_type": "default"}
    text = {
        **_text(vocabulary),
        "model_type": "qwen3_vl_text",
        "rope_parameters": {**rope, "mrope_interleaved": True},
    }
    vision = {
        **_qwen_tower("qwen3_vl_vision", "gelu_pytorch_tanh", hidden=384),
        "deepstack_visual_indexes": [0, 1, 2],
        "num_position_embeddings": (2 * SIZE // PATCH) ** 2,
    }
    config = _qwen("qwen3_vl", "Qwen3VLForConditionalGeneration", text, vision, vocabulary)
    return config, _qwen_images(), {"processor_class": "Qwen3VLProcessor"}


FAMILIES: Mapping[str, Callable[[Mapping[str, int]], Files]] = {
    "llava": llava,
    "llava_next": llava_next,
    "qwen2_5_vl": qwen2_5_vl,
    "qwen3_vl": qwen3_vl,
}


def special_ids(vocabulary: Mapping[str, int]) -> dict[str, int]:
    """What begins, ends and fills up a text."""
    return {
        "bos_token_id": vocabulary[words.BEGIN],
        "eos_token_id": vocabulary[words.END],
        "pad_token_id": vocabulary[words.PAD],
    }


def _text(vocabulary: Mapping[str, int]) -> dict[str, Any]:
    """A decoder of 4 layers."""
    return {
        **special_ids(vocabulary),
        "attention_bias": False,
        "head_dim": 32,
        "hidden_act": "silu",
        "hidden_size": 128,
        "initializer_range": 0.02,
        "intermediate_size": 384,
        "max_position_embeddings": 1024,
        "num_attention_heads": 4,
        "num_hidden_layers": 4,
        "num_key_value_heads": 4,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
        "tie_word_embeddings": False,
        "vocab_size": len(vocabulary),
    }


def _llava(model_type: str, architecture: str, vocabulary: Mapping[str, int]) -> dict[str, Any]:
    return {
        "architectures": [architecture],
        "dtype": "bfloat16",
        "image_token_index": vocabulary[IMAGE_MARK],
        "model_type": model_type,
        "multimodal_projector_bias": True,
        "pad_token_id": vocabulary[words.PAD],
        "projector_hidden_act": "gelu",
        "tie_word_embeddings": False,
        "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default",
    }


def _clip(image_size: int) -> dict[str, Any]:
    """A tower of 4 layers."""
    return {
        "hidden_act": "quick_gelu",
        "hidden_size": 96,
        "image_size": image_size,
        "intermediate_size": 384,
        "layer_norm_eps": 1e-5,
        "model_type": "clip_vision_model",
        "num_attention_heads": 4,
        "num_channels": 3,
        "num_hidden_layers": 4,
        "patch_size": PATCH,
        "projection_dim": 96,
    }


def _qwen(
    model_type: str,
    architecture: str,
    text: Mapping[str, Any],
    vision: Mapping[str, Any],
    vocabulary: Mapping[str, int],
) -> dict[str, Any]:
    return {
        "architectures": [architecture],
        "dtype": "bfloat16",
        "image_token_id": vocabulary[IMAGE_MARK],
        "model_type": model_type,
        "text_config": text,
        "tie_word_embeddings": False,
        "vision_config": vision,
    }


def _qwen_tower(model_type: str, activation: str, hidden: int) -> dict[str, Any]:
    return {
        "depth": 4,
        "hidden_act": activation,
        "hidden_size": 96,
        "in_channels": 3,
        "intermediate_size": hidden,
        "model_type": model_type,
        "num_heads": 4,
        "out_hidden_size": 128,
        "patch_size": PATCH // 2,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    }


def _squares(side: int, kind: str) -> dict[str, Any]:
    size = {"height": side, "width": side}
    return {
        "crop_size": size,
        "do_center_crop": False,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_processor_type": kind,
        "image_std": [0.5, 0.5, 0.5],
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": size,
    }


def _qwen_images() -> dict[str, Any]:
    return {
        "image_mean": [0.5, 0.5, 0.5],
        "image_processor_type": "Qwen2VLImageProcessor",
        "image_std": [0.5, 0.5, 0.5],
        "merge_size": 2,
        "patch_size": PATCH // 2,
        "size": {"longest_edge": SIZE * SIZE, "shortest_edge": PATCH * PATCH},
        "temporal_patch_size": 2,
    }


def _processor(kind: str) -> dict[str, Any]:
    return {
        "image_token": IMAGE_MARK,
        "num_additional_image_tokens": 1,
        "patch_size": PATCH,
        "processor_class": kind,
        "vision_feature_select_strategy": "default",
    }
