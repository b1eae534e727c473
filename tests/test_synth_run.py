"""The whole of a synthesis: as a command, killed and resumed, and through services."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from loopback import Answer, Loopback, refuse, say, show
from synth_rows import photo, settings
from test_synth_images import fill

from configs import synth_tiny
from vsfa_jax.core import schema
from vsfa_jax.core.errors import ConfigError, OutOfBudgetError
from vsfa_jax.data.sources import open_source
from vsfa_jax.synth import balance, estimate, write
from vsfa_jax.synth.pipeline import STAGES, Options, Pipeline
from vsfa_jax.synth.settings import ARMS, Settings

ROOT = Path(__file__).resolve().parents[1]
SMALL = ("--config.concepts.limit=4", "--config.images.per_prompt=3")


def tiny(**values: Any) -> Settings:
    """configs/synth_tiny.py, smaller."""
    tree = synth_tiny.get_config()
    tree.concepts.limit, tree.images.per_prompt, tree.arms.validation_share = 4, 3, 0.25
    for name, value in values.items():
        section, _, key = name.rpartition("__")
        (tree[section] if section else tree)[key] = value
    return schema.load(tree, Settings)


def run(out: Path, wanted: Settings, **options: Any) -> dict[str, Any]:
    made = Pipeline(wanted, out, Options(**options)).run()
    assert made is not None
    return made


def test_a_small_set_is_made_read_and_not_made_again(tmp_path: Path) -> None:
    made = run(tmp_path / "out", tiny())
    measured = json.loads((tmp_path / "out/balance.json").read_text())
    assert balance.unbalanced(measured, 0.01) == []
    records = [json.loads(line) for line in (tmp_path / "out/records.jsonl").open()]
    for split, arms in made["records"].items():
        assert list(arms) == list(ARMS)
        for arm, count in arms.items():
            source = open_source(tmp_path / "out", split, arm)
            assert len(source) == count == measured["splits"][split][arm]["rows"]
            assert source.fingerprint == made["fingerprints"][split][arm]
            told = {
                r["id"]: r["messages"] for r in records if (r["split"], r["arm"]) == (split, arm)
            }
            first = source[0]
            assert [m.content for m in first.messages] == [m["content"] for m in told[first.id]]
    card = (tmp_path / "out/README.md").read_text()
    assert made["content_sha256"] in card
    croissant = json.loads((tmp_path / "out/croissant.json").read_text())
    assert {file["@id"]: file["sha256"] for file in croissant["distribution"]} == made["files"]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.*")}
    assert run(tmp_path / "out", tiny()) == made
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.*")} == before


@pytest.mark.slow
def test_the_seed_decides_the_hash(tmp_path: Path) -> None:
    first = run(tmp_path / "first", tiny())
    assert run(tmp_path / "second", tiny())["content_sha256"] == first["content_sha256"]
    assert run(tmp_path / "third", tiny(seed=1))["content_sha256"] != first["content_sha256"]
    # back and forth in one folder
    assert run(tmp_path / "first", tiny(seed=1))["content_sha256"] != first["content_sha256"]
    assert run(tmp_path / "first", tiny())["content_sha256"] == first["content_sha256"]


@pytest.mark.slow
def test_a_setting_makes_anew_what_depends_on_it(tmp_path: Path) -> None:
    run(tmp_path, tiny())

    def times() -> dict[str, int]:
        return {s: (tmp_path / f"stages/{s}.jsonl").stat().st_mtime_ns for s in STAGES[:-1]}

    before = times()
    run(tmp_path, tiny(arms__spare=0.3))
    changed = {stage for stage, at in times().items() if at != before[stage]}
    assert changed == {"arms"}
    for name in ("records.jsonl", f"{write.FOLDER}/dataset_info.json"):
        made = json.loads((tmp_path / "manifest.json").read_text())
        (tmp_path / name).unlink()
        assert run(tmp_path, tiny(arms__spare=0.3))["content_sha256"] == made["content_sha256"]
        assert (tmp_path / name).exists()
    before = times()
    run(tmp_path, tiny(arms__spare=0.3, questions__per_kind=1))
    changed = {stage for stage, at in times().items() if at != before[stage]}
    assert changed == {"questions", "filters", "arms"}


@pytest.mark.slow
def test_one_stage_at_a_time(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--only=images: the stage concepts is not done"):
        Pipeline(tiny(), tmp_path / "parts", Options(only="images")).run()
    for stage in STAGES[:-1]:
        assert Pipeline(tiny(), tmp_path / "parts", Options(only=stage)).run() is None
        assert (tmp_path / f"parts/stages/{stage}.jsonl").exists()
    made = run(tmp_path / "parts", tiny(), only="write")
    assert made["content_sha256"] == run(tmp_path / "whole", tiny())["content_sha256"]


def start(out: Path, *flags: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "vsfa_jax.synth", "--config=configs/synth_tiny.py"]
    return subprocess.Popen(
        [*command, f"--out={out}", *SMALL, *flags],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_killed_between_and_inside_stages_it_goes_on_to_the_same_hash(tmp_path: Path) -> None:
    whole = start(tmp_path / "whole")
    assert whole.wait() == 0, whole.stderr
    wanted = json.loads((tmp_path / "whole/manifest.json").read_text())
    kills = 0
    watched = [f"stages/{stage}{end}.jsonl" for stage in STAGES[:-1] for end in (".part", "")]
    for name in (*watched, "threat_vqa"):
        child = start(tmp_path / "killed")
        while not (tmp_path / "killed" / name).exists() and child.poll() is None:
            time.sleep(0.001)
        if child.poll() is None:
            child.send_signal(signal.SIGKILL)
            kills += 1
        child.wait()
    assert kills >= 6
    last = start(tmp_path / "killed")
    assert last.wait() == 0, last.stderr
    found = json.loads((tmp_path / "killed/manifest.json").read_text())
    # tfds writes the same records in other bytes: a protocol buffer's map has no order
    assert {**found, "files": {}} == {**wanted, "files": {}}
    assert found["files"]["records.jsonl"] == wanted["files"]["records.jsonl"]
    assert not list((tmp_path / "killed/stages").glob("*.part.jsonl"))
    assert not list((tmp_path / "killed").glob(".set.*"))


@pytest.mark.slow
def test_train_reads_the_set(tmp_path: Path) -> None:
    run(tmp_path / "set", tiny())
    for arm in ("threat", "text_only"):
        done = subprocess.run(
            [
                *(sys.executable, "-m", "vsfa_jax.train", "--config=configs/tiny.py"),
                *(f"--workdir={tmp_path / arm}", f"--config.data.path={tmp_path / 'set'}"),
                *(f"--config.data.arm={arm}", "--config.steps=3", "--config.probe.per_kind=0"),
                "--config.eval_every=3",
            ],
            cwd=ROOT,
            env={**os.environ, "JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        lines = [json.loads(line) for line in (tmp_path / arm / "metrics.jsonl").open()]
        assert lines[-1]["step"] == 3


# Services: one script answers as a chat model and as a painter.

PAPERS = '{"id": "1", "abstract": "wolves"}\n{"id": "2", "abstract": "drones"}\n'
NOUNS = (
    *("wolf", "drone", "mine", "dam", "tank", "cage"),
    *("laser", "robot", "needle", "vault", "tower", "siren"),
)


def script(body: dict[str, Any], number: int) -> Answer:
    """Concepts for abstracts, pictures for prompts, pairs for pictures; each by its contents."""
    if "prompt" in body:
        return show(photo(zlib.crc32(body["prompt"].encode())))
    content = body["messages"][-1]["content"]
    if isinstance(content, str):
        first = 6 * ("drones" in content)
        listed = [concept(NOUNS[first + at]) for at in range(3)]
        return say(json.dumps({"concepts": listed}))
    text = content[1]["text"]
    answer = f"There is one {seen(content)} to be seen."
    if text.startswith("Answer each"):
        numbers = range(1, text.count("?") + 1)
        return say(json.dumps({"answers": [{"number": n, "answer": answer} for n in numbers]}))
    kinds = [kind for kind in ("object", "count") if kind in text]
    pairs = [{"kind": kind, "question": f"Which {kind} is it?", "answer": answer} for kind in kinds]
    return say(json.dumps({"description": f"A {seen(content)} on a table.", "pairs": pairs}))


def number_of(content: list[dict[str, Any]]) -> int:
    """A number that the picture decides."""
    return zlib.crc32(content[0]["image_url"]["url"].encode())


def seen(content: list[dict[str, Any]]) -> str:
    return NOUNS[number_of(content) % len(NOUNS)]


def concept(noun: str) -> dict[str, Any]:
    def drawn(name: str) -> dict[str, Any]:
        prompts = [f"{name} by day", f"{name} by night"]
        return {"name": name, "description": f"a {name}", "prompts": prompts}

    return {"category": "animals", **drawn(noun), "neutral": drawn(f"peaceful {noun[::-1]}")}


def served(tmp_path: Path, url: str, **values: Any) -> Settings:
    papers = tmp_path / "papers.jsonl"
    papers.write_text(PAPERS)
    return settings(
        progress=False,
        chat__base_url=url,
        chat__key_variable="",
        chat__retries=0,
        painter__base_url=url,
        painter__key_variable="",
        painter__retries=0,
        prices=(("m", 1.0, 2.0, 0.0), ("p", 0.0, 0.0, 0.01)),
        concepts__source="abstracts",
        concepts__path=str(papers),
        concepts__model="m",
        images__source="api",
        images__model="p",
        images__per_prompt=1,
        questions__teacher="api",
        questions__model="m",
        questions__kinds=("object", "count"),
        questions__per_kind=1,
        filters__language="",
        filters__equal_answers=1.0,
        arms__names=("threat", "neutral", "shuffled", "text_only", "mixed"),
        arms__validation_share=0.4,
        arms__spare=0.0,
        **values,
    )


@pytest.mark.slow
def test_a_set_through_services_is_paid_for_once(tmp_path: Path) -> None:
    with Loopback(script) as server:
        wanted = served(tmp_path, server.url)
        most = estimate.estimate(Pipeline(wanted, tmp_path / "out", Options()))
        assert server.bodies == []
        assert not (tmp_path / "out").exists()
        made = run(tmp_path / "out", wanted)
        asked = len(server.bodies)
        assert asked == 2 + 24 + 24 + 24  # abstracts, pictures, looks, second looks
        assert asked <= sum(line.requests for line in most)
        assert all(line.usd is not None for line in most)
        for stage in STAGES[:-1]:
            (tmp_path / f"out/stages/{stage}.jsonl").unlink()
        again = run(tmp_path / "out", wanted)
        assert len(server.bodies) == asked
        assert again["content_sha256"] == made["content_sha256"]
        exact = estimate.estimate(Pipeline(wanted, tmp_path / "out", Options()))
        assert [line.requests for line in exact] == [2, 24, 24, 24]
        assert all(line.is_exact and line.cached == line.requests for line in exact)
        assert "all together" in estimate.table(exact)


@pytest.mark.slow
def test_failed_answers_are_rows_and_never_data(tmp_path: Path) -> None:
    def faulty(body: dict[str, Any], number: int) -> Answer:
        if "prompt" in body:
            return refuse(400) if "wolf" in body["prompt"] else script(body, number)
        content = body["messages"][-1]["content"]
        if not isinstance(content, str) and body.get("response_format"):
            if number_of(content) % 6 == 0:
                return say("this is no JSON")
            if number_of(content) % 6 == 1:
                return say("", finish_reason="content_filter")
        return script(body, number)

    with Loopback(faulty) as server:
        made = run(tmp_path / "out", served(tmp_path, server.url, arms__token_difference=0.9))
    images = made["stages"]["images"]["counts"]
    assert images["Failed"] == images["reasons"]["bad_request"] == 2
    reasons = made["stages"]["questions"]["counts"]["reasons"]
    assert set(reasons) <= {"wrong_schema", "content_filter"}
    assert sum(reasons.values()) >= 2
    assert "this is no JSON" not in (tmp_path / "out/records.jsonl").read_text()


@pytest.mark.slow
def test_what_failed_in_passing_is_asked_again_when_told(tmp_path: Path) -> None:
    def busy(body: dict[str, Any], number: int) -> Answer:
        is_look = "messages" in body and not isinstance(body["messages"][-1]["content"], str)
        if is_look and number_of(body["messages"][-1]["content"]) % 3 == 0:
            return refuse(503)
        return script(body, number)

    with Loopback(busy) as server:
        wanted = served(tmp_path, server.url, arms__token_difference=0.9)
        first = run(tmp_path / "out", wanted)
        failed = first["stages"]["questions"]["counts"]["reasons"]["server"]
        assert failed >= 2
        server.script = script
        asked = len(server.bodies)
        assert run(tmp_path / "out", wanted) == first
        assert len(server.bodies) == asked
        again = run(tmp_path / "out", wanted, retry_failed=True)
        assert "Failed" not in again["stages"]["questions"]["counts"]
        assert len(server.bodies) == asked + failed * 2  # looks, and second looks


@pytest.mark.slow
def test_bounds_stop_a_run_and_another_call_goes_on(tmp_path: Path) -> None:
    with Loopback(script) as server:
        wanted = served(tmp_path, server.url)
        with pytest.raises(OutOfBudgetError, match="all stages of this call: 10 requests"):
            run(tmp_path / "out", wanted, limit=10)
        assert len(server.bodies) == 10
        with pytest.raises(OutOfBudgetError, match="budget_usd"):
            run(tmp_path / "out", wanted, budget_usd=0.1)
        assert 10 < len(server.bodies) <= 10 + 11
        run(tmp_path / "out", wanted)
        assert len(server.bodies) == 2 + 24 + 24 + 24


@pytest.mark.slow
def test_a_model_of_our_own_can_teach(tmp_path: Path) -> None:
    place = tmp_path / "mine"
    fill(place)  # twenty mixed files, and traps
    for name in ("2", "cmyk", "inner", "moving", "palette"):
        (place / "neutral" / f"{name}.png").write_bytes(photo(100 + len(name)))
    wanted = settings(
        concepts__source="folder",
        images__source="folder",
        images__path=str(place),
        questions__teacher="model",
        questions__model="tinyworld/coupled",
        questions__fixed=(("scene", "what is the background ?"), ("count", "how many things ?")),
        questions__max_new_tokens=8,
        filters__second_look=False,
        filters__equal_short_answers=1.0,
        filters__language="",
        arms__names=("threat", "neutral", "shuffled"),
        arms__validation_share=0.5,
        arms__spare=0.0,
        arms__token_difference=0.5,
    )
    made = run(tmp_path / "out", wanted)
    assert made["stages"]["images"]["counts"]["Picture"] == 16
    assert made["stages"]["images"]["counts"]["reasons"]["archive"] == 2
    assert {"threat", "neutral", "shuffled"} == set(made["records"]["train"])
    assert write.FOLDER in next(iter(made["files"]))
