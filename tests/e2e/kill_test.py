"""kill -9 at every operation of a backup on the store, one run for each.

strace kills the program when it enters the n-th call of one kind (counted for each thread); n grows
until the backup gets through. After each: every point that the vault shows restores, the vault has
no damage, and the next backup works. $HOLDFAST_KILL_STEP thins the points out.
"""

import os
import shutil
import signal
import unittest

from support import (EndToEndTest, describe, main, make_tree, needs, noise, remove_tree,
                     write)

# Name: (calls, smallest step of n). The read-only opens in between make openat's numbers large.
CALLS = {"rename": ("rename,renameat2,link,linkat", 1), "sync": ("fdatasync,fsync,syncfs", 1),
         "write": ("write,pwrite64,writev,copy_file_range", 1), "openat": ("openat", 9),
         "mkdir": ("mkdir,mkdirat,unlink,unlinkat", 1)}
STEP = int(os.environ.get("HOLDFAST_KILL_STEP", "1"))


@needs("strace")
class Kill(EndToEndTest):
    def setUp(self):
        super().setUp()
        self.client = self.created()
        make_tree(self.source, 40, big=1_500_000)
        self.kills = 0

    def save(self):
        for name in ("vault", "machine"):
            shutil.copytree(self.path(name), self.path("saved", name), symlinks=True)

    def put_back(self):
        for name in ("vault", "machine"):
            remove_tree(self.path(name))
            shutil.copytree(self.path("saved", name), self.path(name), symlinks=True)

    def killed_backup(self, calls, n):
        ran = self.client.backup(self.source, expect=None, wrap=[
            "strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + calls,
            "-e", f"inject={calls}:signal=KILL:when={n}"])
        if ran.code in (-signal.SIGKILL, 128 + signal.SIGKILL):
            self.kills += 1
            return True
        self.assertEqual(ran.code, 0, str(ran))
        return False

    def look(self, where, points_before, chunks):
        """After a kill."""
        try:
            self.client.check()
            committed = self.client.points()
            self.assertIn(len(committed), (points_before, points_before + 1))
            if len(committed) > points_before:
                self.assertTrue(committed[-1]["complete"])
                self.assert_restores(self.client, committed[-1]["id"], self.source)
            done = self.client.backup(self.source)
            self.assertEqual(done.warnings, [])
            self.assertTrue(done.summary["complete"])
            self.assertEqual(done.summary["sequence"], len(committed) + 1)
            if len(committed) > points_before:
                self.assertEqual(done.summary["bytes_new"], 0)
            self.assert_restores(self.client, done.summary["point"], self.source)
            self.client.check()
            stats = self.client.run("stats", "--json").summary
            self.repeated += stats["data_chunks"] > chunks
        except AssertionError as error:
            raise AssertionError(f"killed at {where}: {error}") from error

    def kill_everywhere(self, points_before):
        self.save()
        self.repeated = 0
        chunks = self.undisturbed()
        for name, (calls, step) in CALLS.items():
            n = 1
            while True:
                self.put_back()
                if not self.killed_backup(calls, n):
                    break
                self.look(f"{name} {n}", points_before, chunks)
                n += step * STEP
        # What was stored is not stored again, but for the moments between a pack's rename and the
        # note about it.
        self.assertLessEqual(self.repeated, 3)
        print(f"{self.kills} kills; in {self.repeated} of them the same content was stored twice")
        self.assertGreaterEqual(self.kills, 30 // STEP)

    def undisturbed(self):
        self.client.backup(self.source)
        return self.client.run("stats", "--json").summary["data_chunks"]

    def test_first_backup(self):
        self.kill_everywhere(0)

    def test_next_backup(self):
        before = describe(self.source)
        first = self.client.backup(self.source).summary["point"]
        write(f"{self.source}/d0/new", noise(30_000, 5))
        write(f"{self.source}/another/new", noise(300_000, 6))
        write(f"{self.source}/d1/e1/file-1", b"changed")
        os.unlink(f"{self.source}/d2/e2/file-2")
        with open(f"{self.source}/big", "r+b") as f:
            f.seek(700_000)
            f.write(noise(100, 7))
        self.kill_everywhere(1)
        self.assert_restores(self.client, first, self.source, before)


if __name__ == "__main__":
    main()
