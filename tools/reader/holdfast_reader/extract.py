"""Writes a point's tree below an empty directory.

Nothing is written through a symbolic link, whatever the map says: the tree is entered one
directory at a time, each opened without following links, and everything is made new. One directory
is open at a time, so trees may be as deep as they like.
"""

import os
import stat

from . import maps
from .wire import Refused

_TYPES = {maps.CHAR_DEVICE: stat.S_IFCHR, maps.BLOCK_DEVICE: stat.S_IFBLK, maps.FIFO: stat.S_IFIFO,
          maps.SOCKET: stat.S_IFSOCK}
_WRITE_BYTES = 1 << 20


class Extraction:
    def __init__(self, directory, chunks, report):
        os.makedirs(directory, exist_ok=True)
        self.root = self.here = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        if os.listdir(self.root):
            os.close(self.root)
            raise Refused(f"{directory} is not empty")
        self.chunks, self.report = chunks, report
        self.is_root = os.geteuid() == 0
        self.path = []  # components of `here`
        self.entered = [None]  # the entry of each directory on the way, if the map has one
        self.first_names = {}  # key -> (device and inode, content) of what has further names

    def run(self, entries):
        """Everything that can be had. Refused pages end it, after what came before them."""
        try:
            for entry in entries:
                self._guarded(entry)
        finally:
            self._leave_to(0)
            self._finish_directory()
            os.close(self.root)

    def _guarded(self, entry):
        try:
            self._one(entry)
        except Refused as refused:
            self.report.defect(os.fsdecode(entry.key), str(refused))
        except (OSError, OverflowError) as error:
            self.report.defect(os.fsdecode(entry.key), f"not made: {error}")

    def _one(self, e):
        if e.key == b"":
            if e.type != maps.DIRECTORY:
                raise Refused("the root is no directory")
            self.entered[0] = e
            return
        *parents, name = e.key.split(b"/")
        common = 0
        while common < min(len(parents), len(self.path)) and parents[common] == self.path[common]:
            common += 1
        self._leave_to(common)
        for parent in parents[common:]:
            self._enter(parent, None)
        if e.type == maps.DIRECTORY:
            self._enter(name, e)
        elif not self._link(name, e):
            if e.type == maps.FILE:
                self._file(name, e)
            elif e.type == maps.SYMLINK:
                os.symlink(e.target, name, dir_fd=self.here)
            else:
                os.mknod(name, 0o600 | _TYPES[e.type], os.makedev(*e.device), dir_fd=self.here)
            if e.fields & maps.HAS_FURTHER_NAMES:
                self.first_names[e.key] = self._inode(name), e.content
            self._describe(name, e)

    # --- Directories

    def _enter(self, name, entry):
        try:
            os.mkdir(name, 0o700, dir_fd=self.here)
        except FileExistsError:
            raise Refused("what it is in is no directory of the point") from None
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self.here)
        self._move(below)
        self.path.append(name)
        self.entered.append(entry)

    def _move(self, to):
        if self.here != self.root:
            os.close(self.here)
        self.here = to

    def _leave_to(self, depth):
        while len(self.path) > depth:
            self._finish_directory()
            up = os.open("..", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self.here)
            self._move(up)
            self.path.pop()
            self.entered.pop()

    def _finish_directory(self):
        """Times and modes come last: what is made inside changes the first and needs the second."""
        entry = self.entered[-1]
        if entry is not None:
            try:
                self._describe(b".", entry)
            except (OSError, Refused) as error:
                self.report.defect(os.fsdecode(entry.key), str(error))

    # --- Files

    def _file(self, name, e):
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        fd = os.open(name, flags, 0o600, dir_fd=self.here)
        try:
            try:
                self._write(fd, e)
            finally:
                os.close(fd)
        except Refused:
            os.unlink(name, dir_fd=self.here)  # no half file may pass for a whole one
            raise

    def _write(self, fd, e):
        size = 0
        for piece in maps.file_pieces(self.chunks, e):
            if isinstance(piece, int):
                os.lseek(fd, piece, os.SEEK_CUR)
                size += piece
                continue
            size += len(piece)
            view = memoryview(piece)
            while view:
                view = view[os.write(fd, view[:_WRITE_BYTES]):]
        if size != e.size:
            raise Refused(f"{size} bytes, not {e.size}")
        os.ftruncate(fd, size)

    def _link(self, name, e):
        """Makes a further name of what is there. False: it has to be made anew."""
        inode, content = self.first_names.get(e.link, (None, None))
        if inode is None or content != e.content:
            return False
        try:
            os.link(e.link, name, src_dir_fd=self.root, dst_dir_fd=self.here, follow_symlinks=False)
        except OSError:
            return False
        if self._inode(name) == inode:
            return True
        os.unlink(name, dir_fd=self.here)
        return False

    def _inode(self, name):
        status = os.stat(name, dir_fd=self.here, follow_symlinks=False)
        return status.st_dev, status.st_ino

    # --- Metadata

    def _describe(self, name, e):
        """Owner (as root only), attributes, mode and time, in an order that keeps each."""
        at = {"dir_fd": self.here, "follow_symlinks": False}
        if self.is_root:
            os.chown(name, e.user[0], e.group[0], **at)
        path = b"/proc/self/fd/%d/%s" % (self.here, name)
        for key, value in maps.all_xattrs(self.chunks, e):
            try:
                os.setxattr(path, key, value, follow_symlinks=False)
            except OSError as error:
                self.report.remark(os.fsdecode(e.key),
                                   f"{os.fsdecode(key)} is not set: {error.strerror}")
        if e.type != maps.SYMLINK:
            os.chmod(path, e.mode)
        try:
            time_ns = e.mtime_s * 10**9 + e.mtime_ns
            os.utime(name, ns=(time_ns, time_ns), **at)
        except OverflowError:
            self.report.remark(os.fsdecode(e.key), "its time cannot be set here")
