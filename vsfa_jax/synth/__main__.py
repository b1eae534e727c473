"""Makes a set of neutral questions about threat-related images, with matched control arms.

    python -m vsfa_jax.synth --config=configs/synth_tiny.py --out=DIR

Concepts, images, questions, filters, arms, set: each stage is done once, and a command that was
killed goes on where it stopped. `train` reads DIR.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from vsfa_jax.core import main as entry
from vsfa_jax.core.errors import ConfigError
from vsfa_jax.core.workdir import is_url
from vsfa_jax.synth import estimate
from vsfa_jax.synth.pipeline import STAGES, Options, Pipeline
from vsfa_jax.synth.settings import Settings

_OUT = flags.DEFINE_string("out", None, "Folder of the set; made if need be.")
_BUDGET = flags.DEFINE_float("budget_usd", 0.0, "The most to pay now, in US dollars; 0: no bound.")
_LIMIT = flags.DEFINE_integer("limit", 0, "The most requests to ask now; 0: no bound.")
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Say what would be asked and paid; ask nothing.")
_RETRY = flags.DEFINE_bool("retry_failed", False, "Ask again where a request failed in passing.")
_ONLY = flags.DEFINE_enum("only", "", ["", *STAGES], "The one stage to run; those before are done.")


def main(
    settings: Settings,
    out: str,
    budget_usd: float,
    limit: int,
    dry_run: bool,
    only: str,
    retry_failed: bool,
) -> None:
    """The command line."""
    folder = Path(out)
    if is_url(out):
        raise ConfigError(f"--out: found {out}, wanted a folder of this machine")
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--out: found a file at {folder}, wanted a folder or a new path")
    pipeline = Pipeline(settings, folder, Options(budget_usd, limit, only, retry_failed))
    if dry_run:
        print(estimate.table(estimate.estimate(pipeline)))
        return
    pipeline.run()
    print(folder)


if __name__ == "__main__":
    flags.mark_flags_as_required(["out"])
    entry.run(
        main,
        {
            "out": _OUT,
            "budget_usd": _BUDGET,
            "limit": _LIMIT,
            "dry_run": _DRY_RUN,
            "only": _ONLY,
            "retry_failed": _RETRY,
        },
        schema=Settings,
    )
