"""What git itself says that a repository holds: which of the planted keys, and which commit brought
each one first. Slow and simple, so that it is plainly right; `check.py` compares skewer with it.
"""
import os
import subprocess


class Oracle:
    """Asks git about one repository, whatever form it has."""

    def __init__(self, repo, secrets, env):
        """`secrets` maps fingerprints to keys."""
        self.repo, self.env = repo, dict(env, GIT_NO_LAZY_FETCH="1")
        texts = {print_: secret.encode() for print_, secret in secrets.items()}
        self.forms = {print_: (text, text.decode().encode("utf-16-le")) for print_, text in texts.items()}
        self.objects, self.commits = {}, []
        self.read_objects()
        self.parents, self.times, self.holds = {}, {}, {}
        self.read_commits()

    def git(self, *arguments, feed=None):
        done = subprocess.run(["git", "-C", self.repo, *arguments], env=self.env, input=feed, capture_output=True)
        if done.returncode:
            raise SystemExit(f"git {' '.join(arguments)} in {self.repo}: {done.stderr.decode(errors='replace')}")
        return done.stdout

    def keys_in(self, data):
        return {print_ for print_, forms in self.forms.items() if any(form in data for form in forms)}

    def read_objects(self):
        """Every object that is here, reachable or not."""
        out, at = self.git("cat-file", "--batch-all-objects", "--batch", "--buffer", "--unordered"), 0
        while at < len(out):
            end = out.index(b"\n", at)
            name, kind, size = out[at:end].decode().split()
            data = out[end + 1 : end + 1 + int(size)]
            at = end + 2 + int(size)
            if kind == "commit":
                self.commits.append(name)
            if found := self.keys_in(data):
                self.objects[name] = (kind, found)

    def read_commits(self):
        """For each commit the keys in its tree, from those of its first parent and the difference."""
        log = self.git("log", "--stdin", "--topo-order", "--reverse", "--raw", "-z", "--root", "--no-renames", "--no-abbrev",
                       "--diff-merges=first-parent", "--format=%x01%H %ct %P%x02", feed="\n".join(self.commits).encode())
        trees = {}
        for part in log.split(b"\x01")[1:]:
            head, _, body = part.partition(b"\x02")
            commit, time, *parents = head.decode().split()
            self.parents[commit], self.times[commit] = parents, int(time)
            tree = dict(trees.get(parents[0], {})) if parents else {}
            fields = body.strip(b"\n\0").split(b"\0")
            for meta, path in zip(fields[::2], fields[1::2]):
                blob = meta.decode().split()[3]
                found = (set() if not int(blob, 16) else self.objects.get(blob, ("", set()))[1] | self.keys_in(path))
                tree.pop(path, None)
                if found:
                    tree[path] = found
            trees[commit] = tree
            self.holds[commit] = set().union(*tree.values())

    def kept(self):
        """The keys in objects, in the names of refs and in the plain files of the repository."""
        keys = set().union(*(found for _, found in self.objects.values())) | self.keys_in(self.git("for-each-ref", "--format=%(refname)"))
        git_dir = self.git("rev-parse", "--absolute-git-dir").decode().strip()
        for directory, _, files in os.walk(git_dir):
            for file in files:
                path = os.path.join(directory, file)
                if "/objects/" not in path:
                    keys |= self.keys_in(path.encode()) | self.keys_in(open(path, "rb").read())
        return keys

    def firsts(self):
        """For each key in a commit's tree, the earliest commits that hold it and whose parents don't."""
        brought = {}
        for commit, keys in self.holds.items():
            for key in keys:
                if not any(key in self.holds.get(parent, ()) for parent in self.parents[commit]):
                    brought.setdefault(key, []).append(commit)
        for key, commits in brought.items():
            first = min(self.times[commit] for commit in commits)
            brought[key] = {commit for commit in commits if self.times[commit] == first}
        return brought
