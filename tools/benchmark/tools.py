"""The compared programs, each behind the same few operations."""

import json
import os

import measure


class Unsupported(Exception):
    """The tool has no such operation; why is in the message."""


class Tool:
    """One repository of one tool, below `home`, which also takes its caches and credentials."""

    name = ""
    title = ""
    options = ""   # what was chosen, for the report
    encrypts = True

    def __init__(self, home):
        self.home = home
        self.repository = os.path.join(home, "repository")
        self.versions = 0
        os.makedirs(home)
        self.env = {k: v for k, v in os.environ.items()
                    if not k.startswith(("HOLDFAST_", "RESTIC_", "BORG_", "BUP_"))}
        self.env.update(HOME=home, XDG_CACHE_HOME=os.path.join(home, "cache"))
        self.env.update(self.environment())

    def environment(self):
        return {}

    def run(self, *command, cwd=None, may_end_with=(0,)):
        return measure.run(command, self.env, cwd, may_end_with)

    def stored(self):
        """Bytes in the repository: {"total": n, ...}, with parts where the layout tells."""
        return {"total": measure.tree_bytes(self.repository)}

    def restored_path(self, target, source):
        """Where restore() puts `source`."""
        return target + source

    # create(); backup(source) -> Cost; restore(target, source) -> Cost: of the newest backup


def directories(repository, **parts):
    sizes = {"total": measure.tree_bytes(repository)}
    for part, names in parts.items():
        sizes[part] = sum(measure.tree_bytes(os.path.join(repository, n)) for n in names)
    return sizes


class Holdfast(Tool):
    name = "holdfast"
    title = "Holdfast"
    options = "defaults: zstd 1, two readers, two uploads"
    program = ""  # set by tools/bench

    def environment(self):
        return {"HOLDFAST_VAULT": self.repository, "HOLDFAST_PASSPHRASE": "benchmark passphrase",
                "HOLDFAST_STATE_DIR": os.path.join(self.home, "state"),
                "HOLDFAST_CACHE_DIR": os.path.join(self.home, "cache")}

    @classmethod
    def version(cls):
        return measure.run([cls.program, "--version"])[1].split()[-1]

    def create(self):
        self.run(self.program, "vault", "create", self.repository)

    def backup(self, source):
        return self.run(self.program, "backup", source, "--item", "bench", "--snapshot", "none")[0]

    def restore(self, target, source):
        return self.run(self.program, "restore", "latest", "--to", target)[0]

    def stored(self):
        # From the layout of the vault (docs/formats/objects.md) and the program's own word.
        text = self.run(self.program, "stats", "--json")[1]
        summary = json.loads(text.splitlines()[-1])
        return {"total": measure.tree_bytes(self.repository), "data": summary["data_bytes"],
                "metadata": summary["metadata_bytes"] + summary["manifest_bytes"],
                "index": summary["index_bytes"]}


class Restic(Tool):
    name = "restic"
    title = "restic"
    options = "--compression auto, repository version 2"

    def environment(self):
        return {"RESTIC_REPOSITORY": self.repository, "RESTIC_PASSWORD": "benchmark passphrase",
                "RESTIC_CACHE_DIR": os.path.join(self.home, "cache"), "RESTIC_PROGRESS_FPS": "0"}

    @classmethod
    def version(cls):
        return measure.run(["restic", "version"])[1].split()[1]

    def create(self):
        self.run("restic", "init", "--repository-version", "2")

    def backup(self, source):
        return self.run("restic", "backup", "--quiet", "--compression", "auto", source)[0]

    def restore(self, target, source):
        # restic 0.14 fails where a symbolic link exists already: those go first, not timed.
        for directory, names, files in os.walk(target):
            for name in names + files:
                at = os.path.join(directory, name)
                if os.path.islink(at):
                    os.unlink(at)
        return self.run("restic", "restore", "latest", "--quiet", "--target", target)[0]

    def stored(self):
        # Packs hold data or trees; the layout does not tell which.
        sizes = directories(self.repository, packs=["data"], index=["index"])
        return {"total": sizes["total"], "data and metadata": sizes["packs"],
                "index": sizes["index"]}


class Borg(Tool):
    name = "borg"
    title = "BorgBackup"
    options = "repokey (AES-CTR, HMAC-SHA256), --compression zstd,1, --sparse"

    def environment(self):
        return {"BORG_REPO": self.repository, "BORG_PASSPHRASE": "benchmark passphrase",
                "BORG_BASE_DIR": self.home, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}

    @classmethod
    def version(cls):
        return measure.run(["borg", "--version"])[1].split()[-1]

    def create(self):
        self.run("borg", "init", "--encryption", "repokey")

    def backup(self, source):
        self.versions += 1
        return self.run("borg", "create", "--compression", "zstd,1", "--sparse",
                        f"::v{self.versions}", source)[0]

    def restore(self, target, source):
        os.makedirs(target, exist_ok=True)
        return self.run("borg", "extract", "--sparse", f"::v{self.versions}", cwd=target)[0]


class Bup(Tool):
    name = "bup"
    title = "bup"
    options = "defaults: zlib 1; does not encrypt"
    encrypts = False

    def environment(self):
        return {"BUP_DIR": self.repository, "GIT_AUTHOR_NAME": "b", "GIT_COMMITTER_NAME": "b"}

    @classmethod
    def version(cls):
        return measure.run(["bup", "version"])[1].strip()

    def create(self):
        self.run("bup", "init")

    def backup(self, source):
        index = self.run("bup", "index", source)[0]
        return index + self.run("bup", "save", "-q", "-n", "bench", source)[0]

    def restore(self, target, source):
        if os.path.exists(target):
            raise Unsupported("restores into empty directories only")
        return self.run("bup", "restore", "-q", "-C", target, f"/bench/latest{source}")[0]

    def restored_path(self, target, source):
        return os.path.join(target, os.path.basename(source))


class Casync(Tool):
    name = "casync"
    title = "casync"
    options = "defaults: zstd; does not encrypt, no memory of the last run, nothing synced"
    encrypts = False

    @classmethod
    def version(cls):
        return measure.run(["casync", "--version"])[1].split()[1]

    def create(self):
        os.makedirs(self.repository)

    def _index(self, source):
        kind = "caidx" if os.path.isdir(source) else "caibx"
        return os.path.join(self.repository, f"v{self.versions}.{kind}")

    def _store(self):
        return f"--store={self.repository}/store.castr"

    def backup(self, source):
        self.versions += 1
        return self.run("casync", "make", self._store(), self._index(source), source)[0]

    def restore(self, target, source):
        if os.path.isdir(source):
            os.makedirs(target, exist_ok=True)
        elif os.path.exists(target):
            raise Unsupported("left out for images")
        return self.run("casync", "extract", self._store(), self._index(source), target)[0]

    def restored_path(self, target, source):
        return target


ALL = [Holdfast, Restic, Borg, Bup, Casync]


def raw_pipeline(program, source):
    """The floor: see raw_pipeline.cc. Returns cost and what it would have stored."""
    cost, text = measure.run([program, source, "2"])
    return cost, json.loads(text)["stored"]


def plain_copy(source, target):
    """A single file, copied durably and without any work on its bytes."""
    return measure.run(["dd", f"if={source}", f"of={target}", "bs=1M", "conv=fsync,sparse",
                        "status=none"])[0]


def copy_tree(source, target):
    """With owners, times, attributes and links, as a restore gives them. Not synced."""
    return measure.run(["cp", "-a", source, target])[0]
