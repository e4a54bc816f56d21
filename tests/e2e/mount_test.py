"""Recovery points as a file system."""

import errno
import os
import random
import signal
import subprocess
import threading
import time
import unittest

from support import (DONE, FAILED, PASSPHRASE, EndToEndTest, describe, main, make_tree,
                     make_weird_tree, needs, needs_fuse, noise, read, write)


@needs_fuse
@needs("fusermount3")
class Mount(EndToEndTest):
    def setUp(self):
        super().setUp()
        self.client = self.created()

    def mounted(self, *options):
        at = self.path("mnt")
        os.makedirs(at, exist_ok=True)
        process = self.client.start("mount", at, *options, passphrase=PASSPHRASE)
        self.addCleanup(subprocess.run, ["fusermount3", "-uz", at], capture_output=True)
        end = time.monotonic() + 30
        while not os.path.ismount(at):
            self.assertIsNone(process.poll(), process.stderr and process.poll())
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)
        return at, process

    def end(self, at, process, how="fusermount"):
        if how == "fusermount":
            subprocess.run(["fusermount3", "-u", at], check=True)
        else:
            process.send_signal(how)
        self.assertEqual(process.wait(timeout=20), DONE)
        self.assertFalse(os.path.ismount(at))

    def test_every_kind_of_file(self):
        make_weird_tree(self.source)
        point = self.client.backup(self.source, "--item", "data").summary["point"]
        at, process = self.mounted()
        self.assertEqual(sorted(os.listdir(at)), ["by-id", "by-time", "latest"])
        (by_id,) = os.listdir(f"{at}/by-id")
        self.assertTrue(point.startswith(by_id))
        self.assertEqual(os.listdir(f"{at}/by-time"), ["data"])
        self.assertEqual(os.listdir(f"{at}/latest"), ["data"])
        expected = describe(self.source)
        for top in (f"{at}/by-id/{by_id}", f"{at}/latest/data"):
            found = describe(self.restored(top, self.source))
            for tree in (expected, found):
                for e in tree.values():
                    for what in ("flags", "data"):
                        e.pop(what, None)
                    # The kernel keeps ACLs out of the list of names unless it enforces them.
                    e["xattrs"] = {k: v for k, v in e["xattrs"].items()
                                   if not k.startswith("system.")}
            self.assert_same_tree(expected, found)
        # Nothing can be changed.
        for change in (lambda: open(f"{at}/x", "w"), lambda: os.mkdir(f"{at}/by-id/x"),
                       lambda: os.unlink(self.restored(f"{at}/latest/data", self.source + "/one"))):
            with self.assertRaises(OSError) as caught:
                change()
            self.assertEqual(caught.exception.errno, errno.EROFS)
        self.end(at, process)

    def test_points_by_time_and_item(self):
        write(f"{self.source}/x", b"1")
        self.client.backup(self.source, "--item", "a")
        write(f"{self.source}/x", b"22")
        self.client.backup(self.source, "--item", "a")
        self.client.backup(self.source, "--item", "b")
        at, process = self.mounted()
        self.assertEqual(sorted(os.listdir(f"{at}/by-time")), ["a", "b"])
        self.assertEqual(len(os.listdir(f"{at}/by-id")), 3)
        times = sorted(os.listdir(f"{at}/by-time/a"))
        self.assertEqual(len(times), 2)
        self.assertEqual([read(self.restored(f"{at}/by-time/a/{t}", f"{self.source}/x"))
                          for t in times], [b"1", b"22"])
        self.assertEqual(read(self.restored(f"{at}/latest/a", f"{self.source}/x")), b"22")
        self.end(at, process, signal.SIGINT)

    def test_reads_of_any_size_at_any_place(self):
        data = noise(4_000_000) + bytes(1_000_000) + noise(500_000, 2)
        write(f"{self.source}/big", data)
        write(f"{self.source}/small", data[:777])
        with open(f"{self.source}/sparse", "wb") as f:
            f.truncate(1 << 40)
            f.seek(1 << 39)
            f.write(b"middle")
        self.client.backup(self.source, "--item", "i")
        at, process = self.mounted()
        top = self.restored(f"{at}/latest/i", self.source)
        errors = []

        def reader(seed):
            rng = random.Random(seed)
            try:
                with open(f"{top}/big", "rb", buffering=0) as f:
                    for _ in range(150):
                        offset = rng.randrange(len(data) + 5000)
                        size = rng.choice((1, 7, 511, 4096, 65537, 300_001))
                        if os.pread(f.fileno(), size, offset) != data[offset:offset + size]:
                            errors.append((offset, size))
            except BaseException as error:  # noqa: B902
                errors.append(error)

        threads = [threading.Thread(target=reader, args=(i,)) for i in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(errors, [])
        self.assertEqual(read(f"{top}/small"), data[:777])
        with open(f"{top}/sparse", "rb", buffering=0) as f:
            self.assertEqual(os.fstat(f.fileno()).st_size, 1 << 40)
            self.assertEqual(os.pread(f.fileno(), 10, (1 << 39) - 2), b"\0\0middle\0\0")
            self.assertEqual(os.pread(f.fileno(), 10, (1 << 40) - 3), bytes(3))
        self.end(at, process, signal.SIGTERM)

    def test_many_walkers(self):
        make_tree(self.source, 300)
        write(f"{self.source}/wide/x", b"")
        for i in range(3000):
            write(f"{self.source}/wide/{i}", b"%d" % i)
        self.client.backup(self.source, "--item", "i")
        at, process = self.mounted()
        top = self.restored(f"{at}/latest/i", self.source)
        copies = [subprocess.Popen(["diff", "-r", self.source, top]) for _ in range(3)]
        self.assertEqual([c.wait() for c in copies], [0, 0, 0])
        self.assertEqual(len(os.listdir(f"{top}/wide")), 3001)
        self.assertIsNone(process.poll())
        self.end(at, process)

    def test_a_backup_while_it_is_mounted(self):
        write(f"{self.source}/x", b"1")
        self.client.backup(self.source, "--item", "i")
        at, process = self.mounted()
        write(f"{self.source}/x", b"changed")
        self.client.backup(self.source, "--item", "i")
        self.assertEqual(read(self.restored(f"{at}/latest/i", f"{self.source}/x")), b"1")
        self.end(at, process)

    def test_damage_is_an_error_of_the_file(self):
        write(f"{self.source}/bad", noise(300_000))
        self.client.backup(self.source, "--item", "i")
        packs = {os.path.join(d, f) for d, _, fs in os.walk(self.vault + "/packs") for f in fs}
        bad = max(packs, key=os.path.getsize)
        write(f"{self.source}/good", noise(1000, 1))
        self.client.backup(self.source, "--item", "i")
        with open(bad, "r+b") as f:
            f.seek(150_000)
            f.write(b"damage")
        at, process = self.mounted()
        top = self.restored(f"{at}/latest/i", self.source)
        with self.assertRaises(OSError) as caught:
            read(f"{top}/bad")
        self.assertEqual(caught.exception.errno, errno.EIO)
        self.assertEqual(read(f"{top}/good"), noise(1000, 1))
        self.end(at, process)

    def test_wrong_directories(self):
        write(f"{self.source}/x", b"1")
        self.client.backup(self.source)
        for where in (self.path("nowhere"), f"{self.source}/x"):
            told = self.client.run("mount", where, passphrase=PASSPHRASE, expect=FAILED)
            self.assertIn(where, told.err)
            self.assertEqual(len(told.err.strip().splitlines()), 1, told.err)


if __name__ == "__main__":
    main()
