#!/usr/bin/env python3
"""Holds reports against the schemas of their formats: ours and the standards' own.

    cargo test --test reports            # lays reports out in target/tmp/reports
    python3 tests/schemas/check.py target/tmp/reports

Takes every file of the directory by its ending: .json .jsonl .sarif .gitlab .junit .csv.
Needs `pip install jsonschema` (4.18 or later) and, for SARIF, npm: the 2.1.0 schema is taken from
the registry package @microsoft/jest-sarif, or from --sarif-schema FILE. GitLab's schema is in no
registry: GITLAB below demands what version 15.2.4 of its secret detection report demands of the
fields that we write; --gitlab-schema FILE checks against the original as well.
"""

import argparse
import csv
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as xml

from jsonschema import validators
from referencing import Registry, Resource

HERE = pathlib.Path(__file__).resolve().parent
OURS = HERE.parent.parent / "src" / "report" / "schema"
SARIF_PACKAGE = "@microsoft/jest-sarif@1.0.0-beta.0"
SARIF_MEMBER = "package/lib/schemas/sarif-2.1.0-rtm.5.json"

TEXT = {"type": "string", "minLength": 1}
TIME = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}$"}


def record(required, optional=None):
    """An object with these fields and no others."""
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
        "additionalProperties": False,
    }


GITLAB_TOOL = record({"id": TEXT, "name": TEXT, "version": TEXT, "vendor": record({"name": TEXT})})
GITLAB = record(
    {
        "schema": {"type": "string", "pattern": "^https?://.+"},
        "version": {"type": "string", "pattern": r"^[0-9]+\.[0-9]+\.[0-9]+$"},
        "scan": record(
            {
                "analyzer": GITLAB_TOOL,
                "scanner": GITLAB_TOOL,
                "type": {"const": "secret_detection"},
                "start_time": TIME,
                "end_time": TIME,
                "status": {"enum": ["success", "failure"]},
                "messages": {
                    "type": "array",
                    "items": record({"level": {"enum": ["info", "warn", "fatal"]}, "value": TEXT}),
                },
            }
        ),
        "vulnerabilities": {
            "type": "array",
            "items": record(
                {
                    "id": TEXT,
                    "name": {"type": "string", "maxLength": 255},
                    "description": {"type": "string", "maxLength": 1048576},
                    "severity": {"enum": ["Info", "Unknown", "Low", "Medium", "High", "Critical"]},
                    "solution": {"type": "string", "maxLength": 7000},
                    "identifiers": {
                        "type": "array",
                        "minItems": 1,
                        "items": record(
                            {"type": TEXT, "name": TEXT, "value": TEXT},
                            {"url": {"type": "string", "pattern": "^(https?|ftp)://.+"}},
                        ),
                    },
                    "location": record(
                        {"commit": record({"sha": TEXT})},
                        {
                            "file": {"type": "string"},
                            "start_line": {"type": "number"},
                            "end_line": {"type": "number"},
                        },
                    ),
                    "details": {
                        "type": "object",
                        "additionalProperties": record(
                            {"type": {"enum": ["text", "code"]}, "name": TEXT, "value": {"type": "string"}}
                        ),
                    },
                }
            ),
        },
    }
)


def sarif_schema(given):
    if given:
        return json.loads(pathlib.Path(given).read_text())
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", "--pack-destination", folder, SARIF_PACKAGE]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        (package,) = pathlib.Path(folder).glob("*.tgz")
        with tarfile.open(package) as archive:
            return json.load(archive.extractfile(SARIF_MEMBER))


def checker(schema, registry=Registry()):
    kind = validators.validator_for(schema)
    kind.check_schema(schema)
    validator = kind(schema, registry=registry)

    def check(value):
        for error in validator.iter_errors(value):
            yield f"{error.json_path}: {error.message[:300]}"

    return check


def check_lines(check):
    def lines(text):
        values = [json.loads(line) for line in text.splitlines()]
        for number, value in enumerate(values, 1):
            for error in check(value):
                yield f"line {number}: {error}"
        kinds = [value.get("type") for value in values]
        if kinds[-1:] != ["summary"] or "summary" in kinds[:-1]:
            yield "the last line, and no other, must be the summary"

    return lines


def check_sarif_rules(log):
    """What the schema can't say: indices that hit, and URIs that are relative to their base."""
    for run in log["runs"]:
        rules = run["tool"]["driver"]["rules"]
        for result in run["results"]:
            if rules[result["ruleIndex"]]["id"] != result["ruleId"]:
                yield f"ruleIndex {result['ruleIndex']} is not {result['ruleId']}"
            for location in result["locations"]:
                artifact = location.get("physicalLocation", {}).get("artifactLocation")
                if artifact and not artifact["uri"].isascii():
                    yield f"{artifact['uri']} is not encoded"
                if artifact and ("uriBaseId" in artifact) == artifact["uri"].startswith("file:"):
                    yield f"{artifact['uri']}: absolute with a base, or relative without one"


def check_junit(text):
    root = xml.fromstring(text.encode())
    suites = root.findall("testsuite")
    cases = [case for suite in suites for case in suite.findall("testcase")]
    for attribute, found in {
        "tests": len(cases),
        "failures": len(root.findall(".//testcase/failure")),
        "errors": len(root.findall(".//testcase/error")),
        "skipped": len(root.findall(".//testcase/skipped")),
    }.items():
        if int(root.get(attribute)) != found:
            yield f"{attribute} is {root.get(attribute)}, but there are {found}"


def check_csv(text):
    rows = list(csv.reader(text.splitlines(keepends=True), strict=True))
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            yield f"row {number} has {len(row)} cells"
        if any(cell[:1] in tuple("=+-@\t\r") for cell in row if cell):
            yield f"row {number} has a formula"


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("reports", type=pathlib.Path)
    options.add_argument("--sarif-schema")
    options.add_argument("--gitlab-schema")
    options = options.parse_args()

    ours = [json.loads((OURS / name).read_text()) for name in ("report-1.json", "line-1.json")]
    registry = Registry().with_resources((s["$id"], Resource.from_contents(s)) for s in ours)
    report, line = (checker(schema, registry) for schema in ours)
    gitlab = [checker(GITLAB)]
    if options.gitlab_schema:
        gitlab.append(checker(json.loads(pathlib.Path(options.gitlab_schema).read_text())))
    sarif = [checker(sarif_schema(options.sarif_schema)), check_sarif_rules]

    def parsed(*checks):
        return lambda text: (error for check in checks for error in check(json.loads(text)))

    checks = {
        ".json": parsed(report),
        ".jsonl": check_lines(line),
        ".sarif": parsed(*sarif),
        ".gitlab": parsed(*gitlab),
        ".junit": check_junit,
        ".csv": check_csv,
    }
    seen, failed = dict.fromkeys(checks, 0), 0
    for path in sorted(options.reports.iterdir()):
        if path.suffix not in checks:
            continue
        seen[path.suffix] += 1
        errors = list(checks[path.suffix](path.read_bytes().decode()))
        failed += bool(errors)
        print("ok  " if not errors else "FAIL", path.name)
        for error in errors[:10]:
            print("      ", error)
    missing = [suffix for suffix, count in seen.items() if not count]
    if missing:
        sys.exit(f"{options.reports} has no report that ends in {' '.join(missing)}")
    print(f"{sum(seen.values()) - failed} passed, {failed} failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
