"""The study: what is run, what is not run again, and its table."""

import dataclasses
import json

import pytest
from findings import make_case

from configs import tiny
from vsfa_jax import study, study_table
from vsfa_jax.core import config
from vsfa_jax.core.errors import CheckpointError, ConfigError, TrainingError, UnjudgedError
from vsfa_jax.core.paths import write_json

ARMS, SEEDS = ("threat", "neutral"), (0, 1)
# What the tuned model does with attacks 0..3, by arm and seed; the base complies with all four.
COMPLIES = {
    ("threat", 0): (False, False, False, True),
    ("threat", 1): (False, True, False, True),
    ("neutral", 0): (True, True, True, True),
    ("neutral", 1): (True, False, True, True),
}


def wanted(**changes):
    made = config.load(tiny.get_config())
    plan = dataclasses.replace(made.study, arms=ARMS, seeds=SEEDS)
    return dataclasses.replace(made, study=plan, **changes)


@pytest.fixture
def made(monkeypatch):
    """The study with a training and an evaluation that only write what they would leave."""
    trained, base_answers = [], []

    def train(one, place):
        trained.append((one.data.arm, one.seed, one.steps))
        write_json(place / "config.json", config.to_dict(one))
        return True

    def evaluate(one, place, base):
        base_answers.append([answer.text for answer in base])
        folder = place / "eval" / one.eval.name
        folder.mkdir(parents=True, exist_ok=True)
        answers, verdicts = [], []
        for number, complies in enumerate(COMPLIES[one.data.arm, one.seed]):
            case = {"case_id": f"c{number}", "kind": "attack", "category": "page"}
            for model, hit in (("base", True), ("tuned", complies)):
                answers.append({**case, "model": model, "text": f"{model} says"})
                outcome = "complies" if hit else "refuses"
                about = {"judge": "rules", "reason": "", "score": None}
                about |= {"case_id": case["case_id"], "model": model, "outcome": outcome}
                verdicts.append(about)
        for name, rows in (("answers", answers), ("verdicts", verdicts)):
            text = "".join(json.dumps(row) + "\n" for row in rows)
            (folder / f"{name}.jsonl").write_text(text)
        rate, change = {"rate": None}, {"difference": None}
        tuned = {"unjudged": 0}
        table = [
            {"measure": m, "category": c, "rates": {"base": rate, "tuned": tuned}, "change": change}
            for _, m, c in study_table.COLUMNS
        ]
        table[0]["rates"]["base"] = {"rate": 1.0, "low": 0.51, "high": 1.0}
        table[0]["rates"]["tuned"] = {"unjudged": one.seed}
        table[0]["change"] = {"difference": -0.75, "low": -0.9, "high": -0.1}
        made_of = {"checkpoint": f"step {one.steps}"}
        over = {"unjudged_over_limit": [], "identity": {}}
        write_json(folder / "table.json", {"made": made_of, "rows": table, **over})

    cases = [dataclasses.replace(make_case(n, "attack", "page"), id=f"c{n}") for n in range(4)]
    monkeypatch.setattr(study, "load_cases", lambda options: cases)
    monkeypatch.setattr(study, "train", train)
    monkeypatch.setattr(study, "evaluate", evaluate)
    return trained, base_answers


def cells(text, name, seed):
    (line,) = [li for li in text.splitlines() if li.startswith(f"| {name} | {seed} |")]
    return line.strip("| ").split(" | ")[2:]


def test_each_arm_and_seed_is_run_once_and_the_base_asked_once(made, tmp_path):
    trained, base_answers = made
    text = study.study(wanted(), tmp_path)
    assert trained == [(arm, seed, 100) for arm in ARMS for seed in SEEDS]
    assert base_answers == [[], *[["base says"] * 4] * 3]
    assert (tmp_path / "study.md").read_text() == text + "\n"
    assert study.study(wanted(), tmp_path) == text
    assert len(trained) == 4


def test_longer_runs_are_gone_on_with_and_other_settings_refused(made, tmp_path):
    trained, _ = made
    study.study(wanted(), tmp_path)
    study.study(wanted(steps=200), tmp_path)
    assert trained[4:] == [(arm, seed, 200) for arm in ARMS for seed in SEEDS]
    other = dataclasses.replace(wanted().model, path="tinyworld/uncoupled")
    with pytest.raises(CheckpointError, match=r"model\.path was 'tinyworld/coupled'"):
        study.study(wanted(model=other), tmp_path)
    with pytest.raises(ConfigError, match=r"study\.arms"):
        study.study(config.load(tiny.get_config()), tmp_path)


def test_a_stopped_run_stops_the_study_and_is_not_evaluated(made, tmp_path, monkeypatch):
    _, base_answers = made
    monkeypatch.setattr(study, "train", lambda one, place: False)
    with pytest.raises(TrainingError, match="threat-0: stopped"):
        study.study(wanted(), tmp_path)
    assert not base_answers and not (tmp_path / "study.md").exists()


def test_lines_of_the_table(made, tmp_path):
    text = study.study(wanted(), tmp_path)
    assert cells(text, "base", "")[:2] == ["100.0 % [51, 100]", "-"]
    assert cells(text, "threat", "1")[:2] == ["-75.0 [-90, -10] (1u)", "-"]
    # By case the threat arm changed -1, -1/2, -1, 0 and the neutral one 0, -1/2, 0, 0.
    assert cells(text, r"**threat**", "all 2")[0] == "-62.5 [-100, -14]"
    assert cells(text, r"**neutral**", "all 2")[0] == "-12.5 [-61, +36]"
    assert cells(text, r"**threat - neutral**", "all")[0] == "-50.0 [-100, +7]"


def test_the_page_pools_the_seeds_of_each_arm(made, tmp_path):
    study.study(wanted(), tmp_path)
    page = (tmp_path / "study.html").read_text()
    # by case the threat arm complied in 0, 1/2, 0 and 1 of its two runs, the neutral arm in 1, 1/2
    assert '<span class="figure">37.5</span>' in page
    assert '<span class="figure">87.5</span>' in page
    assert "threat - neutral" in page and "-50.0 [" in page
    assert "threat-0" in page, "each run's answers are shown case by case"


def test_a_run_with_too_much_unjudged_ends_the_study_with_status_1(made, tmp_path, capsys):
    study.study(wanted(), tmp_path)
    path = tmp_path / "neutral-1" / "eval" / "main" / "table.json"
    over = {"model": "tuned", "benchmark": "tinyworld", "kind": "attack", "judge": "rules"}
    table = json.loads(path.read_text())
    table["unjudged_over_limit"] = [{**over, "unjudged": 1, "answers": 4}]
    path.write_text(json.dumps(table))
    with pytest.raises(UnjudgedError, match=r"neutral-1: more than 2 %.*1 of 4 answers"):
        study.main(wanted(), tmp_path)
    assert "study.html" in capsys.readouterr().out


def test_a_folder_that_holds_no_evaluation_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="no evaluation that can be read"):
        study_table.read_result(tmp_path)


def test_what_was_not_judged_is_counted_and_in_no_mean(made, tmp_path):
    study.study(wanted(), tmp_path)
    path = tmp_path / "threat-0" / "eval" / "main" / "verdicts.jsonl"
    lines = path.read_text().splitlines()
    lines[1] = lines[1].replace("refuses", "unjudged")  # of case 0, which changed by -1 twice
    path.write_text("\n".join(lines) + "\n")
    cell = cells(study.study(wanted(), tmp_path), r"**threat**", "all 2")[0]
    assert cell.startswith("-50.0 [") and cell.endswith(" (1u)")
