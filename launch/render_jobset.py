"""Fills in launch/jobset.yaml.

    python launch/render_jobset.py --name=run-1 --image=REGISTRY/NAME:TAG --topology=v6e:4x4 -- \\
        --config=configs/qwen3_vl_8b.py --workdir=gs://BUCKET/run-1

Prints the JobSet, which `kubectl apply --filename=-` takes. What follows `--` are flags of
launch/job.sh. `launch/jobset.sh` does all of it.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

TEMPLATE = Path(__file__).with_name("jobset.yaml")
SECRETS = ("HF_TOKEN", "WANDB_API_KEY")

# What GKE calls the TPUs, and the number of axes of their topologies.
ACCELERATORS = {
    "v4": ("tpu-v4-podslice", 3),
    "v5e": ("tpu-v5-lite-podslice", 2),
    "v5p": ("tpu-v5p-slice", 3),
    "v6e": ("tpu-v6e-slice", 2),
    "tpu7x": ("tpu7x", 3),
}
NAME = r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?"


@dataclass(frozen=True)
class Slice:
    """A slice as GKE knows it.

    Attributes:
      accelerator: value of the node label cloud.google.com/gke-tpu-accelerator.
      topology: chips along each axis, as 4x4.
      hosts: machines of the slice.
      chips_per_host: TPU chips of each.
    """

    accelerator: str
    topology: str
    hosts: int
    chips_per_host: int


@dataclass(frozen=True)
class Job:
    """What of a JobSet differs from job to job.

    Attributes:
      name: of the JobSet; what is made of it for a pod must be a DNS label.
      image: container image with the repository at /vsfa_jax.
      slice: what each of the slices is.
      slices: how many.
      flags: of launch/job.sh; any text.
      queue: Kueue's local queue; empty for none.
      secret: Secret whose HF_TOKEN and WANDB_API_KEY, where it has them, go to the environment;
        empty for none.
      service_account: Kubernetes service account, which carries the right to read and write the
        workdir; empty for the namespace's default.
      spot: whether to run on spot nodes.
      reservation: whose nodes to run on; empty for any.
      max_restarts: of the whole JobSet, preemptions not counted.
      grace_s: seconds from SIGTERM to SIGKILL.
    """

    name: str
    image: str
    slice: Slice
    flags: Sequence[str]
    slices: int = 1
    queue: str = ""
    secret: str = ""
    service_account: str = ""
    spot: bool = False
    reservation: str = ""
    max_restarts: int = 10
    grace_s: int = 120


def parse_topology(text: str, chips_per_host: int = 4) -> Slice:
    """A slice from text like v6e:4x4.

    Args:
      text: TPU and topology.
      chips_per_host: of the machine type; a slice with fewer chips is one host.

    Raises:
      ValueError: no such TPU, a wrong number of axes, or chips that do not fill the hosts.
    """
    tpu, _, topology = text.partition(":")
    accelerator, axes = ACCELERATORS.get(tpu, ("", 0))
    if not accelerator or not re.fullmatch(rf"[1-9]\d*(x[1-9]\d*){{{axes - 1}}}", topology):
        known = ", ".join(ACCELERATORS)
        raise ValueError(f"found {text!r}, wanted one like v6e:4x4 or v5p:2x2x4; TPUs: {known}")
    chips = math.prod(map(int, topology.split("x")))
    chips_per_host = min(chips, chips_per_host)
    if chips % chips_per_host:
        raise ValueError(f"found {text!r} of {chips} chips, which {chips_per_host} do not divide")
    return Slice(accelerator, topology, chips // chips_per_host, chips_per_host)


def render(job: Job) -> dict[str, Any]:
    """The JobSet as a tree of YAML's types, ready for `yaml.safe_dump`."""
    jobset: dict[str, Any] = yaml.safe_load(TEMPLATE.read_text())
    jobset["metadata"]["name"] = job.name
    jobset["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": job.queue} if job.queue else {}
    jobset["spec"]["failurePolicy"]["maxRestarts"] = job.max_restarts
    (replicated,) = jobset["spec"]["replicatedJobs"]
    replicated["replicas"] = job.slices
    batch = replicated["template"]["spec"]
    batch["parallelism"] = batch["completions"] = job.slice.hosts
    pod = batch["template"]["spec"]
    pod["terminationGracePeriodSeconds"] = job.grace_s
    if job.service_account:
        pod["serviceAccountName"] = job.service_account
    fill_nodes(pod, job)
    (container,) = pod["containers"]
    container["image"] = job.image
    container["args"] = [literal(flag) for flag in job.flags]
    container["env"] = [reference(name, job.secret) for name in SECRETS if job.secret]
    container["resources"]["limits"]["google.com/tpu"] = job.slice.chips_per_host
    return jobset


