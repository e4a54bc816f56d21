"""What the end-to-end tests share: machines that run the program, trees and their comparison, and
file systems of the test's own. Standard library only.

The program is $HOLDFAST, or build/bin/holdfast below the source tree. A Machine has its own state
and cache directory, so that one test can play several computers. Every test has a directory of its
own, and everything it mounts or starts ends with it.
"""

import collections
import fcntl
import hashlib
import json
import os
import random
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import time
import unittest

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.path.abspath(os.environ.get("HOLDFAST", os.path.join(SOURCE, "build/bin/holdfast")))
PASSPHRASE = "correct horse battery"
DONE, FAILED, USAGE, WARNINGS = 0, 1, 2, 3
TIMEOUT_S = 300

IS_ROOT = os.geteuid() == 0
NOBODY = 65534
os.environ["PATH"] += ":/usr/sbin:/sbin"


def needs(*programs):
    """Skips a test class or function where a program is missing."""
    missing = [p for p in programs if shutil.which(p) is None]
    return unittest.skipIf(missing, "needs " + ", ".join(missing))


needs_root = unittest.skipUnless(IS_ROOT, "needs root")
needs_mount = unittest.skipUnless(
    IS_ROOT and subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/tmp"],
                               capture_output=True).returncode == 0, "needs root and mounts")
needs_loop = unittest.skipUnless(IS_ROOT and os.path.exists("/dev/loop-control"),
                                 "needs root and loop devices")
needs_fuse = unittest.skipUnless(
    os.path.exists("/dev/fuse") and os.access("/dev/fuse", os.R_OK | os.W_OK), "needs FUSE")


class Ran:
    """The end of one run of the program."""

    def __init__(self, arguments, code, out, err, seconds):
        self.arguments, self.code, self.out_bytes, self.err = arguments, code, out, err
        self.seconds = seconds

    @property
    def out(self):
        return self.out_bytes.decode("utf-8", "surrogateescape")

    @property
    def objects(self):
        return [json.loads(line) for line in self.out_bytes.splitlines()]

    def of(self, kind):
        return [o for o in self.objects if o["type"] == kind]

    @property
    def summary(self):
        """The last line of --json."""
        last = self.objects[-1]
        assert last["type"] == "summary", self
        return last

    @property
    def warnings(self):
        return [o["message"] for o in self.of("warning")]

    def __str__(self):
        return (f"holdfast {' '.join(map(repr, self.arguments))}\nexit code {self.code}\n"
                f"stdout: {self.out[-3000:]}\nstderr: {self.err[-3000:]}")


class Machine:
    """A computer with a state and a cache directory, working with one vault."""

    def __init__(self, test, name, vault):
        self.test, self.vault = test, vault
        self.home = os.path.join(test.dir, name)
        self.state = os.path.join(self.home, "state")
        self.cache = os.path.join(self.home, "cache")
        os.makedirs(self.home, exist_ok=True)

    def environment(self, passphrase=None, extra=None):
        env = {k: v for k, v in os.environ.items() if not k.startswith("HOLDFAST_")}
        env.update(HOLDFAST_STATE_DIR=self.state, HOLDFAST_CACHE_DIR=self.cache, LC_ALL="C.UTF-8")
        if self.vault is not None:
            env["HOLDFAST_VAULT"] = self.vault
        if passphrase:
            env["HOLDFAST_PASSPHRASE"] = passphrase
        env.update(extra or {})
        return env

    def start(self, *arguments, passphrase=None, env=None, wrap=(), **popen):
        """Starts the program and leaves it running; it is killed with the test."""
        popen.setdefault("stdout", subprocess.PIPE)
        popen.setdefault("stderr", subprocess.PIPE)
        popen.setdefault("stdin", subprocess.DEVNULL)
        process = subprocess.Popen([*wrap, PROGRAM, *arguments],
                                   env=self.environment(passphrase, env), **popen)
        self.test.addCleanup(end_process, process)
        return process

    def run(self, *arguments, expect=DONE, passphrase=None, input=None, env=None, wrap=(),
            cwd=None, user=None):
        """Runs the program to its end. `expect`: exit code, a tuple of them, or None for any."""
        start = time.monotonic()
        if user is not None:
            wrap = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *wrap]
        done = subprocess.run([*wrap, PROGRAM, *arguments], input=input or b"", cwd=cwd,
                              capture_output=True, env=self.environment(passphrase, env),
                              timeout=TIMEOUT_S)
        ran = Ran(arguments, done.returncode, done.stdout,
                  done.stderr.decode("utf-8", "replace"), time.monotonic() - start)
        if expect is not None:
            codes = expect if isinstance(expect, tuple) else (expect,)
            self.test.assertIn(ran.code, codes, str(ran))
        return ran

    def create(self, *arguments, **more):
        # Reserved space would only be copied about.
        if "--reserve" not in arguments:
            arguments = ("--reserve", "0", *arguments)
        return self.run("vault", "create", *arguments, "--json",
                        **{"passphrase": PASSPHRASE, **more})

    def backup(self, *arguments, **more):
        return self.run("backup", *arguments, "--json", **more)

    def restore(self, point, to, *arguments, **more):
        return self.run("restore", point, "--to", to, *arguments, "--json",
                        **{"passphrase": PASSPHRASE, **more})

    def points(self, *arguments, **more):
        return self.run("points", *arguments, "--json", **more).of("point")

    def check(self, *arguments, **more):
        """Keyless unless a passphrase is given; must be clean unless `expect` says otherwise."""
        return self.run("vault", "check", *arguments, "--json", **more)

    def read(self, *arguments, **more):
        """A command that needs the passphrase."""
        return self.run(*arguments, "--json", **{"passphrase": PASSPHRASE, **more})


