"""A workdir elsewhere: a folder stands for the cloud, by etils' own registration of a scheme."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from etils import epath
from folder_scheme import SCHEME
from processes import Job, lines

from vsfa_jax import checkpoint
from vsfa_jax.checkpoint import Checkpointer
from vsfa_jax.core import main as entry
from vsfa_jax.core import workdir as workdirs
from vsfa_jax.core.errors import CheckpointError, ConfigError, StoppedError, StorageError
from vsfa_jax.core.workdir import Workdir
from vsfa_jax.metrics import read_metrics


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What lies elsewhere; copies are made in `here`, beside it."""
    (tmp_path / "here").mkdir()
    monkeypatch.setattr(workdirs.tempfile, "tempdir", str(tmp_path / "here"))
    return tmp_path / "elsewhere" / "run"


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_a_folder_is_its_own_copy(tmp_path: Path) -> None:
    with Workdir(tmp_path / "run") as workdir:
        assert workdir.folder == tmp_path / "run"
        assert str(workdir) == str(workdir.home) == str(tmp_path / "run")
        write(workdir.folder, "config.json")
        workdir.bring()
        workdir.send()
        assert Workdir.of(workdir) is workdir
        assert Workdir.of(tmp_path).folder == tmp_path
    assert files(tmp_path) == ["run/config.json"]


def test_small_files_come_and_go_back_and_the_copy_ends(home: Path) -> None:
    write(home, "config.json", "eval/main/answered.jsonl", "checkpoints/3/params", "a.tmp", ".b")
    with Workdir(f"{SCHEME}{home}") as workdir:
        workdir.bring()
        folder = workdir.folder
        assert folder.parent == home.parents[1] / "here"
        assert files(folder) == ["config.json", "eval/main/answered.jsonl"]
        assert (folder / "checkpoints").is_dir(), "that a run has begun is seen"
        write(folder, "tensorboard/events", "vision_cache/features.bin", "wandb/log", ".c.tmp")
        (folder / "eval/main/answered.jsonl").unlink()
        (home / "config.json").write_text("was not changed here, and is not sent")
    assert not folder.exists()
    wanted = [".b", "a.tmp", "checkpoints/3/params", "config.json", "tensorboard/events"]
    assert files(home) == wanted
    assert (home / "config.json").read_text().startswith("was not changed")


def test_what_is_changed_is_sent_and_not_too_often(home: Path) -> None:
    with Workdir(f"{SCHEME}{home}") as workdir:
        workdir.bring()
        metrics = workdir.folder / "metrics.jsonl"
        metrics.write_text("1\n")
        workdir.send(3600)
        assert (home / "metrics.jsonl").read_text() == "1\n", "the first is sent at once"
        metrics.write_text("1\n2\n")
        workdir.send(3600)
        assert (home / "metrics.jsonl").read_text() == "1\n"
        workdir.send()
        assert (home / "metrics.jsonl").read_text() == "1\n2\n"
        metrics.write_text("1\n2\n3\n")
    assert (home / "metrics.jsonl").read_text() == "1\n2\n3\n"


def test_the_last_written_is_sent_last(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Workdir(f"{SCHEME}{home}") as workdir:
        workdir.bring()
        for name in ("b", "c", "a"):
            write(workdir.folder, name)
            time.sleep(0.02)
        real, sent = type(workdir.home).write_bytes, []
        monkeypatch.setattr(
            type(workdir.home),
            "write_bytes",
            lambda path, data: (sent.append(path.name), real(path, data))[1],
        )
        workdir.send()
    assert sent == ["b", "c", "a"]


def test_the_first_process_alone_sends(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home, "config.json")
    monkeypatch.setattr(workdirs.jax, "process_index", lambda: 1)
    with Workdir(f"{SCHEME}{home}") as workdir:
        workdir.bring()
        write(workdir.folder, "lengths_train.npz")
        write(home, "manifest.json")
        workdir.bring()
        assert (workdir.folder / "manifest.json").exists()
    assert files(home) == ["config.json", "manifest.json"]


def test_a_copy_that_is_not_whole_is_not_sent(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home, "metrics.jsonl")

    def cut(path: epath.Path) -> bytes:
        raise ConnectionResetError("cut")

    workdir = Workdir(f"{SCHEME}{home}")
    monkeypatch.setattr(type(workdir.home), "read_bytes", cut)
    with pytest.raises(StorageError, match="does not answer: cut"), workdir:
        (workdir.folder / "metrics.jsonl").write_text("half")
        workdir.bring()
    assert not workdir.folder.exists()
    assert (home / "metrics.jsonl").read_text() == "metrics.jsonl"


@pytest.mark.parametrize(
    ("fault", "wanted"),
    [
        (PermissionError("no"), CheckpointError),
        (TimeoutError("no"), StorageError),
        (OSError("503"), StorageError),
        (ImportError("Please install gcsfs"), ConfigError),
    ],
)
def test_faults_of_the_storage(
    home: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception, wanted: type[Exception]
) -> None:
    def refuse(path: epath.Path, data: bytes) -> None:
        raise fault

    def change(workdir: Workdir) -> None:
        monkeypatch.setattr(type(workdir.home), "write_bytes", refuse)
        write(workdir.folder, "config.json")

    workdir = Workdir(f"{SCHEME}{home}")
    with pytest.raises(wanted, match=str(home)), workdir:
        workdir.bring()
        change(workdir)
    again = Workdir(f"{SCHEME}{home}")
    with pytest.raises(StoppedError), again:  # why the run ended is not hidden
        again.bring()
        change(again)
        raise StoppedError("by a signal")
    assert not again.folder.exists()


def test_a_scheme_that_nobody_knows_and_one_without_its_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ConfigError, match="--workdir: found cloud://x/y, wanted a folder, or gs:"):
        Workdir("cloud://x/y")
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    wanted = pytest.raises(ConfigError, match=r"pip install 'vsfa_jax\[gcs\]'")
    with wanted, Workdir("gs://bucket/run") as workdir:
        workdir.bring()


