"""Puts a stranger to work on the sandbox; see README.md. Ends with 1 if something is wrong."""

import argparse
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).parent


def environment(**more):
    # No proxy stands between here and loopback.
    clean = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    clean.pop("OPENAI_ORG_ID", None)
    clean.pop("OPENAI_PROJECT_ID", None)
    return {**clean, **more}


@contextlib.contextmanager
def running(command, log):
    with open(log, "wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment())
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(what, ready, process, log):
    for _ in range(600):
        if ready():
            return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    sys.exit(f"{what} did not start:\n{log.read_text(errors='replace')[-4000:]}")


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextlib.contextmanager
def sandbox(skewer, scratch):
    """What the sandbox's environment file says."""
    where, log = scratch / "sandbox", scratch / "sandbox.log"
    with running([skewer, "sandbox", "--dir", where], log) as process:
        file = where / "env"
        wait_for("the sandbox", file.exists, process, log)
        lines = (line.removeprefix("export ").split("=", 1) for line in file.read_text().splitlines())
        yield {name: value.strip("'") for name, value in lines}


def ask(method, url, body=None, key=None):
    """The status and the body of an answer, whatever the status."""
    headers = {"content-type": "application/json"} if body is not None else {}
    if key:
        headers["authorization"] = f"Bearer {key}"
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def run(command, **more):
    outcome = subprocess.run(command, env=environment(**more), timeout=300)
    if outcome.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: ended with {outcome.returncode}")


def without_unknown_formats(document, scratch):
    """The official document. Prism warns of each format that it does not know; nothing else is left out."""
    copy = scratch / "openapi.json"
    copy.write_text(pathlib.Path(document).read_text().replace('"format": "unixtime", ', ""))
    return copy


def prism(arguments, scratch):
    tool = arguments.tools / "node_modules/.bin/prism"
    with sandbox(arguments.skewer, scratch) as env:
        port, log = free_port(), scratch / "prism.log"
        upstream = env["OPENAI_BASE_URL"]
        document = without_unknown_formats(arguments.document, scratch)
        command = [tool, "proxy", "-h", "127.0.0.1", "-p", str(port), "--errors", document, upstream]
        with running(command, log) as process:
            wait_for("Prism", lambda: listens(port), process, log)
            base, key = f"http://127.0.0.1:{port}", env["OPENAI_ADMIN_KEY"]
            status, text = ask("POST", f"{base}/organization/projects", {"title": "no name"}, key)
            if status != 422:
                sys.exit(f"Prism let a wrong request through: {status} {text}")
            ask("POST", f"{env['SANDBOX']}/settings", {"unknown_values": True})
            path = json.loads(ask("GET", f"{upstream}/organization/projects", key=key)[1])["data"][0]["id"]
            status, text = ask("GET", f"{base}/organization/projects/{path}/api_keys", key=key)
            if status != 500 or "violation" not in text.lower():
                sys.exit(f"Prism let a wrong answer through: {status} {text}")
            ask("POST", f"{env['SANDBOX']}/settings", {"unknown_values": False})
            own = [sys.executable, HERE / "client.py", arguments.skewer, f"{env['SANDBOX_DIR']}/leak"]
            for command in [[sys.executable, HERE / "drive.py"], own] + arguments.clients:
                run(command, OPENAI_BASE_URL=base, OPENAI_ADMIN_KEY=key)
    print("Prism finds no fault with the sandbox")


def steady(arguments, scratch):
    tool = arguments.tools / "node_modules/.bin/steady"
    port, log = free_port(), scratch / "steady.log"
    formats = ["--validator-query-array-format=brackets", "--validator-query-object-format=brackets"]
    command = [tool, "--host", "127.0.0.1", "-p", str(port), *formats, arguments.document]
    with running(command, log) as process:
        wait_for("Steady", lambda: listens(port), process, log)
        # Any word will do for a mock server; this one looks like no key.
        base, key = f"http://127.0.0.1:{port}", "a-word-that-opens-nothing"
        usage = f"{base}/organization/usage/completions?start_time=1"
        if ask("GET", usage, key=key)[0] != 200:
            sys.exit(f"Steady refuses what is right:\n{log.read_text()[-4000:]}")
        for wrong in ["&group_by[]=colour", "&bucket_width=2d", "&limit=many"]:
            status, text = ask("GET", usage + wrong, key=key)
            if status != 400:
                sys.exit(f"Steady let {wrong} through: {status} {text}")
        with sandbox(arguments.skewer, scratch) as env:
            # For its leaked keys: our client asks nothing if there is nothing to ask about.
            leak = f"{env['SANDBOX_DIR']}/leak"
            own = [sys.executable, HERE / "client.py", arguments.skewer, leak, "--mock"]
            for command in [[sys.executable, HERE / "drive.py", "--queries"], own] + arguments.clients:
                run(command, OPENAI_BASE_URL=base, OPENAI_ADMIN_KEY=key)
    print("Steady finds no fault with the queries")


def sdk(arguments, scratch):
    python = arguments.tools / "python/bin/python3"
    with sandbox(arguments.skewer, scratch) as env:
        more = {name: env[name] for name in ("OPENAI_BASE_URL", "OPENAI_ADMIN_KEY")}
        run([python, HERE / "sdk.py"], **more)
        # It must see an answer of the wrong type.
        ask("POST", f"{env['SANDBOX']}/faults", {"what": "wrong_shape"})
        failed = subprocess.run([python, HERE / "sdk.py"], env=environment(**more), capture_output=True, timeout=300)
        if failed.returncode == 0:
            sys.exit("the official client did not see a wrong answer")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stranger", choices=["prism", "steady", "sdk"])
    parser.add_argument("--skewer", required=True, type=lambda path: pathlib.Path(path).absolute())
    parser.add_argument("--tools", required=True, type=lambda path: pathlib.Path(path).absolute())
    parser.add_argument("--document", type=lambda path: pathlib.Path(path).absolute())
    own, client = sys.argv[1:], []
    if "--" in own:
        own, client = own[: own.index("--")], own[own.index("--") + 1 :]
    arguments = parser.parse_args(own)
    arguments.clients = [client] if client else []
    if arguments.stranger != "sdk" and not arguments.document:
        parser.error("--document is needed")
    with tempfile.TemporaryDirectory() as scratch:
        {"prism": prism, "steady": steady, "sdk": sdk}[arguments.stranger](arguments, pathlib.Path(scratch))


if __name__ == "__main__":
    main()
