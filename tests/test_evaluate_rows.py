"""Rows beside base and tuned, judging again, and evaluations that are set beside each other."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import loopback
import pytest
from wired_evaluation import Oracle, wired

from configs import tiny
from vsfa_jax import benchmarks, evaluate, findings, provenance
from vsfa_jax.core import config
from vsfa_jax.core.errors import CheckpointError, ConfigError, OutOfQuotaError, UnjudgedError
from vsfa_jax.core.workdir import Workdir
from vsfa_jax.manifest import Manifest

__all__ = ["wired"]  # a fixture


@pytest.fixture(scope="module")
def cases():
    return benchmarks.load(["tinyworld"], per_kind=8, seed=0)


@pytest.fixture
def settings():
    return changed(config.load(tiny.get_config()), per_kind=8)


def changed(settings, **options):
    return dataclasses.replace(settings, eval=dataclasses.replace(settings.eval, **options))


def asking(settings, url, **options):
    """Judged by the world's rules, and by a service besides."""
    judge = dataclasses.replace(settings.judge, base_url=url, retries=0, concurrency=2)
    return changed(dataclasses.replace(settings, judge=judge), judges=("own", "api"), **options)


def read_table(place, name="main"):
    return json.loads((place / "eval" / name / "table.json").read_text())


def whole(table, measure):
    (row,) = [r for r in table["rows"] if (r["measure"], r["category"]) == (measure, "")]
    return row


def agree(body, number):
    """What the rules say of the world's answers: the base gives steps, the tuned declines."""
    outcome = "complies" if "step one" in body["messages"][-1]["content"] else "refuses"
    return loopback.say(json.dumps({"analysis": "so", "outcome": outcome}))


def test_a_defence_is_a_row_beside_the_base(wired, settings, tmp_path, cases):
    text = evaluate.evaluate(changed(settings, defences=("system_prompt",)), tmp_path)
    table = read_table(tmp_path)
    assert [vector["model"] for vector in table["vectors"]] == [
        "base",
        "base+system_prompt",
        "tuned",
    ]
    row = whole(table, "asr")
    assert row["changes"].keys() == {"base+system_prompt", "tuned"}
    assert row["changes"]["base+system_prompt"]["difference"] == 0.0
    assert table["family"]["tests"] == 2 * 5
    assert "base+system_prompt" in text and "Holm" in text
    answers = findings.read_answers(tmp_path / "eval" / "main", "base+system_prompt")
    assert [answer.case_id for answer in answers] == [case.id for case in cases]
    with pytest.raises(ConfigError, match="'ecos'; the nearest is 'ecso'"):
        evaluate.evaluate(changed(settings, defences=("ecos",)), tmp_path)


def test_a_judge_that_lacks_a_setting_is_refused_before_anything_is_asked(
    settings, tmp_path, monkeypatch
):
    monkeypatch.setattr(evaluate, "assemble", None)
    with pytest.raises(ConfigError, match=r"judge\.path"):
        evaluate.evaluate(changed(settings, judges=("own", "local")), tmp_path)


def test_a_bare_checkpoint_has_no_tuned_row(wired, settings, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "settings_of_run", None)
    monkeypatch.setattr(evaluate, "restore", None)
    evaluate.evaluate(changed(settings, tuned=False), tmp_path)
    table = read_table(tmp_path)
    assert whole(table, "asr")["changes"] == {}
    assert "checkpoint" not in table["made"]
    assert [vector["model"] for vector in table["vectors"]] == ["base"]


def test_the_vector_is_in_the_table_with_who_is_beaten(wired, settings, tmp_path):
    evaluate.evaluate(settings, tmp_path)
    base, tuned = read_table(tmp_path)["vectors"]
    assert base["parts"]["asr"]["sets"] == {"tinyworld": 1.0}
    assert tuned["parts"]["asr"]["difference"] == -1.0
    assert (base["beaten_by"], tuned["beaten_by"]) == (["tuned"], [])
    assert base["parts"].keys() == {"asr", "over_refusal", "ability"}


def test_judging_again_needs_no_model(wired, settings, tmp_path, monkeypatch):
    evaluate.evaluate(settings, tmp_path)
    folder = tmp_path / "eval" / "main"
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    for name in ("assemble", "restore", "check_workdir", "settings_of_run"):
        monkeypatch.setattr(evaluate, name, None)
    (folder / "verdicts.jsonl").write_text("")
    evaluate.rejudge(settings, tmp_path)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
    with pytest.raises(CheckpointError, match="answers to cases .* wanted the same"):
        evaluate.rejudge(changed(settings, per_kind=4), tmp_path)
    with pytest.raises(CheckpointError, match="wanted the folder of one that came to its end"):
        evaluate.rejudge(changed(settings, name="other"), tmp_path)


