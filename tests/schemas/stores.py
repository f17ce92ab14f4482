#!/usr/bin/env python3
"""Holds what the stores' imitations were asked, and what they answered, against the published shapes.

    cargo test --lib store::             # lays exchanges out in target/tmp/stores
    python3 tests/schemas/stores.py target/tmp/stores secretmanager.v1.json service-2.json.gz

The first shape is Google's discovery document (PyPI `google-api-python-client`), the second AWS'
service description (PyPI `botocore`). Needs nothing else.
"""

import gzip
import json
import pathlib
import re
import sys
import urllib.parse

# What any call may be refused with, from AWS' list of common errors.
COMMON = {"ThrottlingException", "AccessDeniedException", "ExpiredTokenException", "InternalServiceError"}


class Google:
    """Methods by path, schemas by name."""

    needed = {"create", "get", "patch", "delete", "addVersion", "testIamPermissions", "versions.access"}

    def __init__(self, path):
        document = json.loads(pathlib.Path(path).read_text())
        self.schemas, self.parameters = document["schemas"], set(document["parameters"])
        self.methods = []
        self.walk(document["resources"]["projects"]["resources"]["secrets"])

    def walk(self, resource):
        for method in resource.get("methods", {}).values():
            path = re.sub(r"\\\{\w+\\\}", "[^/:]+", re.escape("/" + method["flatPath"]))
            self.methods.append((method["httpMethod"], re.compile(path + "$"), method))
        for below in resource.get("resources", {}).values():
            self.walk(below)

    def check(self, exchange):
        path, _, query = exchange["target"].partition("?")
        found = [m for verb, pattern, m in self.methods if verb == exchange["method"] and pattern.match(path)]
        if not found:
            return "?", [f"no method {exchange['method']} {path}"]
        method = found[0]
        name = method["id"].removeprefix("secretmanager.projects.secrets.")
        given = set(urllib.parse.parse_qs(query))
        wrong = [f"no parameter {n}" for n in given - set(method["parameters"]) - self.parameters]
        if "request" in method:
            wrong += self.fits(exchange["asked"], method["request"], "asked")
        elif exchange["asked"] is not None:
            wrong.append("has no body")
        if exchange["status"] == 200:
            wrong += self.fits(exchange["answer"], method["response"], "answer")
        elif set(exchange["answer"]["error"]) != {"code", "message", "status"}:
            wrong.append("an error of another form")
        return name, wrong

    def fits(self, value, shape, at):
        if "$ref" in shape:
            shape = {"type": "object", **self.schemas[shape["$ref"]]}
        kind = shape.get("type", "any")
        types = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}
        if kind in types and not isinstance(value, types[kind]):
            return [f"{at}: no {kind}"]
        if shape.get("format") == "int64" and not re.fullmatch(r"-?\d+", value):
            return [f"{at}: no int64"]
        if shape.get("format") == "byte" and not re.fullmatch(r"[A-Za-z0-9+/]*={0,2}", value):
            return [f"{at}: no base64"]
        if "enum" in shape and value not in shape["enum"]:
            return [f"{at}: {value} is none of the enum"]
        if kind == "array":
            return [w for n, v in enumerate(value) for w in self.fits(v, shape["items"], f"{at}.{n}")]
        if kind != "object":
            return []
        known, wrong = shape.get("properties", {}), []
        for name, below in value.items():
            inner = known.get(name, shape.get("additionalProperties"))
            wrong += self.fits(below, inner, f"{at}.{name}") if inner else [f"{at}: no field {name}"]
        return wrong


class Aws:
    """Operations and shapes by name."""

    needed = {"CreateSecret", "DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"}

    def __init__(self, path):
        document = json.loads(gzip.decompress(pathlib.Path(path).read_bytes()))
        self.shapes = document["shapes"]
        self.operations = {name.lower(): o for name, o in document["operations"].items()}

    def check(self, exchange):
        action = (exchange["action"] or "").rpartition(".")[2]
        operation = self.operations.get(action)
        if operation is None:
            return "?", [f"no operation {action}"]
        wrong = self.fits(exchange["asked"], operation["input"]["shape"], "asked")
        if exchange["status"] == 200:
            wrong += self.fits(exchange["answer"], operation["output"]["shape"], "answer")
        else:
            declared = {e["shape"] for e in operation["errors"]} | COMMON
            if exchange["answer"]["__type"] not in declared:
                wrong.append(f"no error {exchange['answer']['__type']}")
        return operation["name"], wrong

    def fits(self, value, name, at):
        shape = self.shapes[name]
        kind = shape["type"]
        types = {"structure": dict, "map": dict, "list": list, "string": str, "boolean": bool}
        if kind in types and not isinstance(value, types[kind]):
            return [f"{at}: no {kind}"]
        if kind == "string":
            length = shape.get("min", 0) <= len(value) <= shape.get("max", 1 << 30)
            pattern = re.fullmatch(shape.get("pattern", "(?s).*"), value)
            return [] if length and pattern else [f"{at}: not as {name} has it"]
        if kind == "list":
            return [w for v in value for w in self.fits(v, shape["member"]["shape"], at)]
        if kind == "map":
            inner = shape["value"]["shape"]
            return [w for k, v in value.items() for w in self.fits(k, shape["key"]["shape"], at) + self.fits(v, inner, at)]
        if kind != "structure":
            return []
        wrong = [f"{at}: lacks {n}" for n in shape.get("required", []) if n not in value]
        for name, below in value.items():
            member = shape["members"].get(name)
            wrong += self.fits(below, member["shape"], f"{at}.{name}") if member else [f"{at}: no member {name}"]
        return wrong


def main():
    directory = pathlib.Path(sys.argv[1])
    failed = 0
    for name, published in [("gcp", Google(sys.argv[2])), ("aws", Aws(sys.argv[3]))]:
        seen, errors = {}, set()
        for line in (directory / f"{name}.jsonl").read_text().splitlines():
            call, wrong = published.check(json.loads(line))
            seen[call] = seen.get(call, 0) + 1
            errors |= {f"{call}: {text}" for text in wrong}
        errors |= {f"{call} was never called" for call in published.needed - set(seen)}
        print(f"{name}: {sum(seen.values())} exchanges of {len(seen)} calls, {len(errors)} errors")
        for error in sorted(errors):
            print(f"  {error}")
        failed += len(errors)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
