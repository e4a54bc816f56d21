"""Objects of a vault in a directory, and their names: docs/formats/objects.md.

A store says "no such object" with None; every other failure of the disk is an OSError, says
nothing about the object, and ends the reading.
"""

import mmap
import os
import re
import stat

from .wire import OBJECT_BYTES_MAX, refuse_if

_HEX = re.compile(r"[0-9a-f]*")


def hex_id(text, size):
    """The bytes of an id or hash in a name, or None for any other spelling."""
    return bytes.fromhex(text) if len(text) == 2 * size and _HEX.fullmatch(text) else None


def decimal(text):
    """A number in a name: ten digits with leading zeros, more without, 19 at most. Else None."""
    if not re.fullmatch(r"[0-9]{10,19}", text) or (len(text) > 10 and text[0] == "0"):
        return None
    return int(text)


def spell(number):
    return f"{number:010d}"


class Directory:
    def __init__(self, path):
        self.path = path

    def _at(self, name):
        return os.path.join(self.path, *name.split("/"))

    def list(self, prefix):
        """Names of the objects below `prefix` (one component), sorted. Files that cannot be objects
        are listed too, for the caller to remark on; directories and what they hold stay apart."""
        names = []

        def walk(directory, name):
            try:
                entries = list(os.scandir(directory))
            except FileNotFoundError:
                return
            for entry in entries:
                below = f"{name}/{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    walk(entry.path, below)
                elif entry.is_file(follow_symlinks=False):
                    names.append(below)

        walk(self._at(prefix), prefix)
        return sorted(names)

    def _open(self, name):
        try:
            fd = os.open(self._at(name), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            return None
        return open(fd, "rb")

    def size(self, name):
        """Bytes of an object, or None if there is none."""
        file = self._open(name)
        if file is None:
            return None
        with file:
            return os.fstat(file.fileno()).st_size

    def read(self, name, offset, size):
        """Bytes of an object; fewer where it ends. None if there is none."""
        file = self._open(name)
        if file is None:
            return None
        with file:
            file.seek(offset)
            return file.read(size)

    def get(self, name, bytes_max=OBJECT_BYTES_MAX):
        """A whole object that is neither a pack nor an index run, or None."""
        size = self.size(name)
        if size is None:
            return None
        refuse_if(size > bytes_max, f"{name}: {size} bytes are too many")
        return self.read(name, 0, size)

    def mapped(self, name):
        """A whole object of any size, to be looked at in places, or None."""
        file = self._open(name)
        if file is None:
            return None
        with file:
            empty = os.fstat(file.fileno()).st_size == 0
            return b"" if empty else mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
