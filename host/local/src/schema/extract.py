#!/usr/bin/env python3
"""Extracts kubernetes.json, pytorchjob.json and trainjob.json, the shapes that the embedded API server and `plugin check` know.

    go mod download k8s.io/client-go@v0.34.1 github.com/kubeflow/training-operator@v1.9.3 \\
        github.com/kubeflow/trainer/v2@v2.0.0
    python3 extract.py "$(go env GOMODCACHE)"

A shape is one of
    "string" | "integer" | "boolean" | "quantity" | "int-or-string" | "time" | "any"
    "#NAME"                                          a shape of the file's "types"
    {"list": SHAPE, "keys": [...]}                   merged item by item, by these keys
    {"list": SHAPE, "set": true}                     merged as a set
    {"list": SHAPE}                                  atomic
    {"map": SHAPE, "atomic": true?}
    {"fields": {NAME: SHAPE}, "required": [...]?, "atomic": true?}
    {"scalar": SHAPE, "default": VALUE}              a field's default (CRDs only)
"""

import json
import pathlib
import re
import sys

import yaml

CLIENT_GO = "k8s.io/client-go@v0.34.1/applyconfigurations/internal/internal.go"
OPERATOR = "github.com/kubeflow/training-operator@v1.9.3/manifests/base/crds/kubeflow.org_pytorchjobs.yaml"
TRAINER = "github.com/kubeflow/trainer/v2@v2.0.0/manifests/base/crds/trainer.kubeflow.org_trainjobs.yaml"
ROOTS = [
    "io.k8s.api.core.v1." + kind
    for kind in (
        "Namespace Pod ConfigMap Secret PersistentVolumeClaim Event Service ServiceAccount Node ResourceQuota"
    ).split()
] + [
    "io.k8s.api.batch.v1.Job",
    "io.k8s.api.coordination.v1.Lease",
    "io.k8s.api.storage.v1.StorageClass",
    "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta",
]
WELL_KNOWN = {
    "Quantity": "quantity",
    "Time": "time",
    "MicroTime": "time",
    "IntOrString": "int-or-string",
    "FieldsV1": "any",
    "RawExtension": "any",
}
SCALARS = {"string": "string", "numeric": "integer", "boolean": "boolean", "untyped": "any"}


def builtin(gomodcache: pathlib.Path) -> dict:
    text = (gomodcache / CLIENT_GO).read_text()
    upstream = {t["name"]: t for t in yaml.safe_load(re.search(r"`(types:.*)`", text, re.S)[1])["types"]}
    types: dict = {}

    def name(full: str) -> str:
        return full.removeprefix("io.k8s.").replace("apimachinery.pkg.apis.", "").replace("api.", "", 1)

    def shape(node: dict):
        if "namedType" in node:
            full = node["namedType"]
            last = full.rsplit(".", 1)[-1]
            if last in WELL_KNOWN:
                return WELL_KNOWN[last]
            if name(full) not in types:
                types[name(full)] = None
                types[name(full)] = shape(upstream[full])
            inner = "#" + name(full)
            return {"ref": inner, "atomic": True} if node.get("elementRelationship") == "atomic" else inner
        if "scalar" in node:
            return SCALARS[node["scalar"]]
        if "list" in node:
            made = {"list": shape(node["list"]["elementType"])}
            if node["list"]["elementRelationship"] == "associative":
                made |= {"keys": node["list"]["keys"]} if "keys" in node["list"] else {"set": True}
            return made
        made = node["map"]
        atomic = {"atomic": True} if made.get("elementRelationship") == "atomic" else {}
        if "fields" in made:
            return {"fields": {f["name"]: shape(f["type"]) for f in made["fields"]}} | atomic
        return {"map": shape(made["elementType"])} | atomic

    for root in ROOTS:
        shape({"namedType": root})
    return {"types": dict(sorted(types.items()))}


def crd(manifest: pathlib.Path, kind: str, prefix: str = "") -> dict:
    """`prefix` keeps the names of its types from those of another file."""
    document = yaml.safe_load(manifest.read_text())
    root = document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    types: dict = {}
    seen: dict = {}

    def shared(made: dict, hint: str):
        """The same structure twice is one named type."""
        text = json.dumps(made, sort_keys=True)
        hint = prefix + hint
        if len(text) < 120:
            return made
        if text not in seen:
            names = [hint] + [f"{hint}{n}" for n in range(2, 99)]
            seen[text] = next(n for n in names if n not in types)
            types[seen[text]] = made
        return "#" + seen[text]

    def shape(node: dict, hint: str):
        if node.get("x-kubernetes-int-or-string"):
            return "quantity" if "pattern" in node else "int-or-string"
        if node["type"] == "array":
            made = {"list": shape(node["items"], hint)}
            if node.get("x-kubernetes-list-type") == "map":
                made["keys"] = node["x-kubernetes-list-map-keys"]
            return made
        if node["type"] == "object":
            atomic = {"atomic": True} if node.get("x-kubernetes-map-type") == "atomic" else {}
            if "properties" in node:
                fields = {n: shape(f, n) for n, f in node["properties"].items()}
                required = {"required": node["required"]} if "required" in node else {}
                return shared({"fields": fields} | required | atomic, hint)
            return {"map": shape(node["additionalProperties"], hint) if "additionalProperties" in node else "any"} | atomic
        made = "time" if node.get("format") == "date-time" else node["type"]
        return {"scalar": made, "default": node["default"]} if "default" in node else made

    root["properties"]["metadata"] = {"type": "object"}
    made = shape(root, kind)
    root_type = types.pop(prefix + kind, made)
    types[kind] = root_type
    types[kind]["fields"]["metadata"] = "#meta.v1.ObjectMeta"
    return {"types": dict(sorted(types.items()))}


def main() -> None:
    gomodcache = pathlib.Path(sys.argv[1])
    here = pathlib.Path(__file__).parent
    shapes = {
        "kubernetes.json": builtin(gomodcache),
        "pytorchjob.json": crd(gomodcache / OPERATOR, "PyTorchJob"),
        "trainjob.json": crd(gomodcache / TRAINER, "TrainJob", "trainer."),
    }
    for file, made in shapes.items():
        lines = ",\n".join(f"{json.dumps(k)}:{json.dumps(v, separators=(',', ':'))}" for k, v in made["types"].items())
        (here / file).write_text('{"types":{\n' + lines + "\n}}\n")


if __name__ == "__main__":
    main()
