"""Dry runs of the launchers, and the golden file of each in tests/data/dry_runs/.

    python tests/dry_runs.py        writes the golden files again, to be read before they are kept

They may change when a launcher gives other commands, and for nothing else.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests/data/dry_runs"
SECRET = "never-to-be-shown"

VM = ["--name=run-1", "--project=some-project", "--zone=us-east5-b"]
TPU = ["--accelerator_type=v6e-16", "--runtime_version=v2-alpha-tpuv6e", "--spot"]
XPK = ["--cluster=pool", "--project=some-project", "--zone=us-east5-b"]
IMAGE = "--image=us-docker.pkg.dev/some-project/images/vsfa_jax:1"
JOB = ["--config=configs/qwen3_vl_8b.py", "--workdir=gs://bucket/run-1"]
AWKWARD = '--config.eval.name=it\'s $(HF_TOKEN)\n"two" lines; rm -rf $HOME'


@dataclass(frozen=True)
class DryRun:
    """One call of a launcher: its arguments without --dry_run, and what is in its environment."""

    name: str
    script: str
    arguments: list[str]
    environment: dict[str, str] = field(default_factory=dict)

    def output(self) -> str:
        """What it prints; paths of this machine by name.

        Raises:
          RuntimeError: it failed, or said something on standard error.
        """
        quiet = ("CLOUDSDK_", "SLURM_", "VSFA_", "JAX_", "HF_TOKEN", "WANDB_")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(quiet)}
        environment.update(self.environment, VSFA_PYTHON=sys.executable)
        command = ["bash", f"launch/{self.script}", *self.arguments, "--dry_run"]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode or done.stderr:
            raise RuntimeError(f"{command}: {done.returncode}: {done.stderr}")
        return done.stdout.replace(str(ROOT), "REPOSITORY")

    @property
    def golden(self) -> Path:
        """The file with what it shall print."""
        return GOLDEN / f"{self.name}.txt"


SECRETS = {"HF_TOKEN": SECRET, "WANDB_API_KEY": SECRET}
NODE = {"SLURM_GPUS_ON_NODE": "8", "SLURM_TASKS_PER_NODE": "8(x2)"}
DRY_RUNS = [
    DryRun("tpu_vm_all", "tpu_vm.sh", ["all", *VM, *TPU, *JOB], SECRETS),
    DryRun(
        "tpu_vm_create_slices",
        "tpu_vm.sh",
        ["create", *VM[:1], *TPU[:2], "--reserved", "--slices=2", "--create_flag=--network=lan"],
        {"CLOUDSDK_CORE_PROJECT": "some-project", "CLOUDSDK_COMPUTE_ZONE": "us-east5-b"},
    ),
    DryRun(
        "tpu_vm_install_commit",
        "tpu_vm.sh",
        [
            *("install", *VM, "--source=https://example.org/vsfa_jax.git", "--revision=1a2b3c4"),
            "--ssh_flag=--tunnel-through-iap",
        ],
    ),
    DryRun("tpu_vm_run", "tpu_vm.sh", ["run", *VM, *TPU, *JOB, AWKWARD]),
    DryRun("tpu_vm_stop", "tpu_vm.sh", ["stop", *VM]),
    DryRun("tpu_vm_log", "tpu_vm.sh", ["log", *VM]),
    DryRun("tpu_vm_fetch", "tpu_vm.sh", ["fetch", *VM, *JOB, "--to=runs/run-1"]),
    DryRun("tpu_vm_delete", "tpu_vm.sh", ["delete", *VM]),
    DryRun("image", "image.sh", [IMAGE]),
    DryRun("xpk_create", "xpk.sh", ["create", *XPK, "--tpu_type=v6e-16", "--spot"]),
    DryRun(
        "xpk_run",
        "xpk.sh",
        ["run", *XPK, "--tpu_type=v6e-16", "--slices=2", "--name=run-1", IMAGE, *JOB, AWKWARD],
        SECRETS,
    ),
    DryRun("xpk_list", "xpk.sh", ["list", *XPK]),
    DryRun("xpk_fetch", "xpk.sh", ["fetch", *JOB, "--to=runs/run-1"]),
    DryRun("xpk_delete", "xpk.sh", ["delete", *XPK, "--name=run-1"]),
    DryRun(
        "jobset_run",
        "jobset.sh",
        [
            *("run", "--name=run-1", IMAGE, "--topology=v6e:4x4", "--slices=2", "--queue=mine"),
            *("--spot", "--service_account=trainer", "--max_restarts=3", *JOB, AWKWARD),
        ],
        SECRETS,
    ),
    DryRun("jobset_status", "jobset.sh", ["status", "--name=run-1", "--context=cluster"]),
    DryRun("jobset_log", "jobset.sh", ["log", "--name=run-1"]),
    DryRun("jobset_delete", "jobset.sh", ["delete", "--name=run-1", "--namespace=team"]),
    DryRun("slurm_task_each_gpu", "slurm.sh", [*JOB, AWKWARD], {**NODE, **SECRETS}),
    DryRun(
        "slurm_task_each_node",
        "slurm.sh",
        [
            *("--container_image=nvcr.io#nvidia/jax:latest", "--container_mounts=/data:/data"),
            *(*JOB[:1], "--workdir=/shared/run-1", "--max_restarts=2"),
        ],
        {**NODE, "SLURM_TASKS_PER_NODE": "1(x2)"},
    ),
]


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for old in GOLDEN.glob("*.txt"):
        old.unlink()
    for dry_run in DRY_RUNS:
        dry_run.golden.write_text(dry_run.output())