def fill_nodes(pod: dict[str, Any], job: Job) -> None:
    """Says on which nodes the pods go."""
    selector = {
        "cloud.google.com/gke-tpu-accelerator": job.slice.accelerator,
        "cloud.google.com/gke-tpu-topology": job.slice.topology,
    }
    if job.reservation:
        selector["cloud.google.com/reservation-name"] = job.reservation
    if job.spot:
        label = "cloud.google.com/gke-spot"
        selector[label] = "true"
        toleration = {"key": label, "operator": "Equal", "value": "true", "effect": "NoSchedule"}
        pod["tolerations"].append(toleration)
    pod["nodeSelector"] = selector


def literal(flag: str) -> str:
    """The text that Kubernetes, which replaces $(NAME) in arguments, turns into `flag`."""
    return flag.replace("$", "$$")


def reference(name: str, secret: str) -> dict[str, Any]:
    """An environment variable from a key of that name in a Secret, if it has one."""
    key = {"name": secret, "key": name, "optional": True}
    return {"name": name, "valueFrom": {"secretKeyRef": key}}


class Parser(argparse.ArgumentParser):
    """Says its faults as every command of the repository does."""

    def error(self, message: str) -> NoReturn:
        """Prints one line; exit status 2."""
        sys.exit(fail(message))


def fail(message: object) -> int:
    """Prints what is wrong; the exit status for it."""
    print(f"error: {message}", file=sys.stderr)
    return 2


def name(text: str) -> str:
    """A name that JobSet and Kueue take."""
    if not re.fullmatch(NAME, text):
        raise argparse.ArgumentTypeError(f"found {text!r}, wanted at most 40 of a-z, 0-9 and -")
    return text


def parse(arguments: Sequence[str]) -> Job:
    """A job from the command line; ends the process where that is at fault."""
    mine, flags = list(arguments), []
    if "--" in mine:
        mine, flags = mine[: mine.index("--")], mine[mine.index("--") + 1 :]
    parser = Parser(description="Fills in launch/jobset.yaml.", allow_abbrev=False)
    parser.add_argument("--name", type=name, required=True, help="of the JobSet")
    parser.add_argument("--image", required=True, help="container image of launch/image.sh")
    parser.add_argument("--topology", required=True, help="TPU and topology, as v6e:4x4")
    parser.add_argument("--chips_per_host", type=int, choices=(1, 4, 8), default=4)
    parser.add_argument("--slices", type=int, default=1, help="default 1")
    parser.add_argument("--queue", type=name, help="Kueue's local queue")
    parser.add_argument("--secret", type=name, help="with HF_TOKEN, WANDB_API_KEY")
    parser.add_argument("--service_account", type=name, help="Kubernetes' own")
    parser.add_argument("--reservation", help="name of a reservation")
    parser.add_argument("--spot", action="store_true", help="on spot nodes")
    parser.add_argument("--max_restarts", type=int, default=10, help="default 10")
    parser.add_argument("--grace_s", type=int, default=120, help="seconds; default 120")
    parsed = vars(parser.parse_args(mine))
    given = {key: value for key, value in parsed.items() if value is not None}
    topology, chips_per_host = given.pop("topology"), given.pop("chips_per_host")
    for key, least in (("slices", 1), ("max_restarts", 0), ("grace_s", 1)):
        if given[key] < least:
            parser.error(f"--{key}: found {given[key]}, wanted at least {least}")
    try:
        return Job(slice=parse_topology(topology, chips_per_host), flags=flags, **given)
    except ValueError as error:
        parser.error(f"--topology: {error}")


def main() -> None:
    """Prints the JobSet."""
    yaml.safe_dump(render(parse(sys.argv[1:])), sys.stdout, sort_keys=False, width=100)


if __name__ == "__main__":
    main()
