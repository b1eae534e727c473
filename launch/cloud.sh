# Sourced by the launchers that send a job elsewhere: flags, faults, and dry runs.
#
# A launcher takes flags of the form --name=value. With --dry_run it prints every command that it
# would give, quoted so that a shell reads it back, and gives none. Secrets are never arguments:
# HF_TOKEN and WANDB_API_KEY are read from the environment, where they are set.
#
# shellcheck shell=bash

secrets=(HF_TOKEN WANDB_API_KEY)
if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] < 404)); then
  echo "error: bash $BASH_VERSION; wanted 4.4 or later" >&2
  exit 2
fi

dry_run=0
job=() # the flags of launch/job.sh

fail() { # MESSAGE
  echo "error: $*" >&2
  exit 2
}

# The comment at the top of a script is its help.
usage() { # SCRIPT
  sed -n '2,/^[^#]/{/^# \|^#$/!d;s/^# \{0,1\}//;p}' "$1"
}

# The words as a shell would have to be given them, plain where they can be.
quote() { # WORD ...
  local word line=""
  for word in "$@"; do
    [[ $word =~ ^[A-Za-z0-9_@%+=:,./-]+$ ]] || word=${word@Q}
    line+="${line:+ }$word"
  done
  echo "$line"
}

# Gives a command; in a dry run prints it.
give() { # COMMAND ...
  if ((dry_run)); then
    quote "$@"
  else
    "$@"
  fi
}

# In a dry run, what the commands alone do not say.
remark() { # TEXT
  if ((dry_run)); then
    echo "# $*"
  fi
}

need_tool() { # NAME WHERE
  ((dry_run)) || command -v "$1" >/dev/null || fail "$1: not on PATH; wanted it from $2"
}

# Reads flags. Each of $1 becomes the variable of its name: its value, or 1 if it has none; one
# whose name ends in + there may be given several times, and becomes an array. The job's own flags
# go to the array `job`; anything else is a fault.
read_flags() { # "NAME ..." FLAG ...
  local known=" ${1//$'\n'/ } dry_run " word key text
  shift
  for word in "$@"; do
    key=${word%%=*} key=${key#--}
    text=1
    [[ $word == *=* ]] && text=${word#*=}
    case $word in
      --config=?* | --config.?*=* | --workdir=?* | --stage=?*) job+=("$word") ;;
      --help)
        usage "$0"
        exit 0
        ;;
      --*)
        [[ -n $text ]] || fail "--$key: found no value"
        if [[ $key =~ ^[a-z_]+$ && $known == *" $key+ "* ]]; then
          local -n several=$key
          several+=("$text")
        elif [[ $key =~ ^[a-z_]+$ && $known == *" $key "* ]]; then
          printf -v "$key" %s "$text"
        else
          fail "--$key: no such flag; see --help"
        fi
        ;;
      *) fail "unexpected argument ${word@Q}; flags begin with --" ;;
    esac
  done
}

# The value of one of the job's flags; nothing where it is not given.
job_flag() { # NAME
  local flag
  for flag in "${job[@]}"; do
    if [[ $flag == "--$1="* ]]; then
      echo "${flag#*=}"
      return
    fi
  done
}

# A job has a config, and a workdir that outlives the machine.
check_job() {
  local workdir
  [[ -n $(job_flag config) ]] || fail "--config: not given; wanted one like --config=configs/x.py"
  workdir=$(job_flag workdir)
  [[ $workdir == gs://?* || $workdir == /?* ]] ||
    fail "--workdir: found ${workdir@Q}, wanted gs://BUCKET/FOLDER, or the absolute path of a" \
      "file system that every host shares: a machine's own disk is lost with the machine"
}

check_place() {
  [[ -n $project ]] || fail "--project: not given, nor is CLOUDSDK_CORE_PROJECT set"
  [[ -n $zone ]] || fail "--zone: not given, nor is CLOUDSDK_COMPUTE_ZONE set"
}

check_image() { # IMAGE
  [[ $1 =~ ^[A-Za-z0-9][A-Za-z0-9_.:/@-]*$ ]] ||
    fail "--image: found ${1@Q}, wanted one like REGISTRY/NAME:TAG"
}

check_name() { # NAME
  [[ $1 =~ ^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$ ]] ||
    fail "--name: found ${1@Q}, wanted at most 40 of a-z, 0-9 and -, a letter first"
}

# The first of a script's arguments says what to do.
check_command() { # COMMAND "NAME ..."
  if [[ $1 == --help ]]; then
    usage "$0"
    exit 0
  fi
  [[ -n $1 && " $2 " == *" $1 "* ]] || fail "found command ${1@Q}, wanted one of: $2; see --help"
}

check_number() { # FLAG VALUE LEAST
  [[ $2 =~ ^[0-9]+$ && $2 -ge $3 ]] || fail "--$1: found ${2@Q}, wanted a number of at least $3"
}

# Says what `git archive` will leave out.
warn_of_uncommitted() { # ROOT
  local changed
  changed=$(git -C "$1" status --porcelain 2>/dev/null | wc -l)
  ((changed == 0)) || echo "warning: $changed files are not committed, and are not sent" >&2
}

# The secrets that are set in the environment, by name.
given_secrets() {
  local name
  for name in "${secrets[@]}"; do
    [[ -z ${!name:-} ]] || echo "$name"
  done
}

# Copies what a finished run left on Google Cloud Storage.
fetch_from_storage() { # WORKDIR FOLDER
  need_tool gcloud "the Google Cloud CLI"
  give mkdir -p "$2"
  give gcloud storage rsync --recursive "$1" "$2"
}
