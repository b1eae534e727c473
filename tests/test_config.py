"""Settings: what is read, what is refused and in which words."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from configs import base, tiny
from vsfa_jax.core import config
from vsfa_jax.core.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]


def changed(**values: Any) -> dict[str, Any]:
    """The defaults with "a__b" keys replaced or added."""
    tree = base.get_config().to_dict()
    for name, value in values.items():
        *sections, key = name.split("__")
        inner = tree
        for section in sections:
            inner = inner[section]
        inner[key] = value
    return tree


def test_load_reads_every_section() -> None:
    settings = config.load(tiny.get_config())
    assert settings.steps == 100
    assert settings.lora == config.Lora(8, 16.0, ("attention", "mlp"), False, False)
    assert settings.data.arm == "threat"
    assert settings.data.budgets == ((128, 68),)
    assert settings.optimizer.learning_rate == 5e-4


def test_settings_are_frozen() -> None:
    settings = config.load(base.get_config())
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.seed = 1  # type: ignore[misc]


def test_settings_survive_json() -> None:
    settings = config.load(changed(data__budgets=((256, 65), (512, 520)), study__seeds=(0, 1)))
    assert config.load(json.loads(json.dumps(config.to_dict(settings)))) == settings


def test_an_int_passes_for_a_float_and_becomes_one() -> None:
    alpha = config.load(changed(lora__alpha=4)).lora.alpha
    assert alpha == 4.0
    assert type(alpha) is float


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lora__rnk": 4}, "lora.rnk: no such key; the nearest key is 'lora.rank'"),
        ({"batch_row": 4}, "batch_row: no such key; the nearest key is 'batch_rows'"),
        ({"rank": 4}, "rank: no such key; the nearest key is 'lora.rank'"),
        ({"zzzzzz": 4}, "zzzzzz: no such key"),
        ({"steps": 1.5}, "steps: found 1.5 of type float, wanted int"),
        ({"steps": "many"}, "steps: found 'many' of type str, wanted int"),
        ({"steps": True}, "steps: found True of type bool, wanted int"),
        ({"progress": 1}, "progress: found 1 of type int, wanted bool"),
        ({"model__path": None}, "model.path: found None of type NoneType, wanted str"),
        ({"lora": 3}, "lora: found 3, wanted a section of keys"),
        ({"steps": 0}, "steps: found 0, wanted at least 1"),
        ({"checkpoint_every": -1}, "checkpoint_every: found -1, wanted at least 0"),
        ({"optimizer__learning_rate": 0.0}, "optimizer.learning_rate: found 0.0, wanted above 0"),
        ({"optimizer__b1": 1.5}, "optimizer.b1: found 1.5, wanted a number from 0 to below 1"),
        ({"optimizer__eps": float("nan")}, "optimizer.eps: found nan, wanted above 0"),
        ({"train__mode": "lra"}, "train.mode: found 'lra', wanted one of ['lora', 'full']"),
        ({"lora__targets": "mlp"}, "lora.targets: found 'mlp', wanted a tuple"),
        ({"lora__targets": (3,)}, "lora.targets[0]: found 3 of type int, wanted str"),
        ({"data__budgets": ((512,),)}, "data.budgets[0]: found (512,), wanted 2 values"),
        ({"data__budgets": (512, 520)}, "data.budgets[0]: found 512, wanted a tuple"),
        ({"data__budgets": ((0, 8),)}, "data.budgets[0][0]: found 0, wanted at least 1"),
    ],
)
def test_refused_by_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        config.load(changed(**values))
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("values", "word"),
    [
        (
            {f"optimizer__{part}_rate": 0.0 for part in config.PARTS},
            "optimizer: vision_rate",
        ),
        ({"lora__targets": ()}, "lora.targets"),
        ({"batch_rows": 8, "micro_batches": 3}, "micro_batches"),
        ({"data__budgets": ()}, "data.budgets"),
        ({"data__budgets": ((512, 9), (256, 9))}, "data.budgets"),
        ({"data__budgets": ((512, 9), (512, 9))}, "data.budgets"),
        ({"data__budgets": tuple((n, n) for n in range(1, 6))}, "data.budgets"),
    ],
)
def test_contradictions_are_refused(values: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=f"^{word}"):
        config.load(changed(**values))


def test_a_missing_key_is_named() -> None:
    tree = changed()
    del tree["mesh"]["fsdp"]
    with pytest.raises(ConfigError, match=r"^mesh\.fsdp: missing"):
        config.load(tree)


PROGRAM = """
from vsfa_jax.core import main as entry
from vsfa_jax.core.errors import DataError, TrainingError

def main(settings, workdir):
    if settings.seed == 7:
        raise DataError("set.jsonl, line 3: found no image")
    if settings.seed == 6:
        open("/dev/full", "w").write("x" * 10**6)
    if settings.seed == 5:
        raise ConnectionResetError("the storage is gone")
    if settings.seed == 8:
        raise TrainingError("step 4: loss nan")
    print(settings.lora.rank, settings.progress, workdir)

entry.run(main)
"""


@pytest.mark.parametrize(
    ("flags", "status", "output"),
    [
        ("--config=configs/tiny.py --workdir=w --config.lora.rank=4", 0, "4 True w"),
        ("--config configs/tiny.py --workdir w --noconfig.progress", 0, "8 False w"),
        ("--config=configs/tiny.py --workdir=w --config.lora.rnk=4", 2, "'lora.rank'"),
        ("--config=configs/tiny.py --workdir=w --config.lra.rank=4", 2, "'lora.rank'"),
        ("--config=configs/tiny.py --workdir=w --config.steps=x", 2, "config.steps=x"),
        ("--config=configs/tiny.py --workdir=w --config.data.budgets=5", 2, "data.budgets[0]"),
        ("--config=configs/tny.py --workdir=w", 2, "no file 'configs/tny.py'"),
        ("--config=configs/tiny.py", 2, "--workdir"),
        ("--workdir=w", 2, "--config"),
        ("--config=configs/tiny.py --workdir=w stray", 2, "'stray'"),
        ("--config=configs/tiny.py --workdir=w --wrkdir=w", 2, "workdir"),
        ("--config=configs/tiny.py --workdir=w --config.seed=7", 2, "error: set.jsonl, line 3"),
        ("--config=configs/tiny.py --workdir=w --config.seed=6", 2, "No space left on device"),
        ("--config=configs/tiny.py --workdir=w --config.seed=5", 1, "error: the storage is gone"),
        ("--config=configs/tiny.py --workdir=w --config.seed=-1", 2, "seed: found -1"),
        ("--config=configs/tiny.py --workdir=w --config.lora.targets.0=x", 2, "error: "),
        (f"--config=configs/tiny.py --workdir={__file__}", 2, "--workdir: found a file at"),
        ("--config=configs/tiny.py --workdir=w --config.seed=8", 1, "error: step 4: loss nan"),
    ],
)
def test_the_command_line(tmp_path: Path, flags: str, status: int, output: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *flags.split()],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert output in (done.stderr if status else done.stdout)
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
