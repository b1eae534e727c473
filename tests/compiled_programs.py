"""The programs of programs_for_tpu.py, compiled once for all tests that read them."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
COMPILER = {
    "JAX_PLATFORMS": "cpu",
    "TPU_SKIP_MDS_QUERY": "1",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "PYTHONPATH": str(HERE.parent),
}
QUICK = ("layers", "gradient", "talk", "too_large")
SLOW = ("nested", "wide_gradient", "until", "either", "heads", "talk_across")

needs_compiler = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="libtpu has no wheel for this machine"
)


@functools.cache
def compile_programs(*names: str, **environment: str) -> dict[str, Any]:
    """Programs by name, from a process of their own."""
    done = subprocess.run(
        [sys.executable, HERE / "programs_for_tpu.py", *names],
        env={**os.environ, **COMPILER, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def compiled(name: str) -> dict[str, Any]:
    """A program's text, memory and failure; those of `QUICK` are made together."""
    return compile_programs(*(QUICK if name in QUICK else SLOW))[name]
