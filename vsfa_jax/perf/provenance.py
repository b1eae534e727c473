"""Where a file of results comes from: what made it, when, and with which versions."""

from __future__ import annotations

import datetime
import importlib.metadata
import shlex
import sys
from collections.abc import Iterable
from typing import Any


def provenance(module: str, packages: Iterable[str]) -> dict[str, Any]:
    """Of results that this process makes.

    Args:
      module: that `python -m` runs; its flags are this process's.
      packages: whose versions decide the figures.
    """
    return {
        "versions": versions(packages),
        "date": datetime.date.today().isoformat(),
        "command": shlex.join(["python", "-m", module, *sys.argv[1:]]),
    }


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Of installed packages, by name."""
    return {name: importlib.metadata.version(name) for name in packages}
