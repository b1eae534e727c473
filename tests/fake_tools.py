"""Stand-ins for git, docker, gcloud, kubectl, xpk and Slurm's commands, which record each call."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ("docker", "gcloud", "git", "kubectl", "scontrol", "squeue", "srun", "uv", "xpk")

# Every tool: its words to `calls`, then what $FAKES/<tool> says. `next_line` takes the first line
# of a file away and prints it; the last line stays.
RECORDER = r"""#!/usr/bin/env bash
tool=${0##*/}
printf -v call '%s\037' "$tool" "$@"
printf '%s\036' "$call" >>"$FAKES/calls" # in one piece: the ends of a pipe write at once
next_line() {
  head -n 1 "$FAKES/$1" 2>/dev/null
  if (($(wc -l <"$FAKES/$1") > 1)); then sed -i 1d "$FAKES/$1"; fi
}
if [[ -f $FAKES/$tool ]]; then source "$FAKES/$tool"; fi
"""

# gcloud: `states` are what describe answers, `statuses` how the job ends each time.
GCLOUD = r"""
case "$*" in
  *" describe "*)
    state=$(next_line states)
    case $state in
      ABSENT) echo "ERROR: (gcloud) NOT_FOUND: Resource was not found" >&2; exit 1 ;;
      DENIED) echo "ERROR: (gcloud) PERMISSION_DENIED: not yours" >&2; exit 1 ;;
      *) echo "$state" ;;
    esac
    ;;
  *"worker.sh run"*) exit "$(next_line statuses)" ;;
  *"worker.sh installed"*) exit "$(next_line installed)" ;;
  *" scp "*.vsfa_jax_secrets*)
    cp "$5" "$FAKES/secrets"
    stat --format=%a "$5" >"$FAKES/mode"
    echo "$5" >"$FAKES/where"
    ;;
esac
"""
GIT = r"""
case "$*" in
  *status*) echo " M launch/job.sh" ;;
  *archive*) echo "an archive" ;;
esac
"""
DOCKER = r"""
if [[ $1 == build ]]; then cat >"$FAKES/context"; fi
"""
KUBECTL = r"""
if [[ $* == *--filename=-* ]]; then { cat; printf '\036'; } >>"$FAKES/stdin"; fi
"""
XPK = r"""
for word in "$@"; do
  if [[ $word == --env-file=* ]]; then
    cp "${word#*=}" "$FAKES/names"
    printenv HF_TOKEN >"$FAKES/value"
  fi
done
"""


@dataclass(frozen=True)
class Done:
    """How a script ended."""

    status: int
    stdout: str
    stderr: str


class Fakes:
    """A folder with the tools in it and what they were called with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tools = folder / "bin"
        self.tools.mkdir(parents=True)
        for tool in TOOLS:
            script = self.tools / tool
            script.write_text(RECORDER)
            script.chmod(script.stat().st_mode | stat.S_IXUSR)
        answers = {"docker": DOCKER, "gcloud": GCLOUD, "git": GIT, "kubectl": KUBECTL, "xpk": XPK}
        for tool, answer in answers.items():
            self.write(tool, answer)
        self.write("installed", "0\n")
        self.write("states", "ACTIVE\n")
        self.write("statuses", "0\n")

    def write(self, name: str, text: str) -> None:
        """Sets what a tool answers."""
        (self.folder / name).write_text(text)

    def read(self, name: str) -> str:
        """What a tool has left."""
        return (self.folder / name).read_text()

    def environment(self, **more: str) -> dict[str, str]:
        """This process's, cleared of what launchers read, with the tools first on PATH."""
        cleared = ("CLOUDSDK_", "SLURM_", "VSFA_", "JAX_", "HF_TOKEN", "WANDB_")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(cleared)}
        path = f"{self.tools}:{os.environ['PATH']}"
        return {**kept, "PATH": path, "FAKES": str(self.folder), "HOME": str(self.folder), **more}

    def run(self, script: str, *arguments: str, cwd: Path = ROOT, **environment: str) -> Done:
        """Runs a script of launch/ to its end."""
        done = subprocess.run(
            ["bash", str(ROOT / "launch" / script), *arguments],
            cwd=cwd,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    @contextlib.contextmanager
    def started(
        self, script: str, *arguments: str, **environment: str
    ) -> Iterator[subprocess.Popen[str]]:
        """A script of launch/ while it runs; what is left of it in the end is killed."""
        process = subprocess.Popen(
            ["bash", str(ROOT / "launch" / script), *arguments],
            env=self.environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    def calls(self) -> list[list[str]]:
        """The words of every call so far, the tool's name first."""
        if not (self.folder / "calls").exists():
            return []
        return [call.split("\x1f")[:-1] for call in self.read("calls").split("\x1e")[:-1]]

    def verbs(self) -> list[str]:
        """What gcloud was asked for: create, describe, run (on the workers), ..."""
        said = []
        for call in (call for call in self.calls() if call[0] == "gcloud"):
            command = next((word for word in call if word.startswith("--command=")), "")
            place = command.partition("worker.sh ")[2].split(" ")[0]
            said.append(place or call[4])
        return said


def expanded(text: str, environment: dict[str, str]) -> str:
    """What Kubernetes makes of an argument: $(NAME) is replaced, and $$ is one $."""
    made, place = "", 0
    while place < len(text):
        rest = text[place:]
        if rest.startswith("$$"):
            made, place = made + "$", place + 2
        elif rest.startswith("$(") and rest[2:].partition(")")[0] in environment and ")" in rest:
            name = rest[2:].partition(")")[0]
            made, place = made + environment[name], place + len(name) + 3
        else:
            made, place = made + text[place], place + 1
    return made


def shell_words(command: str, cwd: Path) -> list[str]:
    """What a script that prints its arguments, zeros between them, prints when a shell calls it."""
    done = subprocess.run(["bash", "-c", command], cwd=cwd, capture_output=True, check=True)
    return done.stdout.decode().split("\0")[:-1]
