"""Makes tests/data/jobset_v1alpha2.json, a strict JSON schema, from JobSet's custom resource.

    python tests/jobset_schema.py config/components/crd/bases/jobset.x-k8s.io_jobsets.yaml

The file is that of https://github.com/kubernetes-sigs/jobset (Apache-2.0). Descriptions, defaults
and `status` are left out, an integer that may be text is said in JSON schema's words, and every
object of named fields is closed, as a strict apiserver closes it, so that a typing error is one.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

SCHEMA = Path(__file__).parent / "data/jobset_v1alpha2.json"
COMMIT = "08dfbdfd682714a9ab929633eca8dc95315187e7"  # of 2026-08-18, on the way to 0.13
KEPT = (
    *("type", "enum", "required", "pattern", "minimum", "maximum", "minLength", "maxLength"),
    *("minItems", "maxItems", "nullable"),
)


def strict(node: dict[str, Any]) -> dict[str, Any]:
    """A JSON schema of an OpenAPI one: the same constraints, unknown fields refused."""
    if node.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    made = {key: node[key] for key in KEPT if key in node}
    if "items" in node:
        made["items"] = strict(node["items"])
    if "properties" in node:
        made["properties"] = {key: strict(value) for key, value in node["properties"].items()}
        made["additionalProperties"] = False
    if isinstance(node.get("additionalProperties"), dict):
        made["additionalProperties"] = strict(node["additionalProperties"])
    return made


def make(resource: dict[str, Any]) -> dict[str, Any]:
    """The schema of JobSet v1alpha2, which is the one version that the resource has."""
    (version,) = resource["spec"]["versions"]
    assert version["name"] == "v1alpha2"
    schema = strict(version["schema"]["openAPIV3Schema"])
    del schema["properties"]["status"]
    schema["required"] = ["apiVersion", "kind", "metadata", "spec"]
    jobs = schema["properties"]["spec"]["properties"]["replicatedJobs"]["items"]["properties"]
    schema["properties"]["metadata"] = jobs["template"]["properties"]["metadata"]  # says more
    schema["properties"]["apiVersion"] = {"enum": ["jobset.x-k8s.io/v1alpha2"]}
    schema["properties"]["kind"] = {"enum": ["JobSet"]}
    source = f"kubernetes-sigs/jobset at {COMMIT}, Apache-2.0; made by tests/jobset_schema.py"
    return {"$comment": source, **schema}


if __name__ == "__main__":
    resource = yaml.safe_load(Path(sys.argv[1]).read_text())
    SCHEMA.parent.mkdir(exist_ok=True)
    SCHEMA.write_text(json.dumps(make(resource), separators=(",", ":"), sort_keys=True) + "\n")
