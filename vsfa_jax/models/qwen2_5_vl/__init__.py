"""The Qwen2.5-VL family."""

from vsfa_jax.models.qwen2_5_vl.config import read_config
from vsfa_jax.models.qwen2_5_vl.model import Qwen25VL as Model
from vsfa_jax.models.qwen2_5_vl.processor import Processor
from vsfa_jax.models.qwen2_5_vl.sharding import SHARDING
from vsfa_jax.models.qwen2_5_vl.weights import IGNORED, LAYOUT, rules

MODEL_TYPE = "qwen2_5_vl"

# What the tower reads of each patch besides the patch itself: shape and dtype.
PLACES = {"row_column": ((2,), "int32"), "window_ids": ((), "int32")}

__all__ = [
    "IGNORED",
    "LAYOUT",
    "MODEL_TYPE",
    "PLACES",
    "SHARDING",
    "Model",
    "Processor",
    "read_config",
    "rules",
]
