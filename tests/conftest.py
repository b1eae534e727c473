"""What the tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# libtpu, where it is installed to compile, would look for a TPU and say loudly that there is none.
DEVICES = ("accel*", "vfio", "nvidia[0-9]*", "dxg", "kfd")
if not any(True for name in DEVICES for _ in Path("/dev").glob(name)):
    os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax  # noqa: E402

# Programs of tiny models that run once or twice: most of the time is the compiler's.
COMPILED_QUICKLY = {
    *("test_attention", "test_attention_gpu", "test_attention_tpu", "test_cross_entropy"),
    *(
        "test_decode",
        "test_decode_engine",
        "test_models_backends",
        "test_models_contract",
        "test_models_conversation",
    ),
    *(
        "test_models_weights",
        "test_peft",
        "test_quantize",
        "test_step",
        "test_tinyworld_base",
        "test_train",
    ),
    "test_vision_cache",
}


@pytest.fixture(autouse=True)
def compiled_quickly(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leaves out most of XLA's optimisations in those modules."""
    name = "jax_disable_most_optimizations"
    jax.config.update(name, request.module.__name__.rpartition(".")[2] in COMPILED_QUICKLY)
    yield
    jax.config.update(name, False)
