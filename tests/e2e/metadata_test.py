"""What is hard to keep: depth, width, length, sparseness, extended attributes, times, flags."""

import os
import subprocess
import unittest

from support import (DONE, WARNINGS, EndToEndTest, command, describe, main, make_tree,
                     make_weird_tree, needs, needs_loop, needs_root, noise, read, remove_tree,
                     write)

BIG = os.environ.get("HOLDFAST_BIG") == "1"


class Comparison(EndToEndTest):
    def test_it_can_fail(self):
        """Each difference between two trees is seen."""
        source = make_weird_tree(self.source)
        before = describe(source)
        changes = [
            lambda: os.chmod(f"{source}/one", 0o641),
            lambda: os.utime(f"{source}/one", ns=(0, 1)),
            lambda: os.setxattr(f"{source}/one", "user.empty", b"!"),
            lambda: os.utime(f"{source}/symlink", ns=(0, 1), follow_symlinks=False),
            lambda: write(f"{source}/256k", noise(256 * 1024, 1), mtime_ns=5),
            lambda: os.unlink(f"{source}/fifo too"),
            lambda: os.truncate(f"{source}/all hole", 8 << 20),
            lambda: (os.unlink(f"{source}/zz-fourth"), write(f"{source}/zz-fourth", b"linked")),
            lambda: os.utime(source, ns=(0, 1)),
        ]
        for i, change in enumerate(changes):
            change()
            after = describe(source)
            self.assertNotEqual(before, after, i)
            before = after


