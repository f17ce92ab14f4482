#!/usr/bin/env python3
"""Checks the program against generated inputs with planted keys, as CI does.

    tests/corpus/check.py --corpus PATH/corpus.py [--skewer PATH] [--seeds 1,2,3] [tree] [log] [staged] [history]

The generator writes what it planted beside each input; those files hold whole keys, so only
fingerprints (the first 128 bits of a key's SHA-256) and paths are compared and printed.
Needs Python 3.11 and git. Exits 1 if anything is missed, misplaced, reported twice or wrongly, or
shown unmasked.
"""
import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from oracle import Oracle

# Every case in these must be found.
REQUIRED = ("formats/", "others/", "around/", "encoded/", "dist/", "files/", "logs/", "archives/")

MEMORY_LIMIT = 32 << 20  # for a log of any size, from a file or a pipe

GIT = dict(
    GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_SYSTEM="/dev/null",
    GIT_AUTHOR_NAME="A U Thor", GIT_AUTHOR_EMAIL="author@example.com",
    GIT_COMMITTER_NAME="C O Mitter", GIT_COMMITTER_EMAIL="committer@example.com",
)


class Check:
    """Counts what holds and says what doesn't."""

    def __init__(self, name):
        self.name, self.passed, self.wrong = name, 0, []

    def that(self, holds, what):
        if holds:
            self.passed += 1
        else:
            self.wrong.append(what)

    def close(self, notes=""):
        print(f"{self.name}: {self.passed} hold, {len(self.wrong)} don't{'; ' + notes if notes else ''}")
        for what in self.wrong:
            print(f"  WRONG {what}")
        return not self.wrong


def fingerprint(secret):
    return hashlib.sha256(secret.encode()).hexdigest()[:32]


class Truth:
    """What the generator planted."""

    def __init__(self, target):
        rows = [json.loads(line) for line in Path(f"{target}.truth.jsonl").read_text().splitlines()]
        self.keys = [row for row in rows if "secret" in row]
        self.decoys = {row["path"] for row in rows if "decoy" in row}
        self.prints = {fingerprint(row["secret"]): row["secret"] for row in self.keys}


