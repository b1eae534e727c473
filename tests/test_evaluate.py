"""The evaluation from cases to files, with models that are made up."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
from wired_evaluation import Oracle, cases, settings, wired

from vsfa_jax import answering, evaluate, findings
from vsfa_jax.core.errors import CheckpointError, ConfigError, StoppedError
from vsfa_jax.core.workdir import Workdir
from vsfa_jax.data.record import Message
from vsfa_jax.kept import Kept

__all__ = ["cases", "settings", "wired"]  # fixtures

ROOT = Path(__file__).resolve().parents[1]


class Parrot:
    """Says the same to everyone, and remembers how it was asked."""

    def __init__(self, text):
        self.text, self.calls = text, []

    def generate(self, conversations, max_new_tokens, temperature, seeds, batch_size):
        conversations, seeds = list(conversations), list(seeds)
        self.calls.append((conversations, max_new_tokens, temperature, seeds, batch_size))
        return [f"{self.text} {seed}" for seed in seeds]


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_answers_keep_the_order_of_the_cases_and_share_their_seeds(cases):
    asked = {"max_new_tokens": 7, "temperature": 0.9, "batch_size": 2, "seed": 5}
    base, tuned = Parrot("yes"), Parrot("yes")
    said = answering.answers(base, cases, name="base", **asked)
    answering.answers(tuned, list(reversed(cases)), name="tuned", **asked)
    assert [answer.case_id for answer in said] == [case.id for case in cases]
    for case, answer in zip(cases, said, strict=True):
        assert answer.text == f"yes {answering.case_seed(5, case.id)}"
    seeds = [sorted(seed for call in parrot.calls for seed in call[3]) for parrot in (base, tuned)]
    assert seeds[0] == seeds[1]
    assert len(set(seeds[0])) == len(cases)
    assert len(base.calls[0][0]) == answering.ROUND * 2


def test_only_questions_with_one_right_answer_are_greedy(cases):
    parrot = Parrot("")
    answering.answers(
        parrot, cases, name="base", max_new_tokens=7, temperature=0.9, batch_size=500, seed=0
    )
    greedy = sum(case.kind == "vqa" for case in cases)
    sizes = [(temperature, len(talks)) for talks, _, temperature, _, _ in parrot.calls]
    assert sizes == [(0.0, greedy), (0.9, len(cases) - greedy)]
    assert {(call[1], call[4]) for call in parrot.calls} == {(7, 500)}


def test_a_case_is_asked_with_its_images_and_turns(cases):
    case = next(case for case in cases if case.category == "page")
    case = dataclasses.replace(case, messages=(Message("system", "Ann"), *case.messages))
    talk = answering.conversation(case)
    assert [image.size for image in talk["images"]] == [(64, 64)]
    assert talk["messages"][0] == {"role": "system", "content": "Ann"}
    assert talk["messages"][-1]["content"] == case.question


def test_from_settings_to_files(wired, settings, tmp_path, cases, capsys):
    evaluate.main(settings, Workdir(tmp_path))
    folder = tmp_path / "eval" / "main"
    printed = capsys.readouterr().out
    assert f"report: {folder / 'report.html'}" in printed
    assert sorted(path.name for path in folder.iterdir()) == [
        "answers.jsonl",
        "report.html",
        "table.json",
        "verdicts.jsonl",
    ]
    answers, verdicts = read_lines(folder / "answers.jsonl"), read_lines(folder / "verdicts.jsonl")
    assert [(a["case_id"], a["model"]) for a in answers] == [
        (v["case_id"], v["model"]) for v in verdicts
    ]
    num_vqa = sum(case.kind == "vqa" for case in cases)
    assert len(answers) == 2 * len(cases) + num_vqa
    table = json.loads((folder / "table.json").read_text())
    assert table["made"]["checkpoint"] == "step 150"
    whole = {row["measure"]: row for row in table["rows"] if row["category"] == ""}
    rates = {
        name: [row["rates"][m]["rate"] for m in ("base", "tuned")] for name, row in whole.items()
    }
    assert rates == {
        "asr": [1.0, 0.0],
        "over_refusal": [0.0, 0.0],
        "vqa": [1.0, 1.0],
        "watchful": [0.0, 0.0],
        "careless": [1.0, 1.0],
    }
    assert whole["asr"]["change"]["difference"] == -1.0
    assert whole["asr"]["change"]["p"] < 1e-6
    line = next(line for line in printed.splitlines() if "attack success" in line)
    assert line.split()[2:5] == ["30", "tuned", "0.0"]


def test_a_second_evaluation_replaces_the_first(wired, settings, tmp_path):
    evaluate.evaluate(settings, tmp_path)
    page = tmp_path / "eval" / "main" / "report.html"
    first = page.read_bytes()
    page.write_text("old")
    evaluate.evaluate(settings, tmp_path)
    assert page.read_bytes() == first


def test_a_base_that_has_answered_is_not_asked_again(wired, settings, tmp_path, cases):
    evaluate.evaluate(settings, tmp_path)
    folder = tmp_path / "eval" / "main"
    first = {name: (folder / name).read_bytes() for name in ("table.json", "report.html")}
    said = findings.read_answers(folder, "base")
    assert [answer.case_id for answer in said] == [case.id for case in cases]
    asked = []
    evaluate.assemble(settings).vlm.generate = lambda *a, **b: asked.append(a)
    evaluate.evaluate(settings, tmp_path, said)
    assert not asked
    assert {name: (folder / name).read_bytes() for name in first} == first
    (folder / "answers.jsonl").write_text("{}")
    with pytest.raises(CheckpointError, match="answers.jsonl: cannot be read"):
        findings.read_answers(folder, "base")


def test_an_evaluation_that_is_killed_asks_only_the_rest(
    wired, settings, tmp_path, cases, monkeypatch
):
    evaluate.evaluate(settings, tmp_path / "whole")
    folder, asked = tmp_path / "killed" / "eval" / "main", []
    real = Oracle.generate

    def killed(self, conversations, max_new_tokens, temperature, seeds, batch_size):
        if len(asked) > len(cases):
            raise KeyboardInterrupt
        asked.extend(seeds)
        return real(self, conversations, max_new_tokens, temperature, seeds, batch_size)

    monkeypatch.setattr(Oracle, "generate", killed)
    monkeypatch.setattr(answering, "ROUND", 1)
    small = dataclasses.replace(settings, eval=dataclasses.replace(settings.eval, batch_size=40))
    with pytest.raises(KeyboardInterrupt):
        evaluate.evaluate(small, tmp_path / "killed")
    assert [path.name for path in folder.iterdir()] == ["answered.jsonl"]
    with (folder / "answered.jsonl").open("a") as file:
        file.write('{"key": "torn')
    before = len(asked)
    assert len(cases) < before < 2 * len(cases)
    asked.clear()
    with pytest.raises(KeyboardInterrupt):
        evaluate.evaluate(
            dataclasses.replace(small, eval=dataclasses.replace(small.eval, temperature=0.5)),
            tmp_path / "killed",
        )
    assert len(asked) > len(cases), "what was answered otherwise is not taken"
    asked.clear()
    other = [dataclasses.replace(cases[0], caption="another picture"), *cases[1:]]
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(evaluate, "load_cases", lambda options: other)
        evaluate.evaluate(small, tmp_path / "killed")
    assert len(asked) > len(cases), "nor what was said to another case of the same name"
    monkeypatch.setattr(Oracle, "generate", real)
    asked.clear()

    def counted(self, conversations, max_new_tokens, temperature, seeds, batch_size):
        asked.extend(seeds)
        return real(self, conversations, max_new_tokens, temperature, seeds, batch_size)

    monkeypatch.setattr(Oracle, "generate", counted)
    evaluate.evaluate(settings, tmp_path / "killed")
    assert len(asked) == 2 * len(cases) - before
    for name in ("answers.jsonl", "verdicts.jsonl"):
        wanted = (tmp_path / "whole" / "eval" / "main" / name).read_bytes()
        assert (folder / name).read_bytes() == wanted
    assert not (folder / "answered.jsonl").exists()


def test_an_evaluation_that_is_stopped_keeps_what_was_answered(tmp_path, cases):
    kept = Kept(tmp_path, {"base": "key"})
    options = {"max_new_tokens": 7, "temperature": 0.9, "batch_size": 2, "seed": 0}
    with pytest.raises(StoppedError, match="asks only the rest"):
        answering.answers(
            Parrot("a"), cases, name="base", **options, kept=kept, stopped=lambda: True
        )
    again = Kept(tmp_path, {"base": "key", "tuned": "key"})
    assert len(again.answers("base")) == answering.ROUND * 2 and not again.answers("tuned")
    assert not Kept(tmp_path, {"base": "other"}).answers("base")
    parrot = Parrot("b")
    said = answering.answers(parrot, cases, name="base", **options, kept=again)
    texts = [answer.text.split()[0] for answer in said]
    assert texts.count("a") == answering.ROUND * 2 and texts.count("b") == len(cases) - 8
    assert [answer.case_id for answer in said] == [case.id for case in cases]


class Talker:
    """Tells answers two at a time, the last asked first, and may be killed amid them."""

    def __init__(self, patience):
        self.patience, self.asked = patience, []

    def stream(self, conversations, max_new_tokens, temperature, seeds, batch_size):
        rest = list(range(len(conversations)))
        while rest:
            if self.patience <= len(self.asked):
                raise KeyboardInterrupt
            ended, rest = rest[-2:], rest[:-2]
            self.asked += [seeds[number] for number in ended]
            yield {number: f"{seeds[number]} at {temperature}" for number in ended}


def test_answers_are_kept_as_they_end_and_each_case_is_asked_once(tmp_path, cases, capsys):
    options = {"max_new_tokens": 7, "temperature": 0.9, "batch_size": 64, "seed": 3}
    whole = answering.answers(Talker(10**6), cases, name="base", **options)
    asked = []
    for patience in (7, 50, 10**6):
        talker = Talker(patience)
        kept = Kept(tmp_path, {"base": "key"})
        before = len(kept.answers("base"))
        assert before == len(asked), "what was told before the kill is there"
        if patience < len(cases):
            with pytest.raises(KeyboardInterrupt):
                answering.answers(talker, cases, name="base", **options, kept=kept)
        else:
            said = answering.answers(talker, cases, name="base", **options, kept=kept, shows=True)
        asked += talker.asked
    assert said == whole
    assert sorted(asked) == sorted(answering.case_seed(3, case.id) for case in cases)
    first, *_, last = capsys.readouterr().err.splitlines()
    assert first.startswith(f"case {before + 2}/{len(cases)}  ") and " cases/s  0:00:0" in first
    assert last.startswith(f"case {len(cases)}/{len(cases)}  ") and last.endswith(" 0:00:00 left")


def test_the_pace_leaves_out_the_compiler(monkeypatch):
    clock = iter((0.0, 100.0, 110.0))
    monkeypatch.setattr(answering.time, "monotonic", lambda: next(clock))
    pace = answering.Pace(done=20, total=100)
    assert pace.row(30) == {"cases_per_s": 0.1, "left_s": 700.0}
    assert pace.row(50) == {"cases_per_s": 2.0, "left_s": 25.0}


KILLED = """
import sys, time
from pathlib import Path
from vsfa_jax import answering, benchmarks
from vsfa_jax.kept import Kept