class Metadata(EndToEndTest):
    def setUp(self):
        super().setUp()
        self.client = self.created()

    def round_trip(self, to=None, **options):
        done = self.client.backup(self.source).summary
        self.assertTrue(done["complete"])
        to = to or self.path("to")
        self.client.restore(f"latest:{self.source}", to)
        self.assert_same_tree(self.source, to, **options)
        return done

    def test_a_deep_tree(self):
        """10,000 levels: paths far beyond what a system call takes."""
        os.makedirs(self.source)
        fd = os.open(self.source, os.O_RDONLY)
        for i in range(10_000):
            os.mkdir("d", dir_fd=fd)
            if i % 1000 == 999:
                f = os.open(f"file-{i}", os.O_CREAT | os.O_WRONLY, dir_fd=fd)
                os.write(f, b"%d" % i)
                os.close(f)
            down = os.open("d", os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = down
        os.close(fd)
        done = self.client.backup(self.source).summary
        self.assertEqual(done["files"], 10)
        again = self.client.backup(self.source).summary
        self.assertEqual(again["files_unchanged"], 10)
        to = self.path("to")
        self.client.restore(f"latest:{self.source}", to)
        self.assert_same_tree(self.source, to)

    def test_paths_beyond_4096_bytes(self):
        os.makedirs(self.source)
        fd = os.open(self.source, os.O_RDONLY)
        for i in range(40):
            name = bytes([65 + i % 26]) * 255
            os.mkdir(name, dir_fd=fd)
            down = os.open(name, os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = down
            f = os.open(b"f" * 255, os.O_CREAT | os.O_WRONLY, dir_fd=fd)
            os.write(f, b"%d" % i)
            os.close(f)
            os.symlink("x" * 4000, "link", dir_fd=fd)
        os.close(fd)
        self.round_trip()

    def test_a_wide_directory(self):
        count = 1_000_000 if BIG else 100_000
        os.makedirs(self.source)
        fd = os.open(self.source, os.O_RDONLY)
        for i in range(count):
            os.close(os.open("%06x" % (i * 7919 % count), os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        os.close(fd)
        done = self.client.backup(self.source).summary
        self.assertEqual(done["files"], count)
        again = self.client.backup(self.source).summary
        self.assertEqual((again["files_unchanged"], again["bytes_new"]), (count, 0))
        to = self.path("to")
        r = self.client.restore(f"latest:{self.source}", to).summary
        self.assertEqual(r["files_written"], count)
        a, b = ({e.name: (e.stat().st_size, e.stat().st_mtime_ns) for e in os.scandir(d)}
                for d in (self.source, to))
        self.assertEqual(a.keys(), b.keys())
        self.assertTrue(a == b)

    def test_sparse_files(self):
        os.makedirs(self.source)
        with open(f"{self.source}/tera", "wb") as f:
            f.truncate(1 << 40)
            for at in (0, 5 << 30, (1 << 39) + 4096, (1 << 40) - 8192):
                f.seek(at)
                f.write(noise(8192, at))
        with open(f"{self.source}/many", "wb") as f:
            for i in range(2000):
                f.seek(i * 65536)
                f.write(b"%d" % i)
            f.truncate(2001 * 65536)
        done = self.round_trip()
        self.assertLess(done["stored_data"], 20_000_000)
        self.assertLess(os.stat(self.path("to/tera")).st_blocks * 512, 1 << 20)

    @needs_loop
    def test_many_extended_attributes(self):
        """As much as the file system allows: XFS and ext4 with ea_inode take 64 KiB a value."""
        root = self.file_system("ext4", 64, "-O", "ea_inode")
        self.source = f"{root}/data"
        write(f"{self.source}/file", b"x")
        os.makedirs(f"{self.source}/directory")
        total = 0
        for i in range(24):
            for name in ("file", "directory"):
                os.setxattr(f"{self.source}/{name}", f"user.attribute-{i}", noise(2700, i))
            total += 2700
        os.setxattr(f"{self.source}/directory", "user.whole", noise(60_000, 99))
        self.assertGreater(total, 64_000)
        self.round_trip(to=f"{root}/to")

    @needs_loop
    def test_attributes_that_the_target_cannot_hold(self):
        """Told once, and not fatal."""
        root = self.file_system("ext4", 16, "-O", "ea_inode")
        self.source = f"{root}/data"
        write(f"{self.source}/x", b"x")
        os.setxattr(f"{self.source}/x", "user.large", noise(50_000))
        self.client.backup(self.source)
        to = f"{self.file_system('ext4', 16)}/to"
        ran = self.client.restore(f"latest:{self.source}", to, expect=(DONE, WARNINGS))
        self.assertEqual(read(f"{to}/x"), b"x")
        self.assertTrue(ran.summary["refused"] or ran.warnings, str(ran))

    @needs_root
    @needs("chattr")
    def test_immutable_and_append_only(self):
        for name, flag in (("immutable", "+i"), ("append", "+a"), ("large", "+i"),
                           ("nodump", "+d")):
            write(f"{self.source}/{name}", noise(2_000_000 if name == "large" else 5))
            done = subprocess.run(["chattr", flag, f"{self.source}/{name}"], capture_output=True)
            if done.returncode:
                self.skipTest("needs a file system with flags")
        os.link(f"{self.source}/nodump", f"{self.source}/nodump too")
        to = self.path("to")
        self.round_trip(to)
        # Once more over what is protected now, and as it should be.
        self.client.restore(f"latest:{self.source}", to)
        self.assert_same_tree(self.source, to)

    @needs_loop
    def test_between_file_systems(self):
        """tmpfs and ext4: what the target can hold comes back."""
        make_weird_tree(self.source)
        self.client.backup(self.source)
        expected = describe(self.source, holes=False)
        for kind in ("tmpfs", "ext4"):
            with self.subTest(kind):
                root = (self.mount("none", "size=300m", "-t", "tmpfs") if kind == "tmpfs"
                        else self.file_system("ext4", 200, "-I", "256", "-b", "4096"))
                self.client.restore(f"latest:{self.source}", f"{root}/to",
                                    expect=(DONE, WARNINGS))
                found = describe(f"{root}/to", holes=False)
                if kind == "tmpfs":
                    for tree in (expected, found):
                        for e in tree.values():
                            e.pop("flags", None)
                            e.pop("xattrs", None)
                self.assert_same_tree(expected, found)
                if kind == "tmpfs":
                    expected = describe(self.source, holes=False)

    def test_links_across_a_partial_restore(self):
        write(f"{self.source}/a/first", b"one object")
        os.makedirs(f"{self.source}/b")
        os.link(f"{self.source}/a/first", f"{self.source}/b/second")
        os.link(f"{self.source}/a/first", f"{self.source}/b/third")
        self.round_trip()
        to = self.path("part")
        self.client.restore(f"latest:{self.source}/b", to)
        self.assertEqual(read(f"{to}/second"), b"one object")
        self.assertTrue(os.path.samefile(f"{to}/second", f"{to}/third"))
        self.client.restore(f"latest:{self.source}", self.path("third"), "--include", "third")
        self.assertEqual(read(self.path("third/b/third")), b"one object")


if __name__ == "__main__":
    main()