class EndToEndTest(unittest.TestCase):
    maxDiff = 4000

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="holdfast-e2e-")
        os.chmod(self.dir, 0o755)
        self.addCleanup(remove_tree, self.dir)
        self.vault = os.path.join(self.dir, "vault")
        self.source = os.path.join(self.dir, "source")

    def machine(self, name="machine", vault=None):
        return Machine(self, name, vault or self.vault)

    def created(self, name="machine", vault=None):
        """A machine with a new vault."""
        machine = self.machine(name, vault)
        machine.create()
        return machine

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def restored(self, root, path):
        """Where `path` is below a restored whole point."""
        return os.path.join(root, path.lstrip("/"))

    def assert_same_tree(self, expected, found, **options):
        """Everything of two trees, or of a tree and what describe() said earlier."""
        a = expected if isinstance(expected, dict) else describe(expected, **options)
        b = found if isinstance(found, dict) else describe(found, **options)
        differences = compare(a, b)
        if differences:
            self.fail(f"{len(differences)} differences:\n" + "\n".join(differences[:30]))

    def assert_restores(self, machine, point, source, expected=None, **options):
        """The point's copy of `source`, restored somewhere new, is `expected`."""
        to = tempfile.mkdtemp(prefix="restored-", dir=self.dir)
        machine.restore(f"{point}:{source}", to, **options)
        self.assert_same_tree(expected or source, to)
        remove_tree(to)

    def assert_message(self, ran, *words):
        """A failure told in one line that has all the words."""
        lines = ran.err.strip().splitlines()
        self.assertEqual(len(lines), 1, str(ran))
        self.assertTrue(lines[0].startswith("holdfast: "), str(ran))
        for word in words:
            self.assertIn(word, lines[0])

    def file_system(self, kind, mega_bytes, *mkfs_options, image=None):
        """A new file system on a loop device, mounted until the test ends. Returns its path."""
        self.assertTrue(IS_ROOT)
        image = image or self.path(f"{kind}-{time.monotonic_ns()}.img")
        with open(image, "wb") as f:
            f.truncate(mega_bytes << 20)
        command("mkfs." + kind, "-q", *mkfs_options, image)
        return self.mount(image, "loop")

    def mount(self, device, options, *more, at=None):
        at = at or tempfile.mkdtemp(prefix="mount-", dir=self.dir)
        command("mount", *more, "-o", options, device, at)
        self.addCleanup(unmount, at)
        return at


def command(*arguments, **more):
    done = subprocess.run(arguments, capture_output=True, timeout=TIMEOUT_S, **more)
    if done.returncode != 0:
        raise RuntimeError(f"{arguments}: {done.stderr.decode('utf-8', 'replace')}")
    return done.stdout


