"""Runs commands and measures them."""

import os
import subprocess
import tempfile
import time


class CommandFailed(Exception):
    pass


class Cost:
    """What one operation cost: seconds of wall time and of processors, and peak memory."""

    def __init__(self, wall=0.0, cpu=0.0, rss=0):
        self.wall = wall
        self.cpu = cpu
        self.rss = rss  # bytes, of the largest process

    def __add__(self, other):
        return Cost(self.wall + other.wall, self.cpu + other.cpu, max(self.rss, other.rss))


def run(command, env=None, cwd=None, may_end_with=(0,)):
    """Runs `command`; returns its cost and what it printed. Processor time is that of the command
    and all processes it waited for, from wait4. Peak memory comes from time(1): a child of this
    interpreter would begin with the interpreter's own peak.

    Raises CommandFailed with the end of the error output."""
    with tempfile.NamedTemporaryFile("r") as memory, tempfile.TemporaryFile() as out, \
            tempfile.TemporaryFile() as err:
        full = ["/usr/bin/time", "-q", "-f", "%M", "-o", memory.name, "--"] + list(command)
        begin = time.monotonic()
        process = subprocess.Popen(full, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out,
                                   stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        text = out.read().decode(errors="replace")
        if process.returncode not in may_end_with:
            tail = (err.read().decode(errors="replace").strip() or text.strip())[-600:]
            raise CommandFailed(f"{' '.join(map(str, command))}\nended with {process.returncode}: "
                                f"{tail}")
        rss = int(memory.read().split()[-1]) * 1024
        return Cost(wall, usage.ru_utime + usage.ru_stime, rss), text


def sync_seconds():
    """How long it takes to store what was written."""
    begin = time.monotonic()
    os.sync()
    return time.monotonic() - begin


def settle():
    """What earlier operations left to be written must not be paid by the next one."""
    os.sync()
    time.sleep(0.5)


def warm(path):
    """Reads everything below `path` once, holes left out."""
    paths = [path]
    if os.path.isdir(path):
        paths = (os.path.join(d, f) for d, _, files in os.walk(path) for f in files)
    for p in paths:
        if os.path.islink(p) or not os.path.isfile(p):
            continue
        with open(p, "rb", buffering=0) as f:
            at = 0
            while True:
                try:
                    at = os.lseek(f.fileno(), at, os.SEEK_DATA)
                except OSError:
                    break
                end = os.lseek(f.fileno(), at, os.SEEK_HOLE)  # this moves the position too
                while at < end:
                    got = len(os.pread(f.fileno(), min(1 << 20, end - at), at))
                    if not got:
                        break
                    at += got
                at = end


def tree_bytes(path):
    """Sum of the sizes of all files below a directory."""
    total = 0
    for directory, _, files in os.walk(path):
        for name in files:
            try:
                total += os.lstat(os.path.join(directory, name)).st_size
            except FileNotFoundError:
                pass
    return total
