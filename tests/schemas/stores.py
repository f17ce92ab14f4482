#!/usr/bin/env python3
"""Holds what the stores' imitations were asked, and what they answered, against the published shapes.

    cargo test --lib store::             # lays exchanges out in target/tmp/stores
    python3 tests/schemas/stores.py target/tmp/stores secretmanager.v1.json service-2.json.gz _generated

The first shape is Google's discovery document (PyPI `google-api-python-client`), the second AWS'
service description (PyPI `botocore`), the third the generated source of Microsoft's client (PyPI
`azure-keyvault-secrets`), which is read and not run. Needs nothing else.
"""

import ast
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


class Azure:
    """Paths and models, read out of the source of Microsoft's own client."""

    needed = {"GET secret", "GET versions", "GET deleted", "PUT secret", "PATCH version"}
    # What we call, what goes in, what comes out.
    calls = {
        "PUT secret": ("/secrets/{secret-name}", "SecretSetParameters", "SecretBundle"),
        "PATCH version": ("/secrets/{secret-name}/{secret-version}", "SecretUpdateParameters", "SecretBundle"),
        "GET versions": ("/secrets/{secret-name}/versions", None, "SecretListResult"),
        "GET deleted": ("/deletedsecrets/{secret-name}", None, "DeletedSecretBundle"),
        # The version may be left out.
        "GET secret": ("/secrets/{secret-name}/{secret-version}", None, "SecretBundle"),
    }
    kinds = {"str": str, "bool": bool, "int": int, "datetime.datetime": int}
    # A page of a list has no model in the source: its two fields are read in `_operations.py`.
    models = {"SecretListResult": {"value": 'list["_models.SecretItem"]', "nextLink": "str"}}

    def __init__(self, path):
        path = pathlib.Path(path)
        source = (path / "_operations/_operations.py").read_text()
        found = re.findall(r'_url = "([^"]+)".*?HttpRequest\(method="(\w+)"', source, re.DOTALL)
        self.published = {(method, url) for url, method in found}
        assert '.get("nextLink")' in source
        self.models = dict(self.models)
        for node in ast.parse((path / "models/_models.py").read_text()).body:
            if isinstance(node, ast.ClassDef):
                self.models[node.name] = dict(self.fields(node))

    def fields(self, model):
        for node in model.body:
            if isinstance(node, ast.AnnAssign):
                named = [k.value.value for k in node.value.keywords if k.arg == "name"]
                yield (named or [node.target.id])[0], ast.unparse(node.annotation)

    def check(self, exchange):
        path, _, query = exchange["target"].partition("?")
        parts = path.strip("/").split("/")
        what = "deleted" if parts[0] == "deletedsecrets" else "secret"
        if len(parts) == 3:
            what = "versions" if parts[2] == "versions" else "version"
        name = f"{exchange['method']} {what}"
        if name not in self.calls:
            return name, ["no such call"]
        url, takes, gives = self.calls[name]
        wrong = [] if (exchange["method"], url) in self.published else [f"{url} is not published"]
        given = set(urllib.parse.parse_qs(query)) - {"api-version", "maxresults", "$skiptoken"}
        wrong += [f"no parameter {n}" for n in given]
        if takes:
            wrong += self.fits(exchange["asked"], takes, "asked")
        gives = gives if exchange["status"] == 200 else "KeyVaultError"
        return name, wrong + self.fits(exchange["answer"], gives, "answer")

    def fits(self, value, kind, at):
        kind = re.sub(r"^Optional\[(.*)\]$", r"\1", kind)
        if value is None:
            return []
        if kind.startswith("list["):
            return [w for v in value for w in self.fits(v, kind[5:-1], at)]
        if kind in ("dict[str, str]", "Dict[str, str]"):
            return [f"{at}: no text" for v in value.values() if not isinstance(v, str)]
        if kind in self.kinds:
            return [] if isinstance(value, self.kinds[kind]) else [f"{at}: no {kind}"]
        model = self.models.get(kind.strip("'\"").removeprefix("_models."))
        if model is None:
            return [] if kind.startswith("Union[str") and isinstance(value, str) else [f"{at}: {kind} is unknown"]
        if not isinstance(value, dict):
            return [f"{at}: no object"]
        wrong = []
        for name, below in value.items():
            wrong += self.fits(below, model[name], f"{at}.{name}") if name in model else [f"{at}: no field {name}"]
        return wrong


def main():
    directory = pathlib.Path(sys.argv[1])
    failed = 0
    for name, published in [("gcp", Google(sys.argv[2])), ("aws", Aws(sys.argv[3])), ("azure", Azure(sys.argv[4]))]:
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
