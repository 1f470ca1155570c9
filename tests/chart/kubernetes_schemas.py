"""Kubernetes' own JSON schemas, as kubeconform reads them: one file a kind, which refers to no other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

# kubernetes-validate contains the schemas of built-in kinds only.
OTHERS = {"Certificate", "ServiceMonitor", "PrometheusRule", "HTTPRoute", "ScaledObject"}
_ELSEWHERE = "/api/_definitions.json#/$defs/"


def write(folder: Path, version: str, objects: Iterable[dict]) -> str:
    """Write the schemas of the kinds of some objects, and return the location that kubeconform takes."""
    source = resources.files("kubernetes_validate") / "kubernetes-json-schema" / f"v{version}.0-local-strict"
    definitions = json.loads((source / "_definitions.json").read_text("utf-8"))["$defs"]
    for kind, api_version in {(item["kind"], item["apiVersion"]) for item in objects}:
        if kind in OTHERS:
            continue
        group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
        name = f"{kind}-{group}.json".lower()
        text = (source / name).read_text("utf-8")
        schema = json.loads(text.replace(_ELSEWHERE, "#/$defs/")) | {"$defs": _used(text, definitions)}
        (folder / name).write_text(json.dumps(schema), encoding="utf-8")
    return str(folder / "{{.ResourceKind}}{{.KindSuffix}}.json")


def _used(text: str, definitions: dict) -> dict:
    """The definitions that a schema refers to, directly or not."""
    used, open_texts = {}, [text]
    while open_texts:
        for name in re.findall(r"#/\$defs/([^\"]+)", open_texts.pop()):
            if name not in used:
                own = json.dumps(definitions[name]).replace(_ELSEWHERE, "#/$defs/")
                used[name] = json.loads(own)
                open_texts.append(own)
    return used
