"""A run's settings: a ConfigDict is read once, at the edge, into small frozen dataclasses.

Each key is documented in `configs/base.py`; here stand its type and its bounds. A key that is
unknown, missing, of another type or out of bounds is refused by its name.
"""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Protocol, TypeVar, overload

import ml_collections

from vsfa_jax.core.errors import ConfigError

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Least:
    """Bound of a number: at least this."""

    least: float

    def refuses(self, value: Any) -> str | None:
        """What is wanted, if `value` is not it."""
        return None if value >= self.least else f"at least {self.least}"


@dataclasses.dataclass(frozen=True)
class Above:
    """Bound of a number: above this."""

    bound: float

    def refuses(self, value: Any) -> str | None:
        """What is wanted, if `value` is not it."""
        return None if value > self.bound else f"above {self.bound}"


@dataclasses.dataclass(frozen=True)
class Within:
    """Bound of a number: from `least` to `most`, or to below it."""

    least: float
    most: float
    or_most: bool = True

    def refuses(self, value: Any) -> str | None:
        """What is wanted, if `value` is not it."""
        if self.least <= value < self.most or (self.or_most and value == self.most):
            return None
        return f"a number from {self.least} to {'' if self.or_most else 'below '}{self.most}"


@dataclasses.dataclass(frozen=True)
class OneOf:
    """Bound of a word: one of these."""

    words: tuple[str, ...]

    def refuses(self, value: Any) -> str | None:
        """What is wanted, if `value` is not it."""
        return None if value in self.words else f"one of {list(self.words)}"


Count = Annotated[int, Least(1)]
CountOrOff = Annotated[int, Least(0)]
AxisSize = Annotated[int, Least(-1)]
Positive = Annotated[float, Above(0)]
NotNegative = Annotated[float, Least(0)]
Fraction = Annotated[float, Within(0, 1)]
Decay = Annotated[float, Within(0, 1, or_most=False)]
Seed = Annotated[int, Within(0, 2**32 - 1)]


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


class Schema(Protocol):
    """A dataclass of settings: a run's, or another command's own."""

    BASE: ClassVar[str]  # the file that documents every key, and has its default

    def check(self) -> None:
        """Raises ConfigError where two keys contradict each other."""
        ...


S = TypeVar("S", bound=Schema)


@overload
def load(config: ml_collections.ConfigDict | Mapping[str, Any]) -> Settings: ...


@overload
def load(config: ml_collections.ConfigDict | Mapping[str, Any], schema: type[S]) -> S: ...


def load(config: Any, schema: Any = Settings) -> Any:
    """Reads and checks a whole config.

    Args:
      config: what a config file returned, or what `to_dict` made of one.
      schema: the dataclass that has its keys.

    Raises:
      ConfigError: a key is unknown (the nearest is named), missing, of another type or out of
        bounds; or two keys contradict each other.
    """
    if isinstance(config, ml_collections.ConfigDict):
        config = config.to_dict()
    settings = _read(schema, config, "", schema)
    settings.check()
    return settings


def to_dict(settings: Any) -> dict[str, Any]:
    """Settings of any schema as JSON has them: `load(to_dict(settings), schema) == settings`."""
    return dataclasses.asdict(settings)


def keys(kind: type = Settings, prefix: str = "") -> list[str]:
    """Every dotted key, in the order of the dataclasses: "seed", ..., "lora.rank", ..."""
    found: list[str] = []
    for name, hint in typing.get_type_hints(kind).items():
        inner = dataclasses.is_dataclass(hint)
        found += keys(hint, f"{prefix}{name}.") if inner else [prefix + name]
    return found


def nearest(key: str, known: Iterable[str]) -> str:
    """'; the nearest key is ...', or '' where none is near.

    Args:
      key: the dotted key as it was typed.
      known: the dotted keys that exist.
    """
    known = list(known)
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    if not close:
        last = key.rpartition(".")[2]
        by_last = {other.rpartition(".")[2]: other for other in known}
        close = [by_last[word] for word in difflib.get_close_matches(last, by_last, n=1)]
    return f"; the nearest key is {close[0]!r}" if close else ""


def _read(kind: type[T], values: Any, where: str, schema: Any) -> T:
    """One dataclass of a schema from one mapping; `where` is "" or a dotted prefix."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where[:-1]}: found {values!r}, wanted a section of keys")
    hints = typing.get_type_hints(kind, include_extras=True)
    for key in values:
        if key not in hints:
            raise ConfigError(f"{where}{key}: no such key{nearest(f'{where}{key}', keys(schema))}")
    missing = [where + key for key in hints if key not in values]
    if missing:
        raise ConfigError(f"{missing[0]}: missing; start from {schema.BASE}, which has every key")
    return kind(
        **{key: _convert(hint, values[key], where + key, schema) for key, hint in hints.items()}
    )


def _convert(hint: Any, value: Any, where: str, schema: Any) -> Any:
    """`value` as `hint` wants it: an int passes for a float, a list for a tuple, nothing else."""
    if dataclasses.is_dataclass(hint):
        return _read(typing.cast(type, hint), value, where + ".", schema)
    if typing.get_origin(hint) is Annotated:
        inner, bound = typing.get_args(hint)
        value = _convert(inner, value, where, schema)
        wanted = bound.refuses(value)
        if wanted:
            raise ConfigError(f"{where}: found {value!r}, wanted {wanted}")
        return value
    if typing.get_origin(hint) is tuple:
        return _convert_tuple(typing.get_args(hint), value, where, schema)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        found = f"{value!r} of type {type(value).__name__}"
        raise ConfigError(f"{where}: found {found}, wanted {hint.__name__}")
    return value


def _convert_tuple(hints: tuple[Any, ...], value: Any, where: str, schema: Any) -> tuple[Any, ...]:
    if not isinstance(value, (tuple, list)):
        raise ConfigError(f"{where}: found {value!r}, wanted a tuple")
    if hints[-1] is Ellipsis:
        hints = hints[:1] * len(value)
    if len(value) != len(hints):
        raise ConfigError(f"{where}: found {value!r}, wanted {len(hints)} values")
    pairs = zip(hints, value, strict=True)
    return tuple(
        _convert(hint, item, f"{where}[{i}]", schema) for i, (hint, item) in enumerate(pairs)
    )


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
