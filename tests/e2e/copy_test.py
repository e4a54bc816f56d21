"""vault copy as its user has it: two vaults with keys of their own, nightly runs, kills, damage."""

import os
import random
import signal
import time
import unittest

from support import (DONE, FAILED, PASSPHRASE, WARNINGS, EndToEndTest, describe, main, make_tree,
                     make_weird_tree, needs, noise, write)

SECOND = "another battery staple"


class Copy(EndToEndTest):
    def setUp(self):
        super().setUp()
        self.client = self.created()                       # backs up into self.vault
        self.copier = self.machine("copier")               # has the second vault
        self.second = self.path("second")
        self.copier.run("vault", "create", self.second, "--json", passphrase=SECOND)

    def copy(self, *arguments, **more):
        return self.copier.run("vault", "copy", self.vault, self.second, *arguments, "--json",
                               **{"passphrase": PASSPHRASE, **more})

    def points(self, vault):
        passphrase = PASSPHRASE if vault == self.vault else SECOND
        return self.copier.run("points", "--vault", vault, "--json",
                               passphrase=passphrase).of("point")

    def assert_same_points(self):
        """Every point of the first vault is in the second, and restores to the same tree."""
        ours, theirs = self.points(self.vault), self.points(self.second)
        self.assertEqual(len(ours), len(theirs))
        for a, b in zip(ours, theirs):
            for what in ("item", "time", "entries", "complete", "tags", "paths", "host", "files",
                         "bytes", "problems"):
                self.assertEqual(a[what], b[what], what)
            self.assertTrue(b["copy"])
            for vault, point, passphrase in ((self.vault, a, PASSPHRASE), (self.second, b, SECOND)):
                self.copier.run("restore", f"{point['id']}:{self.source}", "--vault", vault, "--to",
                                self.path("r", point["id"]), "--json", passphrase=passphrase)
            self.assert_same_tree(self.path("r", a["id"]), self.path("r", b["id"]))
        self.copier.run("vault", "check", self.second, "--read-data", "--json", passphrase=SECOND)

    def test_points_with_everything(self):
        make_weird_tree(self.source)
        self.client.backup(self.source, "--item", "weird", "--tag", "blue")
        write(f"{self.source}/more", noise(100_000, 3))
        self.client.backup(self.source, "--item", "weird")
        ran = self.copy()
        self.assertEqual((ran.summary["copied"], ran.summary["present"]), (2, 0))
        self.assert_same_points()
        self.assertEqual(self.copy().summary["present"], 2)

    def test_a_second_copy_after_one_percent_changed(self):
        make_tree(self.source, 2000, size=30_000, big=30_000_000)
        self.client.backup(self.source)
        first = self.copy().summary
        before = describe(self.source)
        names = sorted(p for p, e in before.items() if e["kind"] == "file")
        rng = random.Random(5)
        for name in rng.sample(names, len(names) // 100):
            with open(os.path.join(os.fsencode(self.source), name), "r+b") as f:
                f.write(rng.randbytes(100))
        with open(f"{self.source}/big", "r+b") as f:
            f.seek(12_345_678)
            f.write(noise(300_000, 9))
        self.client.backup(self.source)
        second = self.copy().summary
        print(f"first copy: {first['bytes_read']:,} bytes read, {first['bytes_stored']:,} stored; "
              f"after 1 %: {second['bytes_read']:,} read, {second['bytes_stored']:,} stored")
        self.assertEqual((second["copied"], second["present"]), (1, 1))
        self.assertLess(second["bytes_stored"], first["bytes_stored"] // 20)
        self.assertLess(second["bytes_read"], first["bytes_read"] // 20)
        self.assert_same_points()

    def test_selection_and_dry_run(self):
        make_tree(self.source, 10)
        for item in ("one", "two"):
            for n in range(3):
                write(f"{self.source}/n", b"%d" % n)
                self.client.backup(self.source, "--item", item)
        ids = [p["id"] for p in self.points(self.vault)]
        dry = self.copy("--dry-run")
        self.assertEqual(dry.summary["copied"], 6)
        self.assertEqual(self.points(self.second), [])
        self.assertEqual(self.copy("--item", "two", "--latest", "1").summary["copied"], 1)
        self.assertEqual(self.copy("--point", ids[0][:12]).summary["copied"], 1)
        self.assertEqual(self.copy("--latest", "2").summary["copied"], 3)
        self.assertEqual(self.copy().summary["copied"], 1)
        self.assertEqual(len(self.points(self.second)), 6)

    def test_what_cannot_be(self):
        make_tree(self.source, 5)
        self.client.backup(self.source)
        ran = self.client.run("vault", "copy", self.vault, self.second, passphrase=PASSPHRASE,
                              expect=FAILED)
        self.assert_message(ran, "credential", "enrol")
        ran = self.copier.run("vault", "copy", self.vault, self.second, passphrase="wrong wrong",
                              expect=FAILED)
        self.assert_message(ran, "wrong passphrase")
        ran = self.client.run("vault", "copy", self.vault, self.vault, passphrase=PASSPHRASE,
                              expect=FAILED)
        self.assert_message(ran, "same vault", "geo")
        ran = self.copier.run("vault", "copy", self.vault, self.second, "--item", "nobody",
                              passphrase=PASSPHRASE, expect=FAILED)
        self.assert_message(ran, "nobody", "holdfast points")

    def test_a_damaged_point_is_left_out(self):
        make_tree(self.source, 30)
        self.client.backup(self.source)
        packs = set(self.packs())
        broken = write(f"{self.source}/fresh", noise(200_000, 4))
        self.client.backup(self.source)
        with open(max(set(self.packs()) - packs, key=os.path.getsize), "r+b") as f:
            f.seek(1000)
            f.write(b"damage")
        os.unlink(broken)
        self.client.backup(self.source)
        ran = self.copy(expect=WARNINGS)
        self.assertEqual((ran.summary["copied"], ran.summary["damaged"]), (2, 1))
        self.assertIn(broken, " ".join(ran.warnings))
        self.assertEqual(len(self.points(self.second)), 2)

    def packs(self):
        return [os.path.join(d, f) for d, _, fs in os.walk(self.vault + "/packs") for f in fs]

    @needs("strace")
    def test_killed_at_many_moments(self):
        make_tree(self.source, 40, big=1_500_000)
        self.client.backup(self.source)
        write(f"{self.source}/more", noise(50_000, 8))
        self.client.backup(self.source)
        kills = 0
        for calls in ("rename,renameat2", "fdatasync,fsync", "write,pwrite64,writev"):
            for n in (1, 3, 8, 21, 55):
                ran = self.copier.run(
                    "vault", "copy", self.vault, self.second, "--json", passphrase=PASSPHRASE,
                    expect=None, wrap=["strace", "-f", "-qq", "-o", "/dev/null", "-e",
                                       "trace=" + calls, "-e",
                                       f"inject={calls}:signal=KILL:when={n}"])
                killed = ran.code in (-signal.SIGKILL, 128 + signal.SIGKILL)
                kills += killed
                self.copier.run("vault", "check", self.second, "--json", passphrase=SECOND)
                if not killed:
                    # Once more from the beginning, into a new vault.
                    self.second = self.path(f"second-{kills}-{n}-{len(calls)}")
                    self.copier.run("vault", "create", self.second, "--json", passphrase=SECOND)
        self.assertGreater(kills, 4)
        self.copy()
        print(f"{kills} kills")
        self.assert_same_points()

    def test_interrupted_with_a_signal(self):
        make_tree(self.source, 300, size=200_000, big=60_000_000)
        self.client.backup(self.source)
        process = self.copier.start("vault", "copy", self.vault, self.second, "--json",
                                    passphrase=PASSPHRASE)
        time.sleep(0.35)
        process.send_signal(signal.SIGINT)
        self.assertIn(process.wait(60), (DONE, FAILED))
        self.assertEqual(self.copy().summary["damaged"], 0)
        self.assert_same_points()


if __name__ == "__main__":
    main()
