"""The Qwen3-VL family."""

from vsfa_jax.models.qwen3_vl.config import read_config
from vsfa_jax.models.qwen3_vl.model import Qwen3VL as Model
from vsfa_jax.models.qwen3_vl.processor import Processor
from vsfa_jax.models.qwen3_vl.sharding import SHARDING
from vsfa_jax.models.qwen3_vl.weights import IGNORED, LAYOUT, rules

MODEL_TYPE = "qwen3_vl"

# What the tower reads of each patch besides the patch itself: shape and dtype.
PLACES = {
    "row_column": ((2,), "int32"),
    "table_rows": ((4,), "int32"),
    "table_weights": ((4,), "float32"),
}

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
