"""Times the decoding of evaluation against transformers' `generate`, on this machine's CPU.

    python -m vsfa_jax.perf.decode

A Qwen2.5-VL of 4 layers, width 256 and 4,096 tokens with random weights answers questions about
images of mixed sizes greedily; every answer has a length that is drawn beforehand, the same for
all. Images are prepared within what is timed. The larger they are (--largest), the more of the time
goes to what both do alike. Each round times transformers one case at a time, transformers in padded
batches, and ours; a ratio is of one round, and the median of the rounds counts. Ours is run before,
until nothing is compiled any more; what the first run takes longer than a later one is told apart.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
from absl import flags, logging

from vsfa_jax import decode, models
from vsfa_jax.core import main as entry
from vsfa_jax.core.errors import ConfigError
from vsfa_jax.decode import slots
from vsfa_jax.perf import tiny_qwen
from vsfa_jax.perf.provenance import provenance
from vsfa_jax.perf.tiny_qwen import Case
from vsfa_jax.perf.transformers_baseline import Transformers

RESULTS = Path(__file__).parent / "results"
LENGTHS = (4, 64)  # tokens of an answer
GOALS = {"one by one": 5.0, "padded batches": 2.0}  # cases a second of ours to theirs, at least
PACKAGES = ("jax", "jaxlib", "flax", "torch", "transformers", "numpy", "pillow")
_MODULE = "vsfa_jax.perf.decode"
_NEVER = 10**6  # a stop token that no model says
Answers = list[list[int]]


def main(
    cases: int,
    rounds: int,
    rows: int,
    batch: int,
    per_image: int,
    largest: int,
    threads: int,
    seed: int,
    results: str,
) -> None:
    """Runs the benchmark, prints and writes its results.

    Raises:
      ConfigError: PyTorch is not installed, or there are fewer cores than threads.
    """
    _keep_to(threads)
    drawn = tiny_qwen.cases(cases, seed, per_image, LENGTHS, largest)
    with tempfile.TemporaryDirectory() as folder:
        directory = tiny_qwen.write(Path(folder) / "tiny", seed)
        vlm = models.load(directory)
        vlm.processor.stop_tokens = (_NEVER,)
        theirs = Transformers(directory, vlm.processor, threads)
        runs = {
            "one by one": lambda: [theirs.answer([case])[0] for case in drawn],
            "padded batches": lambda: _in_batches(theirs, drawn, batch),
            "ours": lambda: _ours(vlm, drawn, rows),
        }
        first, answers = _timed(runs["ours"])
        compiled = _programs()
        while runs["ours"]() and _programs() != compiled:  # buckets that come often get their own
            compiled = _programs()
        said = theirs.answer(drawn[:1])  # the first of theirs is slower too
        logging.info("first run %.1f s, %d programs", first, sum(compiled.values()))
        seconds, same = _rounds(runs, rounds, answers)
    found = {
        "provenance": provenance(_MODULE, PACKAGES),
        "machine": f"{platform.machine()}, {threads} threads of {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f} at the end",
        "cases": cases,
        "answer tokens": sum(case.length for case in drawn),
        "rows": rows,
        "padded batch": batch,
        "cases an image": per_image,
        "largest side of an image": largest,
        **_figures(seconds, cases),
        "compilation": {
            "s": round(first - statistics.median(seconds["ours"]), 1),
            "programs": compiled,
            "compiled later": sum(_programs().values()) - sum(compiled.values()),
        },
        "answers that agree": {**same, "first": said[0] == answers[0]},
    }
    print(_table(found))
    path = Path(results) if results else RESULTS / "decode-cpu.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(f"\nwritten: {path}")


def _keep_to(threads: int) -> None:
    """Leaves this process as many cores as it may use threads, before XLA counts them."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < threads:
        raise ConfigError(f"--threads: found {threads}, wanted at most {len(cores)}, the cores")
    os.sched_setaffinity(0, cores[:threads])
    jax.config.update("jax_platforms", "cpu")


def _ours(vlm: models.Vlm, cases: Sequence[Case], rows: int) -> Answers:
    answers: Answers = [[] for _ in cases]
    for ended in vlm.stream_tokens(
        [case.conversation for case in cases],
        LENGTHS[1],
        decode.Sampling(),
        list(range(len(cases))),
        rows,
        [case.length for case in cases],
    ):
        for number, tokens in ended.items():
            answers[number] = tokens
    return answers


def _in_batches(theirs: Transformers, cases: Sequence[Case], batch: int) -> Answers:
    parts = [cases[start : start + batch] for start in range(0, len(cases), batch)]
    return [tokens for part in parts for tokens in theirs.answer(part)]


def _programs() -> dict[str, int]:
    """Compiled programs by what they do."""
    return {name: getattr(slots, name)._cache_size() for name in slots.PROGRAMS}


def _timed(run: Callable[[], Answers]) -> tuple[float, Answers]:
    began = time.perf_counter()
    answers = run()
    return time.perf_counter() - began, answers


def _rounds(
    runs: dict[str, Callable[[], Answers]], rounds: int, wanted: Answers
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Seconds of each by round, and the share of its answers that are `wanted`."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    same: dict[str, float] = {}
    for number in range(rounds):
        for name, run in runs.items():
            took, answers = _timed(run)
            seconds[name].append(took)
            same[name] = sum(map(list.__eq__, answers, wanted)) / len(wanted)
            logging.info("round %d: %s %.1f cases/s", number + 1, name, len(wanted) / took)
    return seconds, same


def _figures(seconds: dict[str, list[float]], cases: int) -> dict[str, Any]:
    speeds = {name: [round(cases / s, 2) for s in took] for name, took in seconds.items()}
    ratios = {}
    for name, goal in GOALS.items():
        each = [b / a for a, b in zip(seconds["ours"], seconds[name], strict=True)]
        ratios[name] = {
            "median": round(statistics.median(each), 2),
            "rounds": [round(ratio, 2) for ratio in each],
            "goal": goal,
            "reached": statistics.median(each) >= goal,
        }
    return {"cases/s": speeds, "ours to": ratios}


def _table(found: dict[str, Any]) -> str:
    lines = [f"{'':<16} {'cases/s':>8}  {'ours to it':>10}  rounds"]
    for name, speeds in found["cases/s"].items():
        ratio = found["ours to"].get(name)
        told = f"{ratio['median']:>10.2f}  {ratio['rounds']}, goal {ratio['goal']}" if ratio else ""
        lines.append(f"{name:<16} {statistics.median(speeds):>8.2f}  {told}".rstrip())
    lines.append(f"compilation: {found['compilation']}")
    lines.append(f"answers that agree: {found['answers that agree']}")
    return "\n".join(lines)


def _define() -> dict[str, flags.FlagHolder]:
    return {
        "cases": flags.DEFINE_integer("cases", 256, "How many are answered.", 1),
        "rounds": flags.DEFINE_integer("rounds", 3, "How often each is timed.", 1),
        "rows": flags.DEFINE_integer("rows", 32, "That ours decodes together.", 1),
        "batch": flags.DEFINE_integer("batch", 16, "Of transformers' padded batches.", 1),
        "per_image": flags.DEFINE_integer("per_image", 1, "Cases that share an image.", 1),
        "largest": flags.DEFINE_integer("largest", 112, "Pixels of an image's side.", 28, 448),
        "threads": flags.DEFINE_integer("threads", 2, "Of both.", 1),
        "seed": flags.DEFINE_integer("seed", 0, "Of weights, images, questions and lengths."),
        "results": flags.DEFINE_string("results", "", "File; the repository's if empty."),
    }


if __name__ == "__main__":
    entry.run(main, _define())
