"""The rendered JobSet, by the schemas of Kubernetes and of JobSet; no text of a flag breaks out."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from dry_runs import AWKWARD, JOB
from fake_tools import expanded
from hypothesis import given, settings
from hypothesis import strategies as st
from jobset_schema import SCHEMA, strict

from launch import render_jobset
from launch.render_jobset import Job, Slice, parse, parse_topology, render

IMAGE = "registry/vsfa_jax:1"
FLAGS = ["--name=run-1", f"--image={IMAGE}", "--topology=v6e:4x4"]
KUBERNETES = ("1.30", "1.37")  # the bounds of what has a DNS label for each pod and is bundled
EVERYTHING = [
    *(*FLAGS, "--slices=2", "--queue=mine", "--secret=run-1", "--service_account=trainer"),
    *("--reservation=ours", "--spot", "--max_restarts=3", "--grace_s=60"),
]


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))


def job_of(jobset: dict[str, Any]) -> dict[str, Any]:
    """The Job that JobSet makes of its one replicated job."""
    (replicated,) = jobset["spec"]["replicatedJobs"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "run-1-slice-0"},
        "spec": replicated["template"]["spec"],
    }


def pod_of(jobset: dict[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = job_of(jobset)["spec"]["template"]["spec"]
    return pod


@pytest.mark.parametrize("flags", [FLAGS, EVERYTHING], ids=["least", "everything"])
def test_the_jobset_fits_both_schemas(
    schema: jsonschema.Draft202012Validator, flags: list[str]
) -> None:
    jobset = render(parse([*flags, "--", *JOB]))
    schema.validate(jobset)
    for version in KUBERNETES:
        kubernetes_validate.validate(job_of(jobset), version, strict=True)


def rename(node: dict[str, Any], old: str, new: str) -> None:
    node[new] = node.pop(old)


OFFENCES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a field of the spec": lambda j: rename(j["spec"], "failurePolicy", "failurepolicy"),
    "a field of a rule": lambda j: rename(j["spec"]["failurePolicy"]["rules"][0], "action", "act"),
    "an unknown action": lambda j: j["spec"]["failurePolicy"]["rules"][0].update(action="Retry"),
    "a number as text": lambda j: j["spec"]["failurePolicy"].update(maxRestarts="3"),
    "text as a number": lambda j: j["spec"]["replicatedJobs"][0].update(name=7),
    "a field of the job": lambda j: rename(job_of(j)["spec"], "backoffLimit", "backOffLimit"),
    "a field of the pod": lambda j: rename(pod_of(j), "hostNetwork", "hostnetwork"),
    "an argument's type": lambda j: pod_of(j)["containers"][0].update(args=[1]),
    "labels": lambda j: rename(j["metadata"], "labels", "label"),
    "no spec": lambda j: j.pop("spec"),
    "another version": lambda j: j.update(apiVersion="jobset.x-k8s.io/v1alpha3"),
}


@pytest.mark.parametrize("offence", OFFENCES)
def test_the_schema_refuses(schema: jsonschema.Draft202012Validator, offence: str) -> None:
    jobset = render(parse([*FLAGS, "--", *JOB]))
    schema.validate(jobset)
    OFFENCES[offence](jobset)
    assert not schema.is_valid(jobset)


@pytest.mark.parametrize("offence", ["a field of the pod", "a field of the job"])
def test_the_schema_of_kubernetes_refuses(offence: str) -> None:
    jobset = render(parse([*FLAGS, "--", *JOB]))
    OFFENCES[offence](jobset)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job_of(jobset), KUBERNETES[-1], strict=True)


def test_a_closed_schema_is_made_of_an_open_one() -> None:
    theirs = {
        "type": "object",
        "description": "said",
        "required": ["port"],
        "properties": {
            "port": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}]},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "names": {"type": "array", "items": {"type": "string"}, "default": []},
        },
    }
    assert strict(theirs) == {
        "type": "object",
        "required": ["port"],
        "additionalProperties": False,
        "properties": {
            "port": {"type": ["integer", "string"]},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "names": {"type": "array", "items": {"type": "string"}},
        },
    }


def test_every_flag_stands_where_it_belongs() -> None:
    jobset = render(parse([*EVERYTHING, "--", *JOB]))
    pod = pod_of(jobset)
    assert jobset["metadata"]["name"] == "run-1"
    assert jobset["metadata"]["labels"] == {"kueue.x-k8s.io/queue-name": "mine"}
    assert jobset["spec"]["failurePolicy"]["maxRestarts"] == 3
    assert jobset["spec"]["replicatedJobs"][0]["replicas"] == 2
    job = job_of(jobset)["spec"]
    assert (job["parallelism"], job["completions"], job["backoffLimit"]) == (4, 4, 0)
    assert pod["restartPolicy"] == "Never"
    assert pod["terminationGracePeriodSeconds"] == 60
    assert pod["serviceAccountName"] == "trainer"
    assert pod["nodeSelector"] == {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v6e-slice",
        "cloud.google.com/gke-tpu-topology": "4x4",
        "cloud.google.com/gke-spot": "true",
        "cloud.google.com/reservation-name": "ours",
    }
    (container,) = pod["containers"]
    assert container["command"] == ["bash", "launch/job.sh"]  # no shell between, for SIGTERM
    assert container["args"] == JOB
    assert container["resources"]["limits"] == {"google.com/tpu": 4}
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/dev/shm"]


def test_a_job_has_a_pod_for_each_host() -> None:
    jobset = render(parse([*FLAGS, "--topology=v5e:2x4", "--chips_per_host=8", "--", *JOB]))
    job = job_of(jobset)["spec"]
    assert (job["parallelism"], job["completions"]) == (1, 1)
    assert pod_of(jobset)["containers"][0]["resources"]["limits"] == {"google.com/tpu": 8}


def test_without_queue_and_secret_there_is_no_mention_of_them() -> None:
    jobset = render(parse([*FLAGS, "--", *JOB]))
    assert jobset["metadata"]["labels"] == {}
    assert pod_of(jobset)["containers"][0]["env"] == []


def test_exit_status_2_alone_is_final_and_disruptions_are_not_counted() -> None:
    jobset = render(parse([*FLAGS, "--", *JOB]))
    fault, disruption = jobset["spec"]["failurePolicy"]["rules"]
    of_code, of_condition = job_of(jobset)["spec"]["podFailurePolicy"]["rules"]
    assert of_code["onExitCodes"]["values"] == [2]
    assert of_code["onExitCodes"]["containerName"] == pod_of(jobset)["containers"][0]["name"]
    assert of_condition["onPodConditions"][0]["type"] == "DisruptionTarget"
    assert fault["action"] == "FailJobSet"
    # the words of Kubernetes' job controller
    said = "Container job for pod default/run-1 failed with exit code 2 matching FailJob rule at 0"
    assert any(pattern in said for pattern in fault["onJobFailureMessagePatterns"])
    assert not any(
        pattern in said.replace("code 2 ", "code 143 ")
        for pattern in fault["onJobFailureMessagePatterns"]
    )
    assert disruption["action"] == "RestartJobSetAndIgnoreMaxRestarts"


WITHOUT_FLAGS = render(Job("run-1", IMAGE, parse_topology("v6e:4x4"), []))
TEXT = st.text(st.sampled_from("$()'\"\n\t\\:{}[]#&*!|>%@`- aHF_") | st.characters(codec="utf-8"))
NO_ZERO = TEXT.map(lambda text: text.replace("\0", ""))  # which no argument can have


@settings(max_examples=30, deadline=None)
@given(st.lists(NO_ZERO | st.just(AWKWARD) | st.just("$$(HF_TOKEN)\n- name: other: {a}")))
def test_no_flag_breaks_out(flags: list[str]) -> None:
    job = Job("run-1", IMAGE, parse_topology("v6e:4x4"), flags)
    text = io.StringIO()
    yaml.safe_dump(render(job), text, sort_keys=False, width=100)
    read = yaml.safe_load(text.getvalue())
    (container,) = pod_of(read)["containers"]
    assert [expanded(word, {"HF_TOKEN": "shown"}) for word in container["args"]] == flags
    container["args"] = []
    assert read == WITHOUT_FLAGS


@pytest.mark.parametrize(
    ("text", "chips_per_host", "wanted"),
    [
        ("v5e:2x2", 4, Slice("tpu-v5-lite-podslice", "2x2", 1, 4)),
        ("v5e:2x4", 8, Slice("tpu-v5-lite-podslice", "2x4", 1, 8)),
        ("v6e:1x1", 4, Slice("tpu-v6e-slice", "1x1", 1, 1)),
        ("v6e:16x16", 4, Slice("tpu-v6e-slice", "16x16", 64, 4)),
        ("v4:2x2x4", 4, Slice("tpu-v4-podslice", "2x2x4", 4, 4)),
        ("v5p:4x4x4", 4, Slice("tpu-v5p-slice", "4x4x4", 16, 4)),
        ("tpu7x:2x2x1", 4, Slice("tpu7x", "2x2x1", 1, 4)),
    ],
)
def test_topologies(text: str, chips_per_host: int, wanted: Slice) -> None:
    assert parse_topology(text, chips_per_host) == wanted


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([*FLAGS, "--topology=v9:4x4"], "--topology: found 'v9:4x4', wanted one like v6e:4x4"),
        ([*FLAGS, "--topology=v5p:4x4"], "--topology: found 'v5p:4x4'"),
        ([*FLAGS, "--topology=v6e:0x4"], "--topology: found 'v6e:0x4'"),
        ([*FLAGS, "--topology=v6e:3x3"], "of 9 chips, which 4 do not divide"),
        ([*FLAGS, "--name=Run"], "--name: found 'Run', wanted at most 40"),
        ([*FLAGS, "--slices=0"], "--slices: found 0, wanted at least 1"),
        ([*FLAGS, "--slice=2"], "unrecognized arguments: --slice=2"),
        (FLAGS[:2], "the following arguments are required: --topology"),
    ],
)
def test_faults(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(arguments)
    assert ended.value.code == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert said in shown


def test_the_command_prints_the_jobset(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["render_jobset.py", *FLAGS, "--", *JOB])
    render_jobset.main()
    assert yaml.safe_load(capsys.readouterr().out) == render(parse([*FLAGS, "--", *JOB]))
