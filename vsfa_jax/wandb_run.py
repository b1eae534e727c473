"""Metrics for Weights & Biases, where a run asks for it and the extra `wandb` is installed."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vsfa_jax.core.errors import ConfigError
from vsfa_jax.core.workdir import is_url


class WandbRun:
    """One run of a project; a workdir that goes on is the same run, as often as it is resumed."""

    def __init__(self, project: str, workdir: Path, home: str = "") -> None:
        """Starts or resumes the run; `wandb`'s own environment variables hold.

        Args:
          project: name of the project.
          workdir: wandb's files go into it.
          home: of the run, whose name is made of its absolute path; "" is the workdir.

        Raises:
          ConfigError: the package is not installed.
        """
        try:
            wandb = importlib.import_module("wandb")
        except ImportError as error:
            raise ConfigError(
                f"wandb_project: found {project!r}, but the package is not there: "
                "pip install 'vsfa_jax[wandb]'"
            ) from error
        place = home if is_url(home) else str(Path(home or workdir).resolve())
        self._run: Any = wandb.init(
            project=project,
            name=Path(place).name,
            id=hashlib.sha256(place.encode()).hexdigest()[:16],
            resume="allow",
            dir=str(workdir.resolve()),
        )

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Sends one step's numbers; what a resumed run sends again is dropped by wandb."""
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        """Waits until everything is sent."""
        self._run.finish()
