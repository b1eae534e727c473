"""What the planner tries, recommends and refuses; no program is compiled here."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jax
import pytest

from configs import tiny
from vsfa_jax.core import config
from vsfa_jax.core.errors import ConfigError
from vsfa_jax.mesh import make_mesh
from vsfa_jax.planning import changes, largest, padding, page, settings, sweep, topology
from vsfa_jax.planning.report import GIB, Plan, Report, as_json, as_text

TINY = config.load(tiny.get_config())
FITS = Plan("train", (16, 128, 68), True, 10 * GIB, 4 * GIB, {"weights": 3 * GIB, "rest": GIB})
UNFIT = Plan("train", (16, 128, 68), False, 10 * GIB, 14 * GIB, {"all of it": 14 * GIB})


def timed(overlapped: float, serial: float) -> Plan:
    return dataclasses.replace(FITS, times={"overlapped": overlapped, "serial": serial})


class Mesh:
    """What `candidates` reads of a mesh that this machine does not have."""

    def __init__(self, **shape: int) -> None:
        self.shape = shape


def test_changes_begin_with_the_mesh_and_name_no_policy_that_keeps_more() -> None:
    given = changes.changed(TINY, {"train.remat": "attention"})
    found = list(changes.candidates(given, Mesh(data=4, fsdp=2, tensor=1)))
    assert found[0] == {"mesh.data": 1, "mesh.fsdp": 8}
    assert [c["train.remat"] for c in found if "train.remat" in c] == ["blocks", "offload"]
    assert {"micro_batches": 2} in found
    assert {"micro_batches": 4} not in found  # two rows a device
    assert found[-2:] == [{"model.quantize": "int8"}, {"optimizer.offload": True}]


def test_a_whole_model_is_not_offered_int8() -> None:
    given = changes.changed(TINY, {"train.mode": "full"})
    found = list(changes.candidates(given, Mesh(data=1, fsdp=8, tensor=1)))
    assert not any("model.quantize" in change or "mesh.fsdp" in change for change in found)


def test_the_search_stops_at_the_first_change_that_fits() -> None:
    asked = []

    def examine(given: config.Settings) -> Plan:
        asked.append(given)
        return FITS if given.train.remat == "blocks" else UNFIT

    tried = changes.search(TINY, Mesh(data=1, fsdp=8, tensor=1), examine, limit=20)
    assert [one["settings"].get("train.remat") for one in tried] == [
        *("matmuls", "attention", "blocks")
    ]
    assert [one["fits"] for one in tried] == [False, False, True]
    assert len(asked) == 3


def test_changes_are_joined_where_none_is_enough_and_the_limit_holds() -> None:
    def examine(given: config.Settings) -> Plan:
        enough = given.model.quantize == "int8" and given.micro_batches == 2
        return FITS if enough else UNFIT

    mesh = Mesh(data=1, fsdp=8, tensor=1)
    tried = changes.search(TINY, mesh, examine, limit=50)
    assert tried[-1]["fits"]
    assert tried[-1]["settings"].items() >= {"model.quantize": "int8", "micro_batches": 2}.items()
    assert len(changes.search(TINY, mesh, examine, limit=4)) == 4
    assert not any(one["fits"] for one in changes.search(TINY, mesh, lambda _: UNFIT, limit=50))


def test_a_sweep_holds_every_mesh_whose_rows_divide_and_begins_with_the_plainest() -> None:
    found = sweep.combinations(TINY, devices=8)
    assert found[0] == {
        **{"mesh.data": 1, "mesh.fsdp": 8, "mesh.tensor": 1, "micro_batches": 1},
        **{"train.remat": "attention", "train.vision_remat": "attention"},
    }
    assert len({json.dumps(one, sort_keys=True) for one in found}) == len(found)
    for one in found:
        sizes = [one[f"mesh.{axis}"] for axis in ("data", "fsdp", "tensor")]
        assert sizes[0] * sizes[1] * sizes[2] == 8
        assert TINY.batch_rows % (one["micro_batches"] * sizes[0] * sizes[1]) == 0
    assert all(one["mesh.data"] % 2 == 0 for one in sweep.combinations(TINY, 8, slices=2))


def test_the_recommended_one_fits_and_is_fastest() -> None:
    plans = [timed(2.0, 3.0), UNFIT, timed(1.0, 4.0), timed(1.0, 2.0)]
    trials = [sweep.Trial({"number": i}, plan) for i, plan in enumerate(plans)]
    trials.append(sweep.Trial({"number": 9}, None, "3420 is not divisible"))
    winner = sweep.best(trials)
    assert winner is not None and winner.change == {"number": 3}
    assert sweep.best(trials[1:2]) is None
    assert "cannot be cut so: 3420" in sweep.line(trials[-1])


def test_a_mesh_that_cannot_be_cut_does_not_end_a_sweep() -> None:
    def examine(given: config.Settings) -> Plan:
        if given.mesh.tensor == 2:
            raise ConfigError("vision/layers: size 3 is not divisible")
        return timed(1.0, 1.0)

    said: list[str] = []
    chosen = [{"mesh.tensor": 2}, {"mesh.tensor": 1}]
    trials = sweep.run(TINY, chosen, examine, said.append)
    assert [trial.plan is None for trial in trials] == [True, False]
    assert said[0].startswith("1/2 tensor=2: cannot be cut so")


@pytest.mark.parametrize(
    ("name", "slices", "message"),
    [
        ("v6e", 1, "--topology: found 'v6e', wanted one like v5e:2x4"),
        ("v6e:2by2", 1, "--topology: found 'v6e:2by2'"),
        ("v6e:2x2", 0, "--num_slices: found 0, wanted at least 1"),
    ],
)
def test_a_bad_topology_is_refused(name: str, slices: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        topology.devices(name, slices)


def test_an_absent_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topology.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="libtpu, the TPU's compiler, is not installed"):
        topology.devices("v5e:2x2")


def written(workdir: Path, fits: bool) -> None:
    found = settings.that_bear_on_memory(TINY, make_mesh(-1, 1, 1))
    report = Report({"model": "m", "slice": "s"}, found, [FITS if fits else UNFIT])
    workdir.mkdir(exist_ok=True)
    (workdir / "plan.json").write_text(json.dumps(as_json(report)))


def test_a_run_is_refused_whose_plan_says_that_it_does_not_fit(tmp_path: Path) -> None:
    written(tmp_path, fits=False)
    refuse = settings.refuse_if_planned_not_to_fit
    with pytest.raises(ConfigError, match=r"plan\.json: says that this job does not fit 1 cpu"):
        refuse(TINY, tmp_path)
    refuse(changes.changed(TINY, {"train.despite_plan": True}), tmp_path)
    refuse(changes.changed(TINY, {"train.remat": "blocks"}), tmp_path)  # another job's plan
    refuse(TINY, tmp_path / "no plan")
    written(tmp_path, fits=True)
    refuse(TINY, tmp_path)
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(ConfigError, match="not a readable plan"):
        refuse(TINY, tmp_path)


def test_the_page_and_the_text_say_the_same_and_escape() -> None:
    tried = [{"settings": {"train.remat": "blocks"}, "fits": True, "needed": 5 * GIB}]
    about = {"model": "<script>alert(1)</script>", "slice": "v5e:2x2"}
    report = Report(about, {}, [UNFIT], {"tokens": 0.25}, tried)
    html, text = page.render(report), as_text(report)
    assert "<script>" not in html
    assert "It does not fit." in html and "it does not fit" in text
    assert "train.remat=blocks: fits, " in text and "train.remat=blocks" in html
    assert "25.0% of tokens" in text and "25.0 % of tokens" in html
    assert "It fits." in page.render(dataclasses.replace(report, plans=[FITS]))


def test_padding_is_what_the_packing_leaves_empty() -> None:
    given = changes.changed(TINY, {"data.size": 64})
    found = padding.padding(given)
    assert found is not None
    assert 0 < found["tokens"] < 0.5 and 0 <= found["patches"] < 0.6
    wider = padding.padding(changes.changed(given, {"data.budgets": ((256, 68),)}))
    assert wider is not None and wider["tokens"] > found["tokens"]
    assert padding.padding(changes.changed(given, {"data.path": "no/such/set"})) is None


def test_data_lies_across_slices() -> None:
    assert jax.device_count() == 1
    with pytest.raises(ConfigError, match="mesh: .* does not make 1 devices"):
        make_mesh(2, 1, 1)


def step_of(rows: int, each: float, fixed: float = 3.0) -> Plan:
    """A step of so many rows a device, on a device of 10 GiB; `each` is GiB of a row."""
    needed = int((fixed + each * rows) * GIB)
    memory = {"weights, language": 3 * GIB, "activations": needed - 3 * GIB}
    return Plan("train", (rows, 128, 68), needed <= 10 * GIB, 10 * GIB, needed, memory)


@pytest.mark.parametrize(
    ("fixed", "each", "most", "tried"),
    [
        (3.0, 1.0, 7, (7,)),  # the weights are all that is fixed: the guess is the end
        (4.0, 0.5, 12, (7, 12)),  # something more is fixed, which the guess cannot know
        (3.0, 4.0, 1, (2,)),  # not one row more
    ],
)
def test_the_largest_rows_are_found_along_a_line(
    fixed: float, each: float, most: int, tried: tuple[int, ...]
) -> None:
    rows = 2 if most > 2 else 1

    def examine(count: int) -> Plan:
        return step_of(count, each, fixed)

    found = largest.largest(rows, examine(rows), examine, limit=4)
    assert (found.rows, found.tried) == (most, tried)
    assert found.plan == examine(most)
    assert found.beyond == pytest.approx(examine(most + 1).needed, rel=1e-6) and found.plan.fits


def test_the_largest_rows_where_the_line_promises_too_much() -> None:
    def examine(count: int) -> Plan:
        return step_of(count, 1.0 if count < 6 else 1.5)

    found = largest.largest(1, examine(1), examine, limit=6)
    assert found.rows == 5 and 7 in found.tried and found.beyond > found.plan.available
    cut_short = largest.largest(1, examine(1), examine, limit=1)
    assert cut_short.rows == 1 and len(cut_short.tried) == 1
