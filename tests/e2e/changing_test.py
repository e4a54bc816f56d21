"""Trees that change while they are read: files that vanish, shrink, grow and change their type."""

import os
import random
import shutil
import threading
import time
import unittest

from support import (DONE, FAILED, PASSPHRASE, WARNINGS, EndToEndTest, describe, main, make_tree,
                     noise, read, remove_tree, write)


def put(path, flags, data):
    """Does not wait where a FIFO has come in the meantime."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | flags, 0o644)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


class Changing(EndToEndTest):
    def mutate(self, root, stop, rng, seen):
        """Changes files of a tree at random; every content ever written is remembered."""
        n = 0
        while not stop.is_set():
            n += 1
            directory = os.path.join(root, f"m{rng.randrange(12)}")
            name = os.path.join(directory, f"f{rng.randrange(60)}")
            kind = rng.randrange(8)
            try:
                if kind == 0 and os.path.isfile(name):
                    os.unlink(name)
                elif kind == 1:
                    put(name, os.O_APPEND, b"%d" % n * rng.randrange(5000))
                elif kind == 2:
                    os.truncate(name, rng.randrange(2000))
                elif kind == 3:
                    if os.path.isdir(name) and not os.path.islink(name):
                        shutil.rmtree(name)
                    elif os.path.lexists(name):
                        os.unlink(name)
                    what = rng.randrange(4)
                    if what == 0:
                        write(name + "/below", b"b")
                    elif what == 1:
                        os.symlink("f0", name)
                    elif what == 2:
                        os.mkfifo(name)
                    else:
                        put(name, os.O_TRUNC, b"new %d" % n)
                elif kind == 4:
                    os.rename(name, name + "x")
                    os.rename(name + "x", os.path.join(directory, f"f{rng.randrange(60)}"))
                elif kind == 5 and rng.random() < 0.05:
                    shutil.rmtree(directory)
                    os.makedirs(directory)
                elif kind == 6:
                    os.chmod(name, rng.choice((0o600, 0o644)))
                else:
                    put(name, os.O_TRUNC, noise(rng.randrange(300_000), n))
            except OSError:
                pass
        seen.append(n)

    def test_mutator(self):
        client = self.created()
        still = make_tree(self.path("source/still"), 200, big=3_000_000)
        for d in range(12):
            for i in range(60):
                write(f"{self.source}/m{d}/f{i}", noise(3000, d * 100 + i))
        stop, seen, rng = threading.Event(), [], random.Random(11)
        mutators = [threading.Thread(target=self.mutate, args=(self.source, stop,
                                                               random.Random(i), seen))
                    for i in range(2)]
        for t in mutators:
            t.start()
        try:
            points = []
            for _ in range(10):
                ran = client.backup(self.source, "--read-limit", "30M", expect=(DONE, WARNINGS))
                # What could not be read is named; the point says so.
                s = ran.summary
                self.assertEqual(s["complete"], s["problems"] == 0)
                self.assertEqual(ran.code, WARNINGS if ran.warnings else DONE)
                for w in ran.warnings:
                    self.assertIn(self.source, w)
                points.append(s["point"])
                time.sleep(0.1 * rng.random())
        finally:
            stop.set()
            for t in mutators:
                t.join()
        client.check("--read-data", passphrase=PASSPHRASE)
        expected = describe(still)
        for point in points[::3]:
            to = self.path("to")
            client.restore(f"{point}:{self.source}", to, "--verify", expect=(DONE, WARNINGS))
            self.assert_same_tree(expected, f"{to}/still")
            remove_tree(to)
        # Once it is quiet the next point is exact, whatever the cache saw meanwhile.
        last = client.backup(self.source).summary
        self.assertTrue(last["complete"])
        self.assert_restores(client, last["point"], self.source)
        print(f"{sum(seen)} changes during {len(points)} backups")

    def slow_backup(self, client, change, item="slow"):
        """A backup that reads a large file slowly, and `change` in the middle of it."""
        process = client.start("backup", self.source, "--read-limit", "4M", "--item", item,
                               "--json", "--readers", "1")
        time.sleep(0.8)
        change()
        out, err = process.communicate(timeout=60)
        from support import Ran
        return Ran(("backup",), process.returncode, out, err.decode(), 0)

    def test_a_large_file_changes_while_it_is_read(self):
        client = self.created()
        changes = {
            "shrinks": lambda p: os.truncate(p, 1000),
            "grows": lambda p: put(p, os.O_APPEND, noise(500_000, 3)),
            "is rewritten": lambda p: put(p, 0, noise(8_000_000, 4)),
            "vanishes": os.unlink,
            "becomes a directory": lambda p: (os.unlink(p), os.mkdir(p)),
            "is replaced": lambda p: (write(p + ".new", b"new"), os.rename(p + ".new", p)),
        }
        for name, change in changes.items():
            with self.subTest(name):
                remove_tree(self.source)
                path = write(f"{self.source}/large", noise(8_000_000, 2))
                write(f"{self.source}/z-small", b"small")
                ran = self.slow_backup(client, lambda: change(path), name)
                self.assertIn(ran.code, (DONE, WARNINGS), str(ran))
                if name in ("shrinks", "grows", "is rewritten"):
                    self.assertEqual(ran.code, WARNINGS, str(ran))
                    self.assertIn(path, " ".join(ran.warnings))
                    self.assertFalse(ran.summary["complete"])
                # The other file is there in any case, and the next backup is right.
                cat = client.run("cat", f"latest:{name}:{self.source}/z-small",
                                 passphrase=PASSPHRASE)
                self.assertEqual(cat.out_bytes, b"small")
                again = client.backup(self.source, "--item", name).summary
                self.assertTrue(again["complete"])
                self.assert_restores(client, f"latest:{name}", self.source)

    def test_a_directory_vanishes(self):
        client = self.created()
        for i in range(50):
            write(f"{self.source}/a", noise(8_000_000))
            write(f"{self.source}/b/c/f{i}", b"x")
        ran = self.slow_backup(client, lambda: shutil.rmtree(f"{self.source}/b"))
        self.assertIn(ran.code, (DONE, WARNINGS), str(ran))
        again = client.backup(self.source, "--item", "slow").summary
        self.assertTrue(again["complete"])
        self.assert_restores(client, "latest", self.source)

    def test_changes_within_one_clock_tick_are_seen(self):
        """Same size, same times as far as the clock can tell: content decides."""
        client = self.created()
        path = write(f"{self.source}/x", b"0000")
        for n in range(30):
            with open(path, "r+b") as f:
                f.write(b"%04d" % n)
            point = client.backup(self.source).summary["point"]
            with open(path, "r+b") as f:
                f.write(b"%04d" % (n + 5000))
            os.utime(path, ns=(10**18, 10**18))
            if n % 10 == 0:
                cat = client.run("cat", f"{point}:{path}", passphrase=PASSPHRASE)
                self.assertEqual(cat.out_bytes, b"%04d" % n)
                after = client.backup(self.source).summary["point"]
                cat = client.run("cat", f"{after}:{path}", passphrase=PASSPHRASE)
                self.assertEqual(cat.out_bytes, b"%04d" % (n + 5000))

    def test_mtime_put_back(self):
        """Content changed, size and mtime as before: ctime tells."""
        client = self.created()
        path = write(f"{self.source}/x", b"first", mtime_ns=10**18)
        client.backup(self.source)
        time.sleep(0.05)
        client.backup(self.source)
        time.sleep(0.05)
        write(path, b"other", mtime_ns=10**18)
        s = client.backup(self.source).summary
        self.assertEqual(s["files_changed"], 1)
        self.assert_restores(client, "latest", self.source)
        # A file moved over another, with all its times.
        write(f"{self.source}/y", b"third", mtime_ns=10**18)
        client.backup(self.source)
        time.sleep(0.05)
        os.rename(f"{self.source}/y", path)
        client.backup(self.source)
        self.assert_restores(client, "latest", self.source)


if __name__ == "__main__":
    main()
