"""The LLaVA-1.5 family."""

from vsfa_jax.models.llava.config import read_config
from vsfa_jax.models.llava.model import Llava as Model
from vsfa_jax.models.llava.processor import Processor
from vsfa_jax.models.llava.sharding import SHARDING
from vsfa_jax.models.llava.weights import IGNORED, LAYOUT, rules

MODEL_TYPE = "llava"

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
