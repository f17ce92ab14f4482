"""Runs our own client, as its users do, against OPENAI_BASE_URL: `client.py SKEWER LEAK [--mock]`.

LEAK is a directory of files with keys. Against the sandbox everything must be found out; a mock server
answers with examples, so there only refusals count. Ends with 1 if a stranger found fault.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

SKEWER, LEAK = sys.argv[1:3]
MOCK = "--mock" in sys.argv
# What our client says of a request, or an answer, that was refused or made no sense.
FAULTS = ["status 400", "status 404", "status 405", "status 422", "status 500", "not the API's"]


def skewer(*arguments):
    outcome = subprocess.run([SKEWER, *arguments], capture_output=True, text=True, timeout=300)
    said = outcome.stdout + outcome.stderr
    for fault in FAULTS:
        if fault in said:
            sys.exit(f"{' '.join(arguments)}: {fault}\n{said[-6000:]}")
    return outcome.returncode, outcome.stdout, said


def main():
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["XDG_CACHE_HOME"] = scratch
        config = pathlib.Path(scratch) / "config.toml"
        config.write_text(
            f"[openai]\napi = '{os.environ['OPENAI_BASE_URL']}'\nrequests-per-minute = 0\n"
            "dead-pause-seconds = 0\nlast-used-lag-seconds = 0\n"
        )
        code, listed, said = skewer("keys", "list", "--format", "json", "--config", str(config))
        if not MOCK and (code != 0 or len(json.loads(listed)["keys"]) < 10):
            sys.exit(f"keys list ended with {code}\n{said}")
        scan = ["scan", "--verify", "--probe", "--format", "json", "--config", str(config), LEAK]
        code, report, said = skewer(*scan)
        if MOCK:
            return
        known = json.loads(report)["verification"]
        verdicts = sorted(key["verdict"] for key in known["keys"])
        gaps = [gap for key in known["keys"] for gap in key.get("exposure", {}).get("gaps", [])]
        refused = [gap for gap in gaps if gap.startswith("can't")]
        if code != 1 or not known["complete"] or verdicts != ["dead", "dead", "live", "live"] or refused:
            sys.exit(f"scan --verify ended with {code}: {verdicts} {refused}\n{said[-6000:]}")


main()