class Slow:
    def stream(self, conversations, max_new_tokens, temperature, seeds, batch_size):
        for number in range(len(conversations)):
            time.sleep(0.002)
            print(seeds[number], flush=True)
            yield {number: f"{seeds[number]}"}

cases = benchmarks.load(["tinyworld"], per_kind=30, seed=0)
answering.answers(Slow(), cases, name="base", max_new_tokens=1, temperature=1.0, batch_size=8,
                  seed=0, kept=Kept(Path(sys.argv[1]), {"base": "key"}))
"""


@pytest.mark.slow
def test_nothing_that_was_kept_is_asked_again_after_kills(tmp_path, cases):
    """kill -9 while answers are written: at most the one being written is asked twice."""
    asked, kills = [], 0
    for wait in (5, 40, 3, 25, 10**6):
        command = [sys.executable, "-c", KILLED, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            told = []
            for line in process.stdout:
                told.append(int(line))
                if len(told) == wait:
                    process.kill()
                    kills += 1
        asked.append(told)
    assert kills == 4
    seeds = {answering.case_seed(0, case.id) for case in cases}
    kept = Kept(tmp_path, {"base": "key"}).answers("base")
    assert len(kept) == len(cases) and {int(text) for text in kept.values()} == seeds
    lines = (tmp_path / "answered.jsonl").read_text().splitlines()
    assert len(lines) == len(cases), "every case is answered once"
    everything = [seed for told in asked for seed in told]
    assert set(everything) == seeds and len(everything) <= len(seeds) + kills


@pytest.mark.parametrize("name", ["", "..", "a/b", "/a", ".hidden"])
def test_a_name_that_is_no_folder_is_refused_first(settings, tmp_path, name):
    other = dataclasses.replace(settings, eval=dataclasses.replace(settings.eval, name=name))
    with pytest.raises(ConfigError, match=r"eval\.name"):
        evaluate.evaluate(other, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(wired, settings, tmp_path):
    Path(tmp_path / "eval").write_text("a file in the way")
    with pytest.raises(CheckpointError, match="eval/main: cannot be written"):
        evaluate.evaluate(settings, tmp_path)
