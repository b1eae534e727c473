"""The LLaVA-NeXT (v1.6) family."""

from vsfa_jax.models.llava_next.config import read_config
from vsfa_jax.models.llava_next.model import LlavaNext as Model
from vsfa_jax.models.llava_next.processor import Processor
from vsfa_jax.models.llava_next.sharding import SHARDING
from vsfa_jax.models.llava_next.weights import IGNORED, LAYOUT, rules

MODEL_TYPE = "llava_next"

# What the tower reads of each patch besides the patch itself: shape and dtype.
PLACES = {"positions": ((), "int32")}

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