def unmount(path):
    for _ in range(50):
        if not os.path.ismount(path):
            return
        if subprocess.run(["umount", path], capture_output=True).returncode == 0:
            return
        time.sleep(0.1)
    subprocess.run(["umount", "-l", path], capture_output=True)


def end_process(process):
    if process.poll() is None:
        process.kill()
    process.wait()
    for stream in (process.stdout, process.stderr, process.stdin):
        if stream is not None:
            stream.close()


def remove_tree(path):
    """Also deep trees, trees without permissions, and those with flags."""
    if not os.path.lexists(path):
        return
    if subprocess.run(["rm", "-rf", "--one-file-system", path], capture_output=True).returncode:
        subprocess.run(["chattr", "-R", "-ia", path], capture_output=True)
        subprocess.run(["chmod", "-R", "u+rwx", path], capture_output=True)
        subprocess.run(["rm", "-rf", "--one-file-system", path], capture_output=True)


# --- Trees -----------------------------------------------------------------------------------

FS_IOC_GETFLAGS, FS_IOC_SETFLAGS = 0x80086601, 0x40086602
# secure deletion .. noatime, and dirsync, topdir, no-cow: those that people set.
FLAGS_COMPARED = 0x0000_00ff | 0x0001_0000 | 0x0002_0000
KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink",
         stat.S_IFCHR: "char device", stat.S_IFBLK: "block device", stat.S_IFIFO: "fifo",
         stat.S_IFSOCK: "socket"}


def data_ranges(fd, size):
    """What SEEK_DATA and SEEK_HOLE say."""
    ranges, at = [], 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            break
        at = os.lseek(fd, start, os.SEEK_HOLE)
        ranges.append((start, at))
    return ranges


