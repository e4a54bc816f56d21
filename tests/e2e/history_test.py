"""Machines and vaults that were put back, copied, or lost a part of their memory: told clearly, and
nothing is lost."""

import os
import shutil
import threading
import time
import unittest

from support import (DONE, FAILED, PASSPHRASE, WARNINGS, EndToEndTest, describe, main, make_tree,
                     needs, noise, remove_tree, write)


class History(EndToEndTest):
    def setUp(self):
        super().setUp()
        self.client = self.created()
        make_tree(self.source, 30, big=1_000_000)

    def copy(self, what, name):
        shutil.copytree(what, self.path(name), symlinks=True)

    def put_back(self, what, name):
        remove_tree(what)
        shutil.copytree(self.path(name), what, symlinks=True)

    def all_points_restore(self, trees, expect=DONE):
        for point, tree in trees.items():
            self.assert_restores(self.machine("empty"), point, self.source, tree, expect=expect)

    def change(self, n):
        write(f"{self.source}/change-{n}", noise(40_000, n))

    def backed_up(self, trees, expect=DONE, machine=None):
        ran = (machine or self.client).backup(self.source, expect=expect)
        trees[ran.summary["point"]] = describe(self.source)
        return ran

    @needs("prlimit")
    def test_more_backups_than_files_may_be_open(self):
        """Each one with a change leaves an index run, and all of them are looked at."""
        few = {"wrap": ["prlimit", "--nofile=64:64"]}
        for n in range(80):
            write(f"{self.source}/changing", b"%d" % n)
            self.assertEqual(self.client.backup(self.source, **few).warnings, [])
        index = os.path.join(self.vault, "index")
        self.assertGreaterEqual(sum(len(files) for _, _, files in os.walk(index)), 80)
        remove_tree(self.client.cache)  # all is read again, and found in the index
        self.assertLess(self.client.backup(self.source, **few).summary["bytes_new"], 1_000)
        self.assert_restores(self.client, "latest", self.source, **few)

    def test_cache_deleted(self):
        trees = {}
        self.backed_up(trees)
        remove_tree(self.client.cache)
        ran = self.backed_up(trees)
        self.assertEqual(ran.summary["bytes_new"], 0)  # everything read, nothing stored again
        self.assertEqual(ran.summary["bytes_read"], ran.summary["bytes"])
        self.assertEqual(ran.warnings, [])
        self.all_points_restore(trees)

    def test_cache_damaged(self):
        trees = {}
        self.backed_up(trees)
        caches = [os.path.join(d, f) for d, _, fs in os.walk(self.client.cache) for f in fs]
        self.assertTrue(caches)
        for i, at in enumerate([0.0, 0.3, 0.6, 0.95]):
            for path in [p for p in (os.path.join(d, f) for d, _, fs in os.walk(self.client.cache)
                                     for f in fs) if os.path.getsize(p)]:
                with open(path, "r+b") as f:
                    f.seek(int(os.path.getsize(path) * at))
                    f.write(b"\xff\x00\xff")
            self.change(i)
            ran = self.backed_up(trees)
            self.assertLess(ran.summary["bytes_new"], 60_000)
        self.all_points_restore(trees)

    def test_old_cache_put_back(self):
        """The cache of an earlier point describes files that have changed since."""
        trees = {}
        self.backed_up(trees)
        self.copy(self.client.cache, "old-cache")
        for n in range(2):
            self.change(n)
            write(f"{self.source}/d0/e0/file-0", b"%d" % n)
            self.backed_up(trees)
        self.put_back(self.client.cache, "old-cache")
        ran = self.backed_up(trees, (DONE, WARNINGS))
        self.assertEqual(ran.summary["bytes_new"], 0)
        self.all_points_restore(trees)

    def test_base_point_removed(self):
        trees = {}
        self.backed_up(trees)
        self.change(1)
        gone = self.backed_up(trees).summary["point"]
        points = [os.path.join(d, f) for d, _, fs in os.walk(self.vault + "/points") for f in fs]
        os.unlink(max(points))
        del trees[gone]
        self.change(2)
        ran = self.backed_up(trees, (DONE, WARNINGS))
        self.assertTrue(ran.warnings)
        self.assertIn("older than this machine remembers", " ".join(ran.warnings))
        self.assertEqual(self.backed_up(trees, (DONE, WARNINGS)).summary["complete"], True)
        self.all_points_restore(trees, expect=(DONE, WARNINGS))

    def test_vault_put_back_to_an_older_copy(self):
        trees = {}
        self.backed_up(trees)
        self.copy(self.vault, "old-vault")
        later = {}
        for n in range(2):
            self.change(n)
            self.backed_up(later)
        self.put_back(self.vault, "old-vault")
        self.change(3)
        ran = self.backed_up(trees, WARNINGS)
        told = [w for w in ran.warnings if "older than this machine remembers" in w]
        self.assertEqual(len(told), 1, str(ran))
        for word in (self.vault, "number 3", "1", "restored from a copy"):
            self.assertIn(word, told[0])
        self.assertTrue(ran.summary["complete"])
        # Told once; the gap stays visible.
        self.change(4)
        self.backed_up(trees)
        self.all_points_restore(trees, expect=WARNINGS)
        listed = self.client.run("points", "--json", expect=WARNINGS)
        self.assertEqual(len(listed.of("point")), 3)
        checked = self.client.run("vault", "check", "--json", expect=None)
        self.assertIn("missing", checked.out)

    def test_vault_replaced_by_another(self):
        self.client.backup(self.source)
        remove_tree(self.vault)
        self.machine("other").create()
        told = self.client.run("backup", self.source, expect=FAILED)
        self.assert_message(told, "no credential", self.vault)

    def test_machine_put_back(self):
        """The state directory of an earlier day: the vault knows more than the machine."""
        trees = {}
        self.backed_up(trees)
        self.copy(self.client.home, "old-home")
        for n in range(2):
            self.change(n)
            self.backed_up(trees)
        self.put_back(self.client.home, "old-home")
        self.change(3)
        ran = self.backed_up(trees, (DONE, WARNINGS))
        self.assertTrue(any("put back to an older state" in w for w in ran.warnings), str(ran))
        self.assertEqual(ran.summary["sequence"], 4)
        self.assertEqual(self.backed_up(trees).warnings, [])
        self.all_points_restore(trees)
        self.client.check()

    def test_machine_cloned(self):
        """Two machines with one identity, taking turns and at once."""
        trees = {}
        self.backed_up(trees)
        self.copy(self.client.home, "clone")
        clone = self.machine("clone")
        told = []
        for n in range(2):
            for machine in (self.client, clone):
                self.change(f"{n}-{machine.home[-1]}")
                ran = self.backed_up(trees, (DONE, WARNINGS), machine)
                told += ran.warnings
        self.assertTrue(any("clone" in w and "enrol --new" in w for w in told), told)
        self.all_points_restore(trees)
        # At the same time: one may fail, saying why.
        ends = []

        def run(machine):
            ends.append(machine.run("backup", self.source, "--json", expect=None))

        threads = [threading.Thread(target=run, args=(m,)) for m in (self.client, clone)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        for ran in ends:
            self.assertIn(ran.code, (DONE, WARNINGS, FAILED))
            if ran.code == FAILED:
                self.assertIn("cloned", ran.summary["error"])
            else:
                trees[ran.summary["point"]] = describe(self.source)
        self.assertTrue(any(ran.code != FAILED for ran in ends))
        self.all_points_restore(trees)
        # The cure that the message names.
        clone.read("vault", "enrol", "--new")
        self.backed_up(trees, (DONE, WARNINGS), clone)
        self.assertEqual(self.backed_up(trees, (DONE, WARNINGS), clone).warnings, [])
        self.all_points_restore(dict(list(trees.items())[-2:]))
        self.client.check("--read-data", passphrase=PASSPHRASE)

    def test_state_lost(self):
        trees = {}
        self.backed_up(trees)
        remove_tree(self.client.state)
        self.assert_message(self.client.run("backup", self.source, expect=FAILED), "enrol",
                            "credential")
        self.client.backup(self.source, passphrase=PASSPHRASE, expect=(DONE, WARNINGS))
        self.all_points_restore(trees)

    def test_state_damaged(self):
        trees = {}
        self.backed_up(trees)
        for name in ("credential", "memory"):
            with self.subTest(name):
                (path,) = [os.path.join(d, f) for d, _, fs in os.walk(self.client.state)
                           for f in fs if f == name]
                with open(path, "r+b") as f:
                    f.seek(os.path.getsize(path) // 2)
                    f.write(b"\xff\xff\xff\xff")
                ran = self.client.run("backup", self.source, expect=None)
                if name == "credential":
                    self.assertEqual(ran.code, FAILED)
                    self.assertEqual(len(ran.err.strip().splitlines()), 1, ran.err)
                    self.assertIn(path, ran.err)
                    self.assertIn("vault enrol", ran.err)
                    self.client.read("vault", "enrol")
                    self.client.backup(self.source, expect=(DONE, WARNINGS))
                else:
                    self.assertIn(ran.code, (DONE, WARNINGS))
        self.all_points_restore(trees)


if __name__ == "__main__":
    main()
