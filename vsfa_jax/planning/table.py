"""The table of plans in launch/README.md: the paper's models on the slices that they must fit.

    python -m vsfa_jax.planning.table --cache=programs [--largest=v5e:2x4,v6e:2x2]

Each figure is of one compiled training step, minutes of compiling each. Figures that are there are
kept, in launch/plans.json, until `--again`; the table is written from that file. `--largest` looks
for the most rows a device on these slices, two or three compiled steps a line.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags, logging

from vsfa_jax.core import config
from vsfa_jax.core import main as entry
from vsfa_jax.core.errors import ConfigError
from vsfa_jax.core.paths import write_atomic, write_json
from vsfa_jax.data.batch import Budget
from vsfa_jax.planning import topology
from vsfa_jax.planning.changes import changed
from vsfa_jax.planning.examine import Slice, examine
from vsfa_jax.planning.largest import largest
from vsfa_jax.planning.report import GIB, Plan

MODELS = ("llava_1_5_7b", "llava_1_6_mistral_7b", "qwen2_5_vl_7b", "qwen3_vl_8b")
LORA = {"v5e:2x4": 8, "v6e:2x2": 8, "v5p:2x2x1": 8, "tpu7x:2x2x1": 16}  # rows of a step, by slice
INT8 = {"v6e:1x1": 2}
FULL = {"v5e:8x8": 64, "v6e:4x4": 32}
FILE, README = Path("launch/plans.json"), Path("launch/README.md")
_MOST_TRIED = 3  # compiled steps, in the search for the most rows
BEGIN, END = "<!-- the table of plans -->", "<!-- its end -->"


@dataclasses.dataclass(frozen=True)
class Case:
    """One line of the table: a config, what of it is changed, and where."""

    model: str
    trained: str
    topology: str
    change: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Its name in the file."""
        return f"{self.model}, {self.trained}, {self.topology}"


def every_case() -> Iterator[Case]:
    """In the order of the table."""
    for model in MODELS:
        for place, rows in LORA.items():
            yield Case(model, "LoRA", place, {"batch_rows": rows})
        for place, rows in INT8.items():
            change = {"batch_rows": rows, "model.quantize": "int8"}
            yield Case(model, "LoRA, int8 base", place, change)
        for place, rows in FULL.items():
            yield Case(model, "full", place, {"batch_rows": rows, "train.mode": "full"})


def planned(case: Case, cache: Path | None, rows: int) -> Plan:
    """What the compiler says of a case's step of `rows` rows.

    Raises:
      ConfigError: it cannot be compiled.
    """
    values = importlib.import_module(f"configs.{case.model}").get_config()
    settings = changed(config.load(values), {**case.change, "batch_rows": rows})
    place = Slice(case.topology, cache=cache)
    return examine(settings, place, "train", Budget(*settings.data.budgets[-1]))


def figures(case: Case, cache: Path | None) -> dict[str, Any]:
    """A case's plan, with how it was made.

    Raises:
      ConfigError: it cannot be compiled.
    """
    return {
        "plan": dataclasses.asdict(planned(case, cache, case.change["batch_rows"])),
        "change": dict(case.change),
        "devices": len(Slice(case.topology).devices()),
        "made": _made(),
    }


def largest_figures(case: Case, one: Mapping[str, Any], cache: Path | None) -> dict[str, Any]:
    """The most rows a device of a case whose figures are known, with how they were found.

    Raises:
      ConfigError: a step cannot be compiled.
    """
    devices = int(one["devices"])
    plan = Plan(**one["plan"])
    found = largest(
        plan.shape[0] // devices,
        plan,
        lambda rows: planned(case, cache, rows * devices),
        limit=_MOST_TRIED,
    )
    return {**dataclasses.asdict(found), "made": _made()}


def _made() -> str:
    return f"{datetime.date.today()}, {topology.versions()}"


def as_markdown(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The table; a case without figures is left out.

    Args:
      found: by the case's key.
    """
    lines = [
        "| model | trained | slice | rows a device | GiB of a device | available | of it weights | "
        "activations | PFLOP of a step | least time, s | MFU at most | most rows: MFU at most |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for case in every_case():
        if case.key in found:
            one = found[case.key]
            line = _line(case, Plan(**one["plan"]), int(one["devices"]))
            lines.append(f"{line} {_most(one.get('largest'))} |")
    return "\n".join(lines)


def _line(case: Case, plan: Plan, devices: int) -> str:
    rows = plan.shape[0] / devices
    verdict = f"{plan.needed / GIB:.2f}" if plan.fits else f"**{plan.needed / GIB:.2f}**"
    head = f"| {case.model} | {case.trained} | {case.topology} | {rows:g} | {verdict} | "
    head += f"{plan.available / GIB:.2f} | "
    if not plan.fits:
        return head + "– | – | – | – | does not fit |"
    weights, active = (
        sum(size for name, size in plan.memory.items() if name.startswith(start)) / GIB
        for start in (("weights, ", "adapter", "optimizer"), ("activations", "vision"))
    )
    times = plan.times
    step = plan.model_flops * devices / 1e15
    return head + (
        f"{weights:.2f} | {active:.2f} | {step:.2f} | {times['overlapped']:.2f} to "
        f"{times['serial']:.2f} | {plan.mfu_ceiling:.0%} to {plan.mfu_serial:.0%} |"
    )


def _most(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "–"
    plan = Plan(**found["plan"])
    return (
        f"{found['rows']} in {plan.needed / GIB:.2f} GiB: "
        f"{plan.mfu_ceiling:.0%} to {plan.mfu_serial:.0%}"
    )


def write_table(readme: Path, table: str) -> None:
    """Puts the table between its marks.

    Raises:
      ConfigError: the marks are not there.
    """
    before, mark, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise ConfigError(f"{readme}: found no {BEGIN!r} and {END!r}")
    write_atomic(readme, f"{before}{BEGIN}\n\n{table}\n\n{END}{after}")


def main(cache: str, again: bool, limit: int, largest: Sequence[str]) -> None:
    """Runs under `core.main`, from the repository's root."""
    topology.prepare_environment()
    file = entry.REPOSITORY / FILE
    found = json.loads(file.read_text()) if file.exists() and not again else {}
    folder = Path(cache) if cache else None
    missing = [case for case in every_case() if case.key not in found]
    print(f"{len(missing)} programs to compile, of which {min(limit, len(missing))} now")
    for case in missing[:limit]:
        with _logged(case):
            found[case.key] = figures(case, folder)
            write_json(file, found)
            logging.info("%s: %.2f GiB", case.key, found[case.key]["plan"]["needed"] / GIB)
    for case in every_case():
        one = found.get(case.key)
        if case.topology in largest and one and one["plan"]["fits"] and "largest" not in one:
            with _logged(case):
                one["largest"] = largest_figures(case, one, folder)
                write_json(file, found)
                logging.info("%s: at most %d rows", case.key, one["largest"]["rows"])
    write_table(entry.REPOSITORY / README, as_markdown(found))


@contextlib.contextmanager
def _logged(case: Case) -> Iterator[None]:
    """A case that cannot be compiled is named, and the next one goes on."""
    try:
        yield
    except ConfigError as error:
        logging.warning("%s: %s", case.key, error)


if __name__ == "__main__":
    entry.run(
        main,
        holders={
            "cache": flags.DEFINE_string("cache", "", "Folder where compiled programs are kept."),
            "again": flags.DEFINE_bool("again", False, "Make every figure again."),
            "limit": flags.DEFINE_integer("limit", 99, "The most programs that are compiled."),
            "largest": flags.DEFINE_list("largest", [], "Slices to find the most rows on."),
        },
    )