def content(fd, size):
    """A hash of everything that is not zero, and where it stands."""
    digest = hashlib.sha256()
    zeros = bytes(1 << 16)
    for start, end in data_ranges(fd, size):
        while start < end:
            piece = os.pread(fd, min(1 << 16, end - start), start)
            if not piece:
                break
            # Blocks aligned alike, whatever the ranges were.
            cut = min(len(piece), 4096 - start % 4096)
            for a, b in [(0, cut)] + [(i, i + 4096) for i in range(cut, len(piece), 4096)]:
                block = piece[a:b]
                if block != zeros[:len(block)]:
                    digest.update(struct.pack("<Q", (start + a) // 4096))
                    digest.update(block)
            start += len(piece)
    return digest.hexdigest()


def describe(root, holes=True, owners=True, times=True, xattrs=True):
    """Everything about every entry of a tree: {path below root: {what: value}}. Any depth, any
    names."""
    entries, names_of_inode = {}, collections.defaultdict(list)

    def look(at, path):
        st = os.lstat(at)
        kind = stat.S_IFMT(st.st_mode)
        e = {"kind": KINDS[kind], "mode": oct(stat.S_IMODE(st.st_mode))}
        if owners:
            e["owner"] = (st.st_uid, st.st_gid)
        if times:
            e["mtime_ns"] = st.st_mtime_ns
        if xattrs:
            e["xattrs"] = {name: os.getxattr(at, name, follow_symlinks=False)
                           for name in os.listxattr(at, follow_symlinks=False)}
        if kind == stat.S_IFLNK:
            e["target"] = os.readlink(at)
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            e["device"] = (os.major(st.st_rdev), os.minor(st.st_rdev))
        elif kind == stat.S_IFREG:
            e["size"] = st.st_size
            fd = os.open(at, os.O_RDONLY)
            e["content"] = content(fd, st.st_size)
            if holes:
                e["data"] = data_ranges(fd, st.st_size)
            os.close(fd)
        if kind in (stat.S_IFREG, stat.S_IFDIR):
            fd = os.open(at, os.O_RDONLY)
            try:
                flags = fcntl.ioctl(fd, FS_IOC_GETFLAGS, bytes(8))
                e["flags"] = hex(struct.unpack("<I", flags[:4])[0] & FLAGS_COMPARED)
            except OSError:
                pass
            os.close(fd)
        if kind != stat.S_IFDIR:
            names_of_inode[(st.st_dev, st.st_ino)].append(path)
        entries[path] = e
        return kind == stat.S_IFDIR

    root = os.fsencode(root)
    if not look(root, b"."):
        return entries
    # One open directory at a time: trees are deeper than paths are long, and than descriptors are.
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    stack = [(b"", sorted(os.fsencode(n) for n in os.listdir(fd)))]
    while stack:
        path, names = stack[-1]
        if not names:
            stack.pop()
            if stack:
                up = os.open("..", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
                os.close(fd)
                fd = up
            continue
        name = names.pop()
        child = path + b"/" + name if path else name
        if look(b"/proc/self/fd/%d/%s" % (fd, name), child):
            down = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = down
            stack.append((child, sorted(os.fsencode(n) for n in os.listdir(fd))))
    os.close(fd)
    for names in names_of_inode.values():
        if len(names) > 1:
            for name in names:
                entries[name]["links"] = sorted(names)
    return entries


def compare(a, b):
    """Lines about what differs between two descriptions."""
    out = [f"missing: {p!r}" for p in sorted(a.keys() - b.keys())]
    out += [f"too many: {p!r}" for p in sorted(b.keys() - a.keys())]
    for path in sorted(a.keys() & b.keys()):
        for what in sorted(a[path].keys() | b[path].keys()):
            x, y = a[path].get(what), b[path].get(what)
            if x != y:
                out.append(f"{path[-200:]!r}: {what} is {str(y)[:300]}, should be {str(x)[:300]}")
    return out


def write(path, data=b"", mode=None, mtime_ns=None):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)
    if mode is not None:
        os.chmod(path, mode)
    if mtime_ns is not None:
        os.utime(path, ns=(mtime_ns, mtime_ns))
    return path


def read(path):
    with open(path, "rb") as f:
        return f.read()


def noise(size, seed=0):
    """Bytes that do not compress."""
    return random.Random(seed).randbytes(size)


def make_tree(root, files=60, size=20_000, seed=1, big=0):
    """An ordinary tree: some directories, files of mixed content, and one of `big` bytes."""
    rng = random.Random(seed)
    for i in range(files):
        words = b" ".join(rng.choice([b"alpha", b"beta", b"gamma", b"%d" % rng.random().__hash__()])
                          for _ in range(50))
        data = rng.randbytes(rng.randrange(size)) if i % 2 else words * (size // 600)
        write(os.path.join(root, f"d{i % 7}", f"e{i % 3}", f"file-{i}"), data)
    if big:
        write(os.path.join(root, "big"), noise(big, seed))
    return root


def make_weird_tree(root):
    """One of everything that a file system can hold; devices, owners and the like only as root."""
    os.makedirs(root, exist_ok=True)
    base = os.fsencode(root)

    def at(*parts):
        return os.path.join(base, *parts)

    def put(name, data=b"x", **more):
        write(at(name), data, **more)
        return at(name)

    put(b"empty", b"")
    put(b"one", b"1")
    put(b"256k", noise(256 * 1024))
    put(b"256k+1", noise(256 * 1024 + 1))
    put(b"large", noise(3_000_000) + bytes(500_000) + noise(1_000_000))
    put(b"same as large", noise(3_000_000) + bytes(500_000) + noise(1_000_000))
    os.makedirs(at(b"empty directory"))
    names = [b"new\nline", b"tab\there", b"\xff\xfe not utf-8 \x80", b"\x01\x7f\x1b[31m", b"n" * 255,
             b" leading and trailing ", b"-rf", b"*?[]{}!\\", b"'\"`$(false)", "größe\u202e".encode(),
             b"...", b"~", b"#", b":", b"a:/b".replace(b"/", b"_"), b".holdfast-not"]
    for i, name in enumerate(names):
        put(name, b"%d" % i)
        put(os.path.join(b"directories", name, name), b"%d" % i)

    # Sorting by components is not sorting by bytes.
    for name in (b"a", b"a-b", b"a.b", b"a/c", b"ab"):
        if name != b"a":
            put(os.path.join(b"order", name))

    put(b"links/first", b"linked")
    os.makedirs(at(b"links/sub/deeper"))
    os.link(at(b"links/first"), at(b"links/sub/second"))
    os.link(at(b"links/first"), at(b"links/sub/deeper/third"))
    os.link(at(b"links/first"), at(b"zz-fourth"))
    os.symlink(b"links/first", at(b"symlink"))
    os.symlink(b"../nowhere/" + b"t" * 3000, at(b"dangling symlink"))
    os.symlink(b"\xff\n", at(b"symlink to a strange name"))
    os.link(at(b"symlink"), at(b"symlink too"), follow_symlinks=False)
    os.link(at(b"dangling symlink"), at(b"dangling symlink too"), follow_symlinks=False)
    os.mkfifo(at(b"fifo"), 0o640)
    os.link(at(b"fifo"), at(b"fifo too"))

    for mode in (0o000, 0o400, 0o644, 0o777, 0o4755, 0o2755, 0o1644, 0o7777):
        put(b"modes/%04o" % mode, b"m", mode=mode)
        os.makedirs(at(b"modes/d%04o" % mode))
        put(b"modes/d%04o/below" % mode, b"m")
        if IS_ROOT:
            os.chmod(at(b"modes/d%04o" % mode), mode)

    for i, when in enumerate((-2_000_000_000 * 10**9 + 1, -1, 0, 1, 999_999_999,
                              2**31 * 10**9 + 5, 2**32 * 10**9 + 123_456_789,
                              8_000_000_000 * 10**9 + 7)):
        put(b"times/%d" % i, b"t", mtime_ns=when)
        os.makedirs(at(b"times/d%d" % i))
        os.utime(at(b"times/d%d" % i), ns=(when, when))
    os.symlink(b"0", at(b"times/link"))
    os.utime(at(b"times/link"), ns=(10**18 + 7, 10**18 + 7), follow_symlinks=False)

    with open(at(b"sparse"), "wb") as f:
        f.truncate(40 << 20)
        for offset in (1 << 20, (5 << 20) + 4096, 33 << 20):
            f.seek(offset)
            f.write(noise(20_000 // 4096 * 4096, offset))
    with open(at(b"all hole"), "wb") as f:
        f.truncate(7 << 20)
    with open(at(b"hole at the end"), "wb") as f:
        f.write(noise(8192))
        f.truncate((3 << 20) + 17)
    with open(at(b"hole at the start"), "wb") as f:
        f.seek(1 << 20)
        f.write(b"end")

    try:
        os.setxattr(at(b"one"), "user.empty", b"")
        os.setxattr(at(b"one"), "user.binary", bytes(range(256)))
        os.setxattr(at(b"one"), "user.large", noise(2000))
        os.setxattr(at(b"empty directory"), "user.on directory", b"d")
    except OSError:
        pass
    if IS_ROOT:
        _add_what_root_may(at, put)
    return root


def _add_what_root_may(at, put):
    os.mknod(at(b"null"), 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(at(b"block"), 0o600 | stat.S_IFBLK, os.makedev(259, 1_000_000))
    os.mknod(at(b"socket"), 0o755 | stat.S_IFSOCK)
    os.chown(at(b"null"), 1, 2)
    os.link(at(b"null"), at(b"null too"))
    for i, (uid, gid) in enumerate(((1, 1), (NOBODY, NOBODY), (123456, 654321), (4_000_000_000, 0))):
        os.chown(put(b"owners/%d" % i, b"o"), uid, gid)
        os.symlink(b"0", at(b"owners/link %d" % i))
        os.chown(at(b"owners/link %d" % i), uid, gid, follow_symlinks=False)
    put(b"owners/setuid", b"s")
    os.chown(at(b"owners/setuid"), 12, 34)
    os.chmod(at(b"owners/setuid"), 0o6755)
    for name, value in (("trusted.t", b"\0\1"), ("security.capability",
                        struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0))):
        try:
            os.setxattr(put(b"xattrs of " + name.encode(), b"x"), name, value)
            os.setxattr(at(b"symlink"), "trusted.on a link", b"l", follow_symlinks=False)
        except OSError:
            pass
    if shutil.which("setfacl"):
        put(b"acl/file", b"acl")
        for arguments in (["-m", "u:12345:rw,g:0:r,m::rw"], ["-d", "-m", "u:12345:rwx,o::-"]):
            where = at(b"acl") if "-d" in arguments else at(b"acl/file")
            subprocess.run(["setfacl", *arguments, where], capture_output=True)
    if shutil.which("chattr"):
        for flags, name in (("+d", b"flags/nodump"), ("+A", b"flags/noatime")):
            subprocess.run(["chattr", flags, put(name, b"f")], capture_output=True)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that clean-up runs
    unittest.main(verbosity=2)