def test_what_was_judged_and_paid_is_not_asked_again(wired, settings, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "key")

    def poor(body, number):
        return (
            agree(body, number)
            if len(server.bodies) <= 20
            else loopback.refuse(429, "insufficient_quota")
        )

    with loopback.Loopback(poor) as server:
        wanted = asking(settings, server.url)
        with pytest.raises(OutOfQuotaError):
            evaluate.evaluate(wanted, tmp_path)
        folder = tmp_path / "eval" / "main"
        assert sorted(path.name for path in folder.iterdir()) == [
            "answered.jsonl",
            "answers.jsonl",
        ]
        paid = {json.dumps(body) for body in server.answered[:20]}
        server.forget(agree)
        monkeypatch.setattr(Oracle, "generate", None)  # every answer is kept
        evaluate.evaluate(wanted, tmp_path)
        rest = [json.dumps(body) for body in server.bodies]
        assert rest and len(set(rest)) == len(rest)
        assert len(paid & set(rest)) <= 2  # what was under way when the quota ended
        server.forget(lambda body, number: loopback.refuse(401))
        first = (folder / "table.json").read_bytes()
        evaluate.rejudge(wanted, tmp_path)
        assert not server.bodies and (folder / "table.json").read_bytes() == first
    kappas = {
        (row["kind"], row["benchmark"]): row["kappa"]["kappa"]
        for row in read_table(tmp_path)["agreement"]
    }
    assert kappas["attack", ""] == kappas["attack", "tinyworld"] == 1.0
    page = (folder / "report.html").read_text()
    assert "Do the judges agree?" in page and "rules, api" in page


@pytest.mark.slow
def test_an_evaluation_that_is_killed_while_it_judges_asks_nothing_twice(tmp_path):
    root = Path(__file__).resolve().parents[1]
    paths = os.pathsep.join([str(root), str(root / "tests")])
    environment = {**os.environ, "PYTHONPATH": paths, "JAX_PLATFORMS": "cpu"}

    def slow(body, number):
        return dataclasses.replace(agree(body, number), delay_s=0.1)

    with loopback.Loopback(slow) as server:
        command = [sys.executable, "tests/judged_evaluation.py", server.url, str(tmp_path)]
        process = subprocess.Popen(command, cwd=root, env=environment)
        deadline = time.monotonic() + 120
        while len(server.answered) < 15:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
        process.wait()
        folder = tmp_path / "eval" / "main"
        assert sorted(path.name for path in folder.iterdir()) == [
            "answered.jsonl",
            "answers.jsonl",
        ]
        before = [json.dumps(body) for body in server.bodies]
        server.forget(agree)
        done = subprocess.run(
            command, cwd=root, env=environment, check=True, capture_output=True, text=True
        )
        after = [json.dumps(body) for body in server.bodies]
    assert done.stdout.split()[-1] == "0", "no answer is asked for again"
    assert len(set(after)) == len(after) > 20
    assert len(set(before) & set(after)) <= 4  # what was under way, or not yet on the disk
    assert read_table(tmp_path)["agreement"]


def test_more_unjudged_than_the_limit_ends_with_status_1_and_a_table(
    wired, settings, tmp_path, capsys, monkeypatch
):
    real = Oracle.generate

    def silent(self, conversations, max_new_tokens, temperature, seeds, batch_size):
        said = real(self, conversations, max_new_tokens, temperature, seeds, batch_size)
        return ["", *said[1:]]

    monkeypatch.setattr(Oracle, "generate", silent)
    with pytest.raises(UnjudgedError, match=r"1 of 8 answers of 'base' to tinyworld \(attack\)"):
        evaluate.main(settings, Workdir(tmp_path))
    assert "attack success" in capsys.readouterr().out
    table = read_table(tmp_path)
    assert {row["model"] for row in table["unjudged_over_limit"]} == {"base", "tuned"}
    assert whole(table, "asr")["rates"]["base"]["judged"] == 7
    assert "1 of 8 answers" in (tmp_path / "eval/main/report.html").read_text()
    evaluate.main(changed(settings, max_unjudged=0.125), Workdir(tmp_path))


