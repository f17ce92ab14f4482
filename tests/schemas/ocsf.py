#!/usr/bin/env python3
"""Holds exported audit records against OCSF 1.8.

    cargo test --lib audit::             # lays records out in target/tmp/audit
    python3 tests/schemas/ocsf.py target/tmp/audit/ocsf.jsonl

Needs `pip install ocsf-json-schema jsonschema`.
"""

import json
import pathlib
import sys

from jsonschema import validators
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema


CLASSES = {2004: "detection_finding", 3004: "entity_management"}


def main():
    embedded = OcsfJsonSchemaEmbedded(get_ocsf_schema("1.8.0"))
    checks = {}
    for uid, name in CLASSES.items():
        schema = embedded.get_class_schema(name, ["host"])
        checks[uid] = validators.validator_for(schema)(schema)
    wrong, seen = 0, {uid: 0 for uid in CLASSES}
    for number, line in enumerate(pathlib.Path(sys.argv[1]).read_text().splitlines(), 1):
        event = json.loads(line)
        seen[event["class_uid"]] += 1
        for error in checks[event["class_uid"]].iter_errors(event):
            wrong += 1
            print(f"line {number}: {'.'.join(map(str, error.absolute_path))}: {error.message[:200]}")
    if not all(seen.values()):
        wrong += 1
        print(f"a class has no record: {seen}")
    print(f"OCSF 1.8: {sum(seen.values())} records, {wrong} errors")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
