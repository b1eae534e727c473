"""A run's settings: small frozen dataclasses, read from a ConfigDict once, at the edge.

Each key is documented in `configs/base.py`; here stand its type and its bounds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

import ml_collections

from vsfa_jax.core import schema
from vsfa_jax.core.errors import ConfigError
from vsfa_jax.core.schema import (
    AxisSize,
    Count,
    CountOrOff,
    Decay,
    Fraction,
    NotNegative,
    OneOf,
    Positive,
    Seed,
    Within,
    to_dict,
)

__all__ = ["Settings", "load", "to_dict"]

REMAT = ("none", "matmuls", "attention", "blocks", "offload")  # what a backward pass keeps
PARTS = ("vision", "projector", "language")  # of a model, each with a rate of its own
ANSWER_MODES = ("image", "blank_image", "no_image", "caption_only")  # what an attack shows


@dataclasses.dataclass(frozen=True)
class Model:
    """The base model."""

    path: str
    init: Annotated[str, OneOf(("weights", "random"))]
    dtype: Annotated[str, OneOf(("float32", "bfloat16"))]
    revision: str
    max_pixels: CountOrOff
    completed_from: str
    cache_vision: bool
    quantize: Annotated[str, OneOf(("none", "int8"))]


@dataclasses.dataclass(frozen=True)
class Train:
    """What is trained."""

    mode: Annotated[str, OneOf(("lora", "full"))]
    remat: Annotated[str, OneOf(REMAT)]
    vision_remat: Annotated[str, OneOf(REMAT)]
    attention: Annotated[str, OneOf(("auto", "reference", "xla", "pallas_tpu", "pallas_gpu"))]
    z_loss: NotNegative
    label_smoothing: Annotated[float, Within(0, 1, or_most=False)]
    despite_plan: bool


@dataclasses.dataclass(frozen=True)
class Lora:
    """The adapter."""

    rank: Count
    alpha: Positive
    targets: tuple[str, ...]
    dora: bool
    rank_stabilized: bool


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """AdamW and its schedule."""

    learning_rate: Positive
    schedule: Annotated[str, OneOf(("cosine",))]
    warmup_steps: CountOrOff
    schedule_steps: CountOrOff
    final_share: Fraction
    weight_decay: NotNegative
    b1: Decay
    b2: Decay
    eps: Positive
    clip_norm: Positive
    vision_rate: NotNegative
    projector_rate: NotNegative
    language_rate: NotNegative
    offload: bool


@dataclasses.dataclass(frozen=True)
class Data:
    """Records and how they are packed."""

    path: str
    arm: str
    size: Count
    validation_size: Count
    budgets: tuple[tuple[Count, CountOrOff], ...]
    max_image_pixels: Count
    num_threads: Count


@dataclasses.dataclass(frozen=True)
class Mesh:
    """Sizes of the device mesh's axes."""

    data: AxisSize
    fsdp: AxisSize
    tensor: AxisSize


@dataclasses.dataclass(frozen=True)
class Eval:
    """`vsfa_jax.evaluate`."""

    name: str
    benchmarks: tuple[str, ...]
    root: str
    per_kind: CountOrOff
    modes: tuple[Annotated[str, OneOf(ANSWER_MODES)], ...]
    tuned: bool
    step: CountOrOff
    defences: tuple[str, ...]
    judges: tuple[str, ...]
    constructive: bool
    max_unjudged: Fraction
    max_new_tokens: Count
    temperature: NotNegative
    batch_size: Count
    seed: Seed


@dataclasses.dataclass(frozen=True)
class JudgeSettings:
    """What a judge that asks a model is told."""

    model: str
    base_url: str
    key_variable: str
    cache: str
    concurrency: Count
    retries: CountOrOff
    timeout_s: Positive
    max_tokens: Count
    budget_usd: NotNegative
    usd_per_million_input: NotNegative
    usd_per_million_output: NotNegative
    path: str
    dtype: Annotated[str, OneOf(("float32", "bfloat16"))]
    batch_size: Count


@dataclasses.dataclass(frozen=True)
class Probe:
    """The small evaluation during training."""

    per_kind: CountOrOff
    max_new_tokens: Count
    temperature: NotNegative
    batch_size: Count


@dataclasses.dataclass(frozen=True)
class Study:
    """Several arms and seeds, one table."""

    arms: tuple[str, ...]
    seeds: tuple[Seed, ...]


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that a run is told."""

    seed: Seed
    steps: Count
    batch_rows: Count
    micro_batches: Count
    checkpoint_every: CountOrOff
    checkpoint_keep: Count
    eval_every: CountOrOff
    tensorboard: bool
    wandb_project: str
    progress: bool
    compile_cache: str
    model: Model
    train: Train
    lora: Lora
    optimizer: Optimizer
    data: Data
    mesh: Mesh
    eval: Eval
    judge: JudgeSettings
    probe: Probe
    study: Study

    BASE = "configs/base.py"

    def check(self) -> None:
        """What no single key can say.

        Raises:
          ConfigError: two keys contradict each other.
        """
        _check_together(self)


def load(config: ml_collections.ConfigDict | Mapping[str, Any]) -> Settings:
    """Reads and checks a run's whole config; see `schema.load`."""
    return schema.load(config, Settings)


def _check_together(settings: Settings) -> None:
    """What no single key can say."""
    rates = (getattr(settings.optimizer, f"{part}_rate") for part in PARTS)
    if not any(rates):
        raise ConfigError("optimizer: vision_rate, projector_rate and language_rate are all 0")
    if settings.train.mode == "lora" and not settings.lora.targets:
        raise ConfigError("lora.targets: found none; train.mode 'lora' wants at least one")
    if settings.train.mode == "full" and settings.model.quantize != "none":
        raise ConfigError(
            f"model.quantize: found {settings.model.quantize!r} with train.mode 'full'; what is "
            "trained cannot be quantised, wanted 'none', or train.mode 'lora'"
        )
    if settings.batch_rows % settings.micro_batches:
        raise ConfigError(
            f"micro_batches: {settings.micro_batches} do not divide "
            f"batch_rows: {settings.batch_rows}"
        )
    budgets = settings.data.budgets
    if not 1 <= len(budgets) <= 4 or list(budgets) != sorted(set(budgets)):
        raise ConfigError(
            f"data.budgets: found {budgets}, wanted one to four (tokens, patches), ascending"
        )
