#!/usr/bin/env python3
"""Strict JSON schemas for kubeconform, one self-contained file a kind: schemas.py OUT SWAGGER CRD…

SWAGGER is Kubernetes' own OpenAPI document, each CRD a CustomResourceDefinition as JSON. Neither forbids a field that it does
not know, as an API server does when asked to; the schemas made here do, or a misspelt field would pass.
"""

import json
import os
import sys

OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"


def strict(schema):
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    is_open = schema.get("x-kubernetes-preserve-unknown-fields") is True
    schema = {key: strict(value) for key, value in schema.items() if not key.startswith("x-kubernetes-")}
    if isinstance(schema.get("$ref"), str):
        return {"$ref": "#/definitions/" + schema["$ref"].rsplit("/", 1)[-1]}
    if schema.get("format") == "int-or-string":
        del schema["format"]
        schema["type"] = ["string", "integer"]
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not is_open:
        schema.setdefault("additionalProperties", False)
    return schema


def references(schema):
    if isinstance(schema, list):
        for item in schema:
            yield from references(item)
    elif isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                yield value.rsplit("/", 1)[-1]
            else:
                yield from references(value)


def reachable(schema, definitions):
    seen, waiting = set(), list(references(schema))
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(references(definitions[name]))
    return {name: definitions[name] for name in sorted(seen)}


def write(out, kind, group, version, schema, definitions):
    # kubeconform's {{.ResourceKind}}{{.KindSuffix}}: the suffix has the group's first part only.
    suffix = "-".join(part for part in (group.split(".")[0], version) if part)
    with open(f"{out}/{kind.lower()}-{suffix}.json", "w", encoding="utf-8") as file:
        json.dump(dict(schema, definitions=reachable(schema, definitions)), file)


def main(out, swagger, *crds):
    os.makedirs(out)
    with open(swagger, encoding="utf-8") as file:
        source = json.load(file)["definitions"]
    definitions = {name: strict(definition) for name, definition in source.items()}
    # Declared as text only, though the server takes `cpu: 1` as well.
    definitions[QUANTITY] = {"type": ["string", "number"]}
    for name, definition in source.items():
        kinds = definition.get("x-kubernetes-group-version-kind", [])
        # DeleteOptions and the like stand in every group; nobody applies them.
        if len(kinds) == 1:
            kind = kinds[0]
            write(out, kind["kind"], kind["group"], kind["version"], definitions[name], definitions)

    for crd in crds:
        with open(crd, encoding="utf-8") as file:
            spec = json.load(file)["spec"]
        for version in spec["versions"]:
            schema = strict(version["schema"]["openAPIV3Schema"])
            # A definition leaves the metadata to the server.
            schema["properties"]["metadata"] = {"$ref": "#/definitions/" + OBJECT_META}
            write(out, spec["names"]["kind"], spec["group"], version["name"], schema, definitions)


main(*sys.argv[1:])