def run(command, **more):
    """Runs to the end; returns (exit status, output, errors, peak memory in bytes)."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = subprocess.Popen(command, stdout=out, stderr=err, **more)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        return child.returncode, out.read(), err.read(), usage.ru_maxrss * 1024


def masked(check, truth, *outputs):
    """No output holds a planted key."""
    for secret in truth.prints.values():
        shown = any(secret.encode() in output for output in outputs)
        check.that(not shown, f"{fingerprint(secret)} is shown unmasked")


def name(finding):
    path = finding["location"]["name"]
    return path[2:] if path.startswith("./") else path


def tree(args, seed, scratch):
    root = scratch / "tree"
    subprocess.run([sys.executable, args.corpus, "tree", root, "--seed", str(seed)], check=True, stdout=subprocess.DEVNULL)
    truth, check = Truth(root), Check(f"tree, seed {seed}")
    status, out, err, _ = run([args.skewer, "scan", ".", "--format", "json", "--no-ignore"], cwd=root)
    masked(check, truth, out, err)
    check.that(status == 1, f"exit status {status}: {err.decode(errors='replace')[:400]}")
    if status != 1:
        return check.close()
    report = json.loads(out)
    places = [(f["fingerprint"], name(f)) for f in report["findings"]]
    planted = {(fingerprint(k["secret"]), k["path"]) for k in truth.keys}
    for key in truth.keys:
        check.that(key["path"].startswith(REQUIRED), f"{key['path']}: nobody says whether it must be found")
        count = places.count((fingerprint(key["secret"]), key["path"]))
        check.that(count == 1, f"{key['path']}: {key['case']}, found {count} times")
    for print_, path in places:
        check.that(path not in truth.decoys, f"{path}: a decoy is reported")
        check.that((print_, path) in planted or path in truth.decoys, f"{path}: {print_} is reported, but nobody planted it")
    for finding in report["findings"]:
        secret = truth.prints.get(finding["fingerprint"])
        if secret and not finding["decoders"] and "members" not in finding["location"]:
            offset, length = finding["location"]["offset"], finding["location"]["length"]
            there = (root / name(finding)).read_bytes()[offset : offset + length]
            check.that(there == secret.encode(), f"{name(finding)}: the key is not at offset {offset}")
    coverage = report["coverage"]
    check.that(coverage["failed"] == 0, f"{coverage['failed']} failures: {json.dumps(coverage['failures'])[:400]}")
    check.that(report["complete"] is True, "the report says that it is not complete")
    return check.close()


def log(args, seed, scratch):
    target = scratch / "app.log"
    command = [sys.executable, args.corpus, "log", target, "--seed", str(seed), "--megabytes", str(args.megabytes)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    truth, good = Truth(target), True
    for how in ("file", "pipe"):
        check = Check(f"log of {args.megabytes} MB from a {how}, seed {seed}")
        words = [args.skewer, "scan", "--format", "jsonl"]
        if how == "file":
            status, out, err, memory = run(words + [target])
        else:
            with subprocess.Popen(["cat", target], stdout=subprocess.PIPE) as cat:
                status, out, err, memory = run(words + ["-"], stdin=cat.stdout)
        masked(check, truth, out, err)
        check.that(status == 1, f"exit status {status}: {err.decode(errors='replace')[:400]}")
        check.that(memory <= MEMORY_LIMIT, f"{memory / (1 << 20):.1f} MiB of memory")
        rows = [json.loads(line) for line in out.splitlines()]
        found = [row for row in rows if row["type"] == "finding"]
        check.that([row["type"] for row in rows[-1:]] == ["summary"], "no summary at the end")
        check.that(len(found) == len(truth.keys), f"{len(truth.keys)} keys, {len(found)} findings")
        with open(target, "rb") as file:
            for finding in found:
                file.seek(finding["location"]["offset"])
                there = file.read(finding["location"]["length"])
                check.that(
                    hashlib.sha256(there).hexdigest()[:32] == finding["fingerprint"] and finding["fingerprint"] in truth.prints,
                    f"{finding['fingerprint']} is not at offset {finding['location']['offset']}",
                )
        good &= check.close(f"{memory / (1 << 20):.1f} MiB")
    target.unlink()
    return good


def staged(args, seed, scratch):
    repo = scratch / "staged"
    command = [sys.executable, args.corpus, "staged", repo, "--seed", str(seed), "--files", str(args.files)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    truth, check = Truth(repo), Check(f"staged change in {args.files} files, seed {seed}")
    env = dict(os.environ, **GIT, HOME=str(scratch), PATH=f"{Path(args.skewer).parent}{os.pathsep}{os.environ['PATH']}")
    here = dict(cwd=repo, env=env)
    head = lambda: run(["git", "rev-parse", "HEAD"], **here)[1]

    status, out, err, _ = run([args.skewer, "staged", "--format", "json"], **here)
    masked(check, truth, out, err)
    check.that(status == 1, f"staged: exit status {status}: {err.decode(errors='replace')[:400]}")
    places = {(f["fingerprint"], name(f)) for f in json.loads(out or b'{"findings": []}')["findings"]}
    check.that(places == {(fingerprint(k["secret"]), k["path"]) for k in truth.keys}, f"staged: {len(places)} places, {len(truth.keys)} keys")

    status, out, err, _ = run([args.skewer, "hook", "install"], **here)
    check.that(status == 0, f"hook install: exit status {status}: {err.decode(errors='replace')[:400]}")
    before = head()
    status, out, err, _ = run(["git", "commit", "-q", "-m", "leak"], **here)
    masked(check, truth, out, err)
    check.that(status != 0 and head() == before, "the hook let the key through")
    for key in truth.keys:
        check.that(fingerprint(key["secret"]) in (out + err).decode(errors="replace"), f"the hook does not name {key['path']}'s key")
        (repo / key["path"]).write_text("import os\napi_key = os.environ['OPENAI_API_KEY']\n")
    run(["git", "add", "-A"], **here)
    status, out, err, _ = run(["git", "commit", "-q", "-m", "no leak"], **here)
    check.that(status == 0 and head() != before, f"a clean commit is stopped: {(out + err).decode(errors='replace')[:400]}")
    return check.close()


def history(args, seed, scratch):
    """Every key that was ever planted, in the repository itself and in copies of it."""
    repo = scratch / "history"
    command = [sys.executable, args.corpus, "history", repo, "--seed", str(seed), "--commits", str(args.commits)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    truth, check = Truth(repo), Check(f"history of {args.commits} commits, seed {seed}")
    env = dict(os.environ, **GIT, HOME=str(scratch))

    def found(where):
        status, out, err, _ = run([args.skewer, "history", "--format", "json", where], env=env)
        masked(check, truth, out, err)
        check.that(status == 1, f"{where.name}: exit status {status}: {err.decode(errors='replace')[:400]}")
        return json.loads(out or b'{"findings": [], "complete": false}')

    report = found(repo)
    check.that(report["complete"], "it says that it is not complete")
    paths = {}
    for one in report["findings"]:
        names = one["location"].get("history", {}).get("paths", [])
        paths.setdefault(one["fingerprint"], []).append(one["location"]["name"] + " " + " ".join(names))
    for key in truth.keys:
        places = paths.get(fingerprint(key["secret"]), [])
        check.that(places, f"missed: {key['case']} in {key['path']}")
        # Nothing but the index knows the path of what was staged and never committed.
        if not key["path"].startswith("(") and not key["case"].startswith("staged"):
            check.that(any(key["path"] in place for place in places), f"no path: {key['case']} in {key['path']}: {places}")
    planted = {fingerprint(key["secret"]) for key in truth.keys}
    # A key that is cut by an edit is found as what is left of it, with little confidence.
    others = [f for f in report["findings"] if f["fingerprint"] not in planted and f["confidence"] != "low"]
    check.that(not others, f"{len(others)} that were not planted")

    # Whatever form a copy has: what git says that it still holds is found, with the first commit.
    run(["git", "-C", repo, "config", "uploadpack.allowFilter", "true"], env=env)
    url, copies = f"file://{repo}", {"itself": repo}

    def copy(name, *command, then=()):
        copies[name] = scratch / f"history-{name}"
        for step in (["git", *command, copies[name]], *(["git", "-C", copies[name], *step] for step in then)):
            status, _, err, _ = run(step, env=env)
            check.that(status == 0, f"{name}: {' '.join(map(str, step))}: {err.decode(errors='replace')[:300]}")

    copy("mirror", "clone", "-q", "--mirror", url)
    copy("bare", "clone", "-q", "--bare", url)
    copy("repacked", "clone", "-q", "--mirror", url, then=[["repack", "-q", "-adf", "--depth=250", "--window=20"]])
    copy("aggressive", "clone", "-q", "--mirror", url, then=[["gc", "-q", "--aggressive", "--prune=now"]])
    copy("reftable", "clone", "-q", "--mirror", "--ref-format=reftable", url)
    copy("shallow", "clone", "-q", "--depth=40", "--no-single-branch", url)
    copy("partial", "clone", "-q", "--filter=blob:none", "--no-checkout", url)
    copy("sha256", "init", "-q", "--bare", "--object-format=sha256")
    stream = subprocess.run(["git", "-C", repo, "fast-export", "--all", "--signed-tags=strip"], env=env, capture_output=True, check=True).stdout
    subprocess.run(["git", "-C", copies["sha256"], "fast-import", "--quiet", "--force"], env=env, input=stream, check=True)

    for name, where in copies.items():
        oracle = Oracle(where, truth.prints, env)
        report, kept = found(where), oracle.kept()
        here = {f["fingerprint"] for f in report["findings"]} & planted
        check.that(here == kept, f"{name}: {len(kept - here)} keys that it holds are missed, {len(here - kept)} are told that it does not hold")
        firsts = oracle.firsts()
        for one in report["findings"]:
            expected = firsts.get(one["fingerprint"])
            first = one["location"].get("history", {}).get("first")
            if expected and "history" in one["location"]:
                check.that(first and first["commit"] in expected, f"{name}: {one['location']['name']}: first commit {first and first['commit']}, not {expected}")
    return check.close(f"{len(copies)} forms")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=("tree", "log", "staged", "history", []), metavar="tree|log|staged|history", help="all of them if none is named")
    parser.add_argument("--corpus", required=True, type=Path, help="the generator, corpus.py")
    parser.add_argument("--skewer", default="target/release/skewer", type=Path)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--megabytes", default=60, type=int, help="size of the log")
    parser.add_argument("--files", default=3000, type=int, help="size of the repository with a staged change")
    parser.add_argument("--commits", default=2000, type=int, help="size of the history")
    args = parser.parse_args()
    args.corpus, args.skewer = args.corpus.resolve(), args.skewer.resolve()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    seeds = [int(seed) for seed in args.seeds.split(",")]
    good = True
    with tempfile.TemporaryDirectory(prefix="skewer-corpus-") as scratch:
        for check in (tree, log, staged, history):
            if not args.what or check.__name__ in args.what:
                # Logs and repositories differ by seed in their keys alone: one is enough.
                for seed in seeds if check is tree else seeds[:1]:
                    good &= check(args, seed, Path(scratch))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
