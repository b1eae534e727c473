"""Shows what will be trained on: one static page of a set, before a step is taken.

    python -m vsfa_jax.audit --data=sets/mine --out=page.html
    python -m vsfa_jax.audit --data=sets/mine --out=page.html --config=configs/qwen3_vl_8b.py

Images under the grid of tokens that the model will see, every token trained or masked, lengths and
kinds of each arm, packing and padding, what was dropped and why, what the leak guard finds, and the
table of balance where the set has one. The config says which model's processor and which buckets;
without one they are the embedded base's. No weights are read.
"""

from __future__ import annotations

import dataclasses
import datetime
import sys
from pathlib import Path
from typing import Any

from absl import flags, logging

from vsfa_jax import models, tinyworld
from vsfa_jax.auditing import contents, examples, page
from vsfa_jax.core import main as entry
from vsfa_jax.core.config import Settings
from vsfa_jax.core.errors import ConfigError, DataError
from vsfa_jax.core.paths import write_atomic
from vsfa_jax.input import encoder

DEFAULT_CONFIG = "configs/tiny.py"


def audit(settings: Settings, rows: int) -> str:
    """The page of the configured set.

    Args:
      settings: `data.path` names the set; model, buckets and seed say how it is read and packed.
      rows: the most records that are shown.

    Raises:
      DataError: the set cannot be read.
      WeightsError: the model's processor cannot be made.
    """
    processor = load_processor(settings)
    parts = list(contents.read_parts(settings, processor))
    folder = Path(settings.data.path)
    encode = encoder(processor, settings.data.max_image_pixels)
    views = [
        examples.view(part, index, processor, encode)
        for part, indices in examples.choose(parts, rows)
        for index in indices
    ]
    return page.render(
        title=f"Audit of {settings.data.path}",
        facts=facts(settings, processor, parts),
        parts=parts,
        views=views,
        dropped=contents.dropped_rows(folder),
        balance=contents.balance(folder),
    )


def load_processor(settings: Settings) -> Any:
    """The configured model's processor, without its weights.

    Raises:
      WeightsError: a file of it is missing.
    """
    model = settings.model
    directory = models.resolve(tinyworld.resolve_model(model.path), model.revision, weights=False)
    family, skeleton = models.skeleton(directory, model.completed_from)
    return family.Processor(directory, skeleton.config, model.max_pixels)


def facts(settings: Settings, processor: Any, parts: list[contents.Part]) -> dict[str, str]:
    """How the page was made, in words."""
    budgets = "; ".join(
        f"{tokens} tokens, {patches} patches" for tokens, patches in settings.data.budgets
    )
    kinds = "the set's own"
    if not isinstance(parts[0].source, tinyworld.WorldSource):
        stated = (Path(settings.data.path) / "records.jsonl").is_file()
        kinds = kinds if stated else contents.GUESSED
    return {
        "set": settings.data.path,
        "model": settings.model.path,
        "processor": type(processor).__module__.rsplit(".", 1)[0].rsplit(".", 1)[-1],
        "buckets": budgets,
        "seed": str(settings.seed),
        "kinds of question": kinds,
        "made": str(datetime.date.today()),
    }


def main(settings: Settings, workdir: Path | None) -> None:
    """Runs under `core.main`; a workdir has nothing to say here."""
    chosen = flags.FLAGS
    out = Path(chosen.out)
    if out.suffix != ".html" or out.is_dir():
        raise ConfigError(f"--out: found {out}, wanted an .html file")
    data = dataclasses.replace(settings.data, path=chosen.data)
    text = audit(dataclasses.replace(settings, data=data), chosen.rows)
    try:
        write_atomic(out, text)
    except OSError as error:
        raise DataError(f"{out}: cannot be written: {error.strerror}") from error
    logging.info("%s: %.1f MB", out, len(text.encode()) / 1e6)
    print(out)


if __name__ == "__main__":
    flags.DEFINE_string("data", None, "The set: its folder, or tinyworld/WORLD.", required=True)
    flags.DEFINE_string("out", None, "The page to write, an .html file.", required=True)
    flags.DEFINE_integer("rows", 200, "The most records shown.", 1, page.MAX_ROWS)
    if not any(argument.lstrip("-").split("=")[0] == "config" for argument in sys.argv[1:]):
        sys.argv.append(f"--config={DEFAULT_CONFIG}")
    entry.run(main, workdir_is_optional=True)
