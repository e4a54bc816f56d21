"""Compares a restored tree with its original: names, types, content and metadata."""

import os
import stat

BLOCK = 1 << 20


class Difference:
    def __init__(self):
        self.content = []
        self.metadata = []

    def text(self):
        if self.content:
            return f"WRONG ({len(self.content)}): {self.content[0]}"
        if self.metadata:
            return f"content right, {len(self.metadata)} with other metadata: {self.metadata[0]}"
        return "exact"


def trees(original, restored):
    """Everything that is not the same. Owners count only for root, who alone can restore them."""
    found = Difference()
    links = ({}, {})
    _compare(original, restored, ".", found, links)
    if sorted(links[0].values()) != sorted(links[1].values()):
        found.metadata.append("hard links are grouped in another way")
    return found


def _names(path):
    with os.scandir(os.fsencode(path)) as entries:
        return sorted(e.name for e in entries)


def _compare(a, b, shown, found, links):
    try:
        x, y = os.lstat(a), os.lstat(b)
    except FileNotFoundError:
        found.content.append(f"{shown} is missing")
        return
    if stat.S_IFMT(x.st_mode) != stat.S_IFMT(y.st_mode):
        found.content.append(f"{shown} is of another type")
        return
    _compare_metadata(a, b, x, y, shown, found)
    if stat.S_ISDIR(x.st_mode):
        names = _names(a)
        if names != _names(b):
            found.content.append(f"{shown} holds other names")
            names = sorted(set(names) & set(_names(b)))
        for name in names:
            _compare(os.path.join(os.fsencode(a), name), os.path.join(os.fsencode(b), name),
                     os.path.join(shown, os.fsdecode(name)), found, links)
        return
    if x.st_nlink > 1 or y.st_nlink > 1:
        for st, group in ((x, links[0]), (y, links[1])):
            group.setdefault((st.st_dev, st.st_ino), shown)
    if stat.S_ISLNK(x.st_mode) and os.readlink(a) != os.readlink(b):
        found.content.append(f"{shown} leads elsewhere")
    if stat.S_ISREG(x.st_mode) and (x.st_size != y.st_size or not _same_bytes(a, b)):
        found.content.append(f"{shown} has other content")


def _compare_metadata(a, b, x, y, shown, found):
    if stat.S_IMODE(x.st_mode) != stat.S_IMODE(y.st_mode):
        found.metadata.append(f"mode of {shown}")
    elif x.st_mtime_ns != y.st_mtime_ns:
        found.metadata.append(f"time of {shown}")
    elif os.geteuid() == 0 and (x.st_uid, x.st_gid) != (y.st_uid, y.st_gid):
        found.metadata.append(f"owner of {shown}")
    elif _xattrs(a) != _xattrs(b):
        found.metadata.append(f"extended attributes of {shown}")


def _xattrs(path):
    try:
        return {n: os.getxattr(path, n, follow_symlinks=False)
                for n in os.listxattr(path, follow_symlinks=False)}
    except OSError:
        return {}


def _same_bytes(a, b):
    """Holes are zeros, wherever they are; where both have one it is not read."""
    with open(a, "rb", buffering=0) as f, open(b, "rb", buffering=0) as g:
        size = os.fstat(f.fileno()).st_size
        at = 0
        while (at := min(_next_data(f, at, size), _next_data(g, at, size))) < size:
            f.seek(at)
            g.seek(at)
            x, y = f.read(BLOCK), g.read(BLOCK)
            n = min(len(x), len(y))
            if n == 0 or x[:n] != y[:n]:
                return False
            at += n
        return True


def _next_data(file, at, size):
    try:
        return os.lseek(file.fileno(), at, os.SEEK_DATA)
    except OSError:
        return size