def test_commands_of_one_machine_refuse_a_url() -> None:
    with pytest.raises(ConfigError, match="found gs://b/x, wanted a folder of this machine"):
        entry._folder("gs://b/x")


def test_a_url_is_no_path_below_the_current_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def stop(path: epath.Path) -> bool:
        seen.append(str(path))
        raise KeyboardInterrupt

    monkeypatch.setattr(type(epath.Path("gs://b")), "exists", stop)
    with pytest.raises(KeyboardInterrupt):
        Checkpointer("gs://bucket/run/checkpoints", every=1)
    assert seen == ["gs://bucket/run/checkpoints"]


@pytest.mark.parametrize(
    ("is_url", "fault", "wanted"),
    [
        (False, ConnectionResetError("gone"), ConnectionResetError),
        (False, ValueError("UNAVAILABLE"), CheckpointError),
        (True, ValueError("UNAVAILABLE"), StorageError),
    ],
)
def test_a_cloud_that_fails_is_no_fault_of_the_input(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_url: bool,
    fault: Exception,
    wanted: type[Exception],
) -> None:
    monkeypatch.setattr(checkpoint, "is_url", lambda path: is_url)
    with Checkpointer(tmp_path / "c", every=2) as checkpoints:
        assert [checkpoints.is_due(n) for n in (1, 2)] == [False, True]
        assert checkpoints.is_due(1, force=True)

        def fail() -> None:
            raise fault

        with monkeypatch.context() as patch, pytest.raises(wanted):
            patch.setattr(checkpoints._manager, "check_for_errors", fail)
            checkpoints.wait()


FLAGS = [
    *("--config.steps=6", "--config.optimizer.schedule_steps=6", "--config.checkpoint_every=3"),
    *("--config.batch_rows=8", "--config.data.size=64", "--config.data.validation_size=8"),
    *("--config.eval_every=0", "--config.eval.per_kind=4", "--config.eval.max_new_tokens=8"),
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where commands make their copies; they leave nothing there."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    assert not [path.name for path in folder.iterdir() if path.name.startswith("vsfa_jax-")]


@pytest.mark.slow
def test_two_processes_train_stop_resume_and_evaluate_elsewhere(
    cache: Path, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped by a signal to one, all end with the status that was asked for."""
    place, script = tmp_path / "run", {"command": "folder_scheme.py", "processes": 2, "devices": 2}
    monkeypatch.setenv("VSFA_COMMAND", "train")
    endless = [*FLAGS, "--config.steps=100000", "--config.optimizer.schedule_steps=0"]
    with Job(place, cache, [*endless, "--stopped_status=143"], **script) as job:
        job.wait_for_lines(place / "metrics.jsonl", 3)  # sent with the checkpoint
        job.processes[1].send_signal(signal.SIGTERM)
        assert job.statuses(60) == [143, 143], job.log()
    rows = lines(place / "metrics.jsonl")
    last = rows[-1]["step"]
    assert [row["step"] for row in rows] == list(range(1, last + 1))
    assert (place / "checkpoints" / str(last)).is_dir()
    assert {"config.json", "manifest.json", "packing_train.npz"} <= set(files(place))
    longer = [*endless, f"--config.steps={last + 2}"]
    with Job(place, cache, longer, **script) as job:
        job.finish()
    assert f"resumed from step {last}" in job.log(0)
    assert [row["step"] for row in read_metrics(place)] == list(range(1, last + 3))
    monkeypatch.setenv("VSFA_COMMAND", "evaluate")
    with Job(place, cache, longer, **script) as job:
        job.finish()
    assert f"report: {place}/eval/main/report.html" in job.log(0)
    names = {f"eval/main/{name}" for name in ("answers.jsonl", "table.json", "report.html")}
    assert names <= set(files(place))
    assert "eval/main/answered.jsonl" not in files(place)
