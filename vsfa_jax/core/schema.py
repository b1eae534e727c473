"""Schemas: settings as frozen dataclasses, with the type and the bounds of each key.

A ConfigDict is read once, at the edge. A key that is unknown, missing, of another type or out of
bounds is refused by its name.
"""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Protocol, TypeVar

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


class Schema(Protocol):
    """A dataclass of settings: a run's, or another command's own."""

    BASE: str  # the file that documents every key, and has its default

    def check(self) -> None:
        """Raises ConfigError where two keys contradict each other."""
        ...


S = TypeVar("S", bound=Schema)


def load(config: ml_collections.ConfigDict | Mapping[str, Any], schema: type[S]) -> S:
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


def keys(kind: type, prefix: str = "") -> list[str]:
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