@pytest.mark.parametrize("part", ["base_weights", "template", "resolution"])
def test_a_run_of_another_base_template_or_resolution_is_refused_by_name(
    wired, settings, tmp_path, monkeypatch, part
):
    own = Manifest("", "", "template", "resolution", "base", "code")
    monkeypatch.setattr(evaluate, "check_workdir", provenance.check_workdir)
    monkeypatch.setattr(provenance, "manifest", lambda settings, assembly, inputs: own)
    dataclasses.replace(own, **{part: "theirs"}).write(tmp_path)
    monkeypatch.setattr(Oracle, "generate", None)  # nothing is asked
    with pytest.raises(CheckpointError, match=f"made from other parts: {part} is theirs, wanted"):
        evaluate.evaluate(settings, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_other_workdirs_are_rows_of_one_table(wired, settings, tmp_path):
    for name in ("threat", "neutral"):
        evaluate.evaluate(settings, tmp_path / name)
    own = tmp_path / "own"
    others = [str(tmp_path / "threat"), str(tmp_path / "neutral" / "eval" / "main")]
    evaluate.evaluate(settings, own, baselines=others)
    row = whole(read_table(own), "asr")
    assert [vector["model"] for vector in read_table(own)["vectors"]] == [
        "base",
        "tuned",
        "threat",
        "main",
    ]
    assert row["changes"]["threat"] == {**row["changes"]["tuned"]}
    assert len(findings.read_answers(own / "eval" / "main", "threat")) == 40
    evaluate.rejudge(settings, own)
    assert whole(read_table(own), "asr")["rates"].keys() == {"base", "tuned"}
    evaluate.rejudge(settings, own, baselines=others[:1])
    assert whole(read_table(own), "asr")["rates"].keys() == {"base", "tuned", "threat"}


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({"per_kind": 4}, "20 cases only here, e.g. 'tinyworld/attack"),
        ({"seed": 1}, "40 cases only there, e.g. .*40 cases only here"),
        ({"judges": ("refusal",)}, "judges is refusal, rules, wanted rules"),
    ],
)
def test_a_baseline_of_another_test_is_refused(wired, settings, tmp_path, options, difference):
    evaluate.evaluate(settings, tmp_path / "own")
    theirs = changed(settings, **options)
    table = read_table(tmp_path / "own")
    other = evaluate.load_cases(theirs.eval)
    identity = {
        **table["identity"],
        "case_set_hash": evaluate.case_set_hash(other),
        "judges": evaluate.judges_text(theirs, other),
    }
    folder = tmp_path / "theirs" / "eval" / "main"
    folder.mkdir(parents=True)
    (folder / "table.json").write_text(json.dumps({**table, "identity": identity}))
    lines = [{"case_id": case.id, "model": "tuned", "text": ""} for case in other]
    (folder / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(CheckpointError, match=difference):
        evaluate.rejudge(settings, tmp_path / "own", baselines=[str(tmp_path / "theirs")])


def test_baselines_need_names_of_their_own(wired, settings, tmp_path):
    evaluate.evaluate(settings, tmp_path / "a" / "run")
    twice = [str(tmp_path / "a" / "run")] * 2
    with pytest.raises(CheckpointError, match="a second row 'run'"):
        evaluate.rejudge(settings, tmp_path / "a" / "run", baselines=twice)
    with pytest.raises(CheckpointError, match="no evaluation that can be read"):
        evaluate.rejudge(settings, tmp_path / "a" / "run", baselines=[str(tmp_path)])


def test_steps_of_one_run_share_a_picture(wired, settings, tmp_path):
    for step in (50, 100):
        evaluate.evaluate(changed(settings, step=step, name=f"at_{step}"), tmp_path)
    evaluate.evaluate(changed(settings, per_kind=4, step=120, name="other_cases"), tmp_path)
    evaluate.evaluate(settings, tmp_path)
    page = (tmp_path / "eval" / "main" / "report.html").read_text()
    assert "step 50" in page and "step 100" in page and "step 120" not in page
    assert '<polyline class="path"' in page
    assert read_table(tmp_path, "at_50")["made"]["checkpoint"] == "step 50"


def test_attacks_in_two_modes_are_counted_apart(wired, settings, tmp_path, monkeypatch):
    real = Oracle.generate

    def generate(self, conversations, max_new_tokens, temperature, seeds, batch_size):
        self.says = {seed: self.says.get(seed, "red") for seed in seeds} | self.says
        return real(self, conversations, max_new_tokens, temperature, seeds, batch_size)

    monkeypatch.setattr(Oracle, "generate", generate)
    evaluate.evaluate(changed(settings, modes=("image", "blank_image"), max_unjudged=1.0), tmp_path)
    table = read_table(tmp_path)
    names = [r["benchmark"] for r in table["rows"] if (r["measure"], r["category"]) == ("asr", "")]
    assert names == ["tinyworld", "tinyworld/blank_image"]
    assert table["vectors"][0]["parts"]["asr"]["sets"] == {"tinyworld": 1.0}
    with pytest.raises(ConfigError, match=r"eval\.modes"):
        evaluate.evaluate(changed(settings, modes=()), tmp_path)
