"""Atomic files and leaves by name."""

from __future__ import annotations

import json
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
import pytest
from flax import nnx

from vsfa_jax.core import errors, paths, tree


def test_write_atomic_makes_folders_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.txt"
    paths.write_atomic(path, "first")
    paths.write_atomic(path, "zweites ü".encode())
    assert path.read_text() == "zweites ü"
    assert [p.name for p in path.parent.iterdir()] == ["b.txt"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "table.json"
    paths.write_json(path, {"rows": 1})

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        paths.write_json(path, {"rows": 2})
    assert json.loads(path.read_text()) == {"rows": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_write_json_is_sorted_and_refuses_nan(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    paths.write_json(path, {"b": [1, 2.5], "a": "ü"})
    assert path.read_text() == '{\n  "a": "ü",\n  "b": [\n    1,\n    2.5\n  ]\n}\n'
    with pytest.raises(ValueError, match="JSON compliant"):
        paths.write_json(path, {"loss": float("nan")})
    assert json.loads(path.read_text())["a"] == "ü"


class Block(nnx.Module):
    """Two parameters, one of them in a list."""

    def __init__(self) -> None:
        self.kernel = nnx.Param(jnp.ones((2, 3)))
        self.scales = nnx.List([nnx.Param(jnp.zeros(4))])


def test_flatten_names_leaves_of_modules_states_and_optimizers() -> None:
    state = nnx.state(Block())
    named = tree.flatten(state)
    assert list(named) == ["kernel", "scales/0"]
    assert named["kernel"].shape == (2, 3)
    assert list(tree.flatten(Block())) == list(named)
    moments = tree.flatten(optax.adam(1e-3).init(state))
    assert {"0/count", "0/mu/kernel", "0/nu/scales/0"} <= set(moments)


def test_flatten_keeps_the_order_of_the_tree() -> None:
    value = {"b": {"y": 1, "x": [2, 3]}, "a": None}
    assert tree.flatten(value) == {"b/x/0": 2, "b/x/1": 3, "b/y": 1}
    assert list(tree.flatten(value).values()) == jax.tree.leaves(value)


def test_flatten_refuses_two_leaves_of_one_name() -> None:
    with pytest.raises(ValueError, match="'a/b'"):
        tree.flatten({"a": {"b": 1}, "a/b": 2})


def test_every_fault_of_the_user_is_a_user_error() -> None:
    kinds = (errors.ConfigError, errors.DataError, errors.CheckpointError, errors.WeightsError)
    assert all(issubclass(kind, errors.UserError) for kind in kinds)
    assert issubclass(errors.ImageError, errors.DataError)
    assert not issubclass(errors.TrainingError, errors.UserError)
