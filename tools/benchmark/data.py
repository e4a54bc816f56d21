"""What is backed up, and how it changes. Everything is made from seeds: the same bytes on every
machine and for every tool."""

import os
import random
import shutil
import subprocess

LINUX_ARCHIVE = "/usr/src/linux-source-6.1.tar.xz"
TIME_S = 1_700_000_000  # of made files
MIB = 1 << 20


def _made(path, make):
    """Calls make(temporary path) unless `path` is there from an earlier run."""
    if not os.path.exists(path):
        partial = path + ".partial"
        if os.path.lexists(partial):
            subprocess.run(["rm", "-rf", partial], check=True)
        make(partial)
        os.rename(partial, path)
    return path


def linux_tree(directory, parts=None):
    """The Linux source tree, or some of its top directories."""
    def make(path):
        os.makedirs(path)
        names = [f"linux-source-6.1/{p}" for p in parts or []]
        subprocess.run(["tar", "xJf", LINUX_ARCHIVE, "-C", path, "--strip-components=1"] + names,
                       check=True)
    name = "linux" if parts is None else "linux-" + "-".join(p.replace("/", "_") for p in parts)
    return _made(os.path.join(directory, name), make)


def random_file(directory, size):
    """Bytes that do not compress."""
    def make(path):
        rng = random.Random(size)
        with open(path, "wb") as f:
            for _ in range(size // MIB):
                f.write(rng.randbytes(MIB))
        os.utime(path, (TIME_S, TIME_S))
    return _made(os.path.join(directory, f"random-{size // MIB}"), make)


def image(directory, size, tree, filler):
    """A sparse ext4 image with the files of `tree`, and `filler` bytes that do not compress."""
    def make(path):
        content = path + ".content"
        subprocess.run(["rm", "-rf", content], check=True)
        subprocess.run(["cp", "-a", tree, content], check=True)
        os.makedirs(os.path.join(content, "media"))
        rng = random.Random(filler)
        for i in range(filler // (8 * MIB)):
            name = os.path.join(content, "media", f"{i:04}")
            with open(name, "wb") as f:
                f.write(rng.randbytes(8 * MIB))
        for d, names, files in os.walk(content):
            os.utime(d, (TIME_S, TIME_S))
        uuid = "686f6c64-6661-7374-0000-000000000001"
        env = dict(os.environ, E2FSPROGS_FAKE_TIME=str(TIME_S))
        subprocess.run(["/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-U", uuid, "-E",
                        f"hash_seed={uuid},root_owner=0:0", "-d", content, path,
                        str(size // 1024)],
                       env=env, check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["rm", "-rf", content], check=True)
        os.utime(path, (TIME_S, TIME_S))
    return _made(os.path.join(directory, f"image-{size // MIB}-{filler // MIB}"), make)


_WORDS = ["state", "buffer", "length", "index", "error", "return", "static", "struct", "pointer",
          "page", "lock", "queue", "event", "config", "device", "driver", "signal", "table"]


def _line(rng):
    words = " ".join(rng.choice(_WORDS) for _ in range(rng.randint(4, 10)))
    return f"{words} {rng.getrandbits(48):012x}\n".encode()


def tiny_files(directory, count):
    """Files of 100 to 1,500 bytes, 100 in a directory."""
    def make(path):
        rng = random.Random(count)
        for i in range(count):
            place = os.path.join(path, f"{i // 10000:03}", f"{i // 100 % 100:02}")
            if i % 100 == 0:
                os.makedirs(place)
            with open(os.path.join(place, f"{i % 100:02}.txt"), "wb") as f:
                f.write(b"".join(_line(rng) for _ in range(rng.randint(2, 20))))
    return _made(os.path.join(directory, f"tiny-{count}"), make)


def copy_tree(source, target):
    subprocess.run(["cp", "-a", source, target], check=True)


# --- Changes ---

class FileChanges:
    """Edits some files of a tree. undo() puts back content and times."""

    def __init__(self, tree, kept):
        self.tree = tree
        self.kept = kept  # a directory for the originals, on the same file system
        self.changed = []
        os.makedirs(kept)

    def _files(self):
        out = []
        for directory, names, files in os.walk(self.tree):
            names.sort()
            out += [p for p in (os.path.join(directory, f) for f in sorted(files))
                    if not os.path.islink(p) and os.path.getsize(p) > 0]
        return out

    def edit(self, count, seed):
        rng = random.Random(seed)
        files = self._files()
        for path in rng.sample(files, min(count, len(files))):
            copy = os.path.join(self.kept, f"{len(self.changed)}")
            shutil.copy2(path, copy)
            self.changed.append((path, copy))
            edit_text(path, rng)

    def edit_share(self, share, seed):
        self.edit(max(1, round(len(self._files()) * share)), seed)

    def undo(self):
        for path, copy in reversed(self.changed):
            shutil.copy2(copy, path)
        self.changed = []


def edit_text(path, rng):
    """Three lines changed or added, as an editor would write it."""
    with open(path, "rb") as f:
        lines = f.read().splitlines(keepends=True)
    for _ in range(3):
        at = rng.randrange(len(lines) + 1)
        lines[at:at + rng.randint(0, 1)] = [_line(rng)]
    with open(path, "wb") as f:
        f.write(b"".join(lines))


class BlockChanges:
    """Overwrites pieces of a large file in place, as a guest does in its disk."""

    def __init__(self, path):
        self.path = path
        self.old = []

    def overwrite(self, count, size, seed):
        rng = random.Random(seed)
        with open(self.path, "r+b", buffering=0) as f:
            length = os.fstat(f.fileno()).st_size
            for _ in range(count):
                # Where there is data: a change in a hole would be growth.
                at = os.lseek(f.fileno(), rng.randrange(length // size) * size, os.SEEK_SET)
                try:
                    at = os.lseek(f.fileno(), at, os.SEEK_DATA) // size * size
                except OSError:
                    at = 0
                f.seek(at)
                self.old.append((at, f.read(size)))
                f.seek(at)
                f.write(rng.randbytes(size // 2) + b"".join(_line(rng) for _ in
                                                            range(size // 32))[:size // 2])

    def undo(self):
        with open(self.path, "r+b", buffering=0) as f:
            for at, old in reversed(self.old):
                f.seek(at)
                f.write(old)
        self.old = []
        os.utime(self.path, (TIME_S, TIME_S))


def next_version(tree, seed):
    """A day's work on a source tree: 1.5 % of the files edited, a few added, removed, renamed."""
    rng = random.Random(seed)
    files = []
    for directory, names, found in os.walk(tree):
        names.sort()
        files += [p for p in (os.path.join(directory, f) for f in sorted(found))
                  if not os.path.islink(p) and os.path.getsize(p) > 0]
    few = max(1, len(files) // 1000)
    chosen = rng.sample(files, min(len(files), len(files) * 15 // 1000 + 3 * few))
    removed, renamed = chosen[:few], chosen[few:2 * few]
    for path in removed:
        os.remove(path)
    for path in renamed:
        os.rename(path, f"{path}.v{seed}")
    for path in chosen[2 * few:3 * few]:
        with open(f"{path}.new{seed}", "wb") as f:
            f.write(b"".join(_line(rng) for _ in range(rng.randint(20, 400))))
    for path in chosen[2 * few:]:
        edit_text(path, rng)
