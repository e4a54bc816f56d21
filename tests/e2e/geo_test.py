"""vault geo as its user has it: a replica is made, kept in step, restored from, promoted; the
primary is killed over, put back, emptied."""

import os
import shutil
import signal
import subprocess
import time
import unittest

from support import (DONE, FAILED, PASSPHRASE, WARNINGS, EndToEndTest, describe, main, make_tree, needs, noise,
                     remove_tree, write)


def objects(vault):
    """{name: bytes} of all but a replica's own."""
    out = {}
    for folder, _, names in os.walk(vault):
        for name in names:
            path = os.path.join(folder, name)
            key = os.path.relpath(path, vault)
            if not key.startswith(("geo/", "tmp/")):
                with open(path, "rb") as f:
                    out[key] = f.read()
    return out


class Geo(EndToEndTest):
    def setUp(self):
        super().setUp()
        self.client = self.created()
        self.courier = self.machine("courier")  # has no key of any kind
        self.replica = self.path("replica")
        make_tree(self.source, 40, big=2_000_000)
        self.trees = {}
        self.back_up(1)

    def back_up(self, n):
        write(f"{self.source}/d0/changing", noise(40_000, n))
        point = self.client.backup(self.source).summary["point"]
        self.trees[point] = describe(self.source)

    def geo(self, verb, *arguments, **more):
        return self.courier.run("vault", "geo", verb, self.replica, *arguments, "--json", **more)

    def assert_restores_from_replica(self, points=None):
        """With the passphrase alone, on a machine that never saw the vault."""
        newcomer = self.machine(f"newcomer-{time.monotonic_ns()}", self.replica)
        listed = newcomer.points()
        self.assertEqual(len(listed), points or len(self.trees))
        for p in listed:
            self.assert_restores(newcomer, p["id"], self.source, self.trees[p["id"]])
        newcomer.check("--read-data", passphrase=PASSPHRASE)

    def test_add_sync_restore(self):
        self.geo("add")
        self.assertEqual(objects(self.vault), objects(self.replica))
        self.assert_restores_from_replica()
        for n in range(2, 5):
            self.back_up(n)
        behind = self.geo("status").summary
        self.assertEqual(behind["points_behind"], 3)
        self.assertGreater(behind["lag_seconds"], 0)
        self.assertGreater(behind["newest_primary"], behind["newest_replica"])
        ran = self.geo("sync").summary
        self.assertEqual((ran["points"], ran["points_behind"]), (3, 0))
        self.assertEqual(objects(self.vault), objects(self.replica))
        self.assertEqual(self.geo("sync").summary["objects"], 0)
        self.assert_restores_from_replica()

    def test_read_only_until_promoted(self):
        self.geo("add")
        other = self.machine("machine", self.replica)  # the enrolled machine, pointed to the replica
        ran = other.run("backup", self.source, expect=FAILED)
        self.assert_message(ran, "replica of the one at", "geo promote", "Read-only")
        ran = other.run("vault", "enrol", passphrase=PASSPHRASE, expect=FAILED)
        self.assert_message(ran, "geo promote")
        self.assertTrue(other.run("vault", "status", "--json").summary["replica"])

        self.back_up(2)
        ran = self.geo("promote", expect=FAILED)
        self.assertIn("1 points that the replica lacks", ran.summary["error"])
        self.assertIn("geo sync", ran.summary["error"])
        self.geo("sync")
        self.geo("promote")
        self.client = other
        self.back_up(3)
        self.assert_restores_from_replica()
        ran = self.geo("sync", expect=FAILED)
        self.assertIn("promoted", ran.summary["error"])
        self.assertEqual(self.geo("status").summary["state"], "promoted")
        # The promoted one gets a replica of its own.
        third = self.path("third")
        self.courier.run("vault", "geo", "add", third, "--vault", self.replica, "--json")
        self.assertEqual(objects(self.replica), objects(third))

    def test_primary_lost(self):
        self.geo("add")
        self.back_up(2)  # never arrives
        remove_tree(self.vault)
        self.assertFalse(self.geo("status", expect=None).summary["primary_reachable"])
        ran = self.geo("sync", expect=FAILED)
        self.assertIn(self.vault, ran.summary["error"])
        self.assert_restores_from_replica(1)
        self.geo("promote")
        self.client.vault = self.replica
        ran = self.client.backup(self.source, expect=None)
        self.assertIn("older than this machine remembers", " ".join(ran.warnings))
        self.trees[ran.summary["point"]] = describe(self.source)
        newcomer = self.machine("new", self.replica)
        # What never arrived is a gap, and stays one.
        self.assert_restores(newcomer, ran.summary["point"], self.source, expect=WARNINGS)

    def test_primary_put_back_or_emptied(self):
        shutil.copytree(self.vault, self.path("old"))
        self.back_up(2)
        self.geo("add")
        before = objects(self.replica)
        remove_tree(self.vault)
        shutil.copytree(self.path("old"), self.vault)
        ran = self.geo("sync", expect=FAILED)
        for word in ("ends at number 1", "has number 2", "older copy", "Nothing was changed"):
            self.assertIn(word, ran.summary["error"])
        # Somebody goes on with the older copy: the two have parted for good.
        stranger = self.machine("machine")
        remove_tree(stranger.home)
        os.makedirs(stranger.home)
        stranger.run("vault", "enrol", "--json", passphrase=PASSPHRASE)
        stranger.backup(self.source)
        self.geo("sync", expect=FAILED)
        for name in ("points", "packs", "index", "sessions"):
            remove_tree(f"{self.vault}/{name}")
        self.geo("sync", expect=FAILED)
        self.assertEqual(objects(self.replica), before)
        self.assert_restores_from_replica()

    def test_damage_is_not_copied_and_is_repaired(self):
        self.geo("add")
        pack = max((o for o in objects(self.replica) if o.startswith("packs/")),
                   key=lambda o: os.path.getsize(f"{self.replica}/{o}"))
        with open(f"{self.replica}/{pack}", "r+b") as f:
            f.seek(500)
            f.write(b"damage")
        self.assertEqual(self.geo("sync").summary["repaired"], 0)
        self.assertEqual(self.geo("sync", "--verify").summary["repaired"], 1)
        self.assertEqual(objects(self.vault), objects(self.replica))

    @needs("strace")
    def test_killed_at_many_moments(self):
        self.back_up(2)
        kills = 0
        for calls in ("rename,renameat2,link,linkat", "fdatasync,fsync", "write,pwrite64,writev"):
            for n in range(1, 60, 6):
                verb = "sync" if os.path.exists(f"{self.replica}/geo/replica") else "add"
                if verb == "add":
                    remove_tree(self.replica)
                ran = self.courier.run(
                    "vault", "geo", verb, self.replica, expect=None,
                    wrap=["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + calls, "-e",
                          f"inject={calls}:signal=KILL:when={n}"])
                if ran.code not in (-signal.SIGKILL, 128 + signal.SIGKILL):
                    remove_tree(self.replica)
                    continue
                kills += 1
                if os.path.exists(f"{self.replica}/vault"):
                    # Whatever it shows is whole.
                    self.machine("looker", self.replica).check("--read-data",
                                                               passphrase=PASSPHRASE)
        self.assertGreater(kills, 5)
        print(f"{kills} kills")
        self.geo("sync" if os.path.exists(f"{self.replica}/geo/replica") else "add")
        self.assertEqual(objects(self.vault), objects(self.replica))
        self.assert_restores_from_replica()

    def test_watch_beside_backups(self):
        self.geo("add")
        process = self.courier.start("vault", "geo", "sync", self.replica, "--watch", "1", "--json")
        for n in range(2, 6):
            self.back_up(n)
            looker = self.machine("looker", self.replica)
            looker.check()
        deadline = time.monotonic() + 20
        while self.geo("status").summary["points_behind"] > 0:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(20), DONE, process.stderr.read())
        self.assert_restores_from_replica()

    def test_expected_head(self):
        head = self.client.run("points", "--json").summary["head"]
        shutil.copytree(self.vault, self.path("old"))
        self.back_up(2)
        later = self.client.run("vault", "status", "--json").summary["head"]
        self.assertNotEqual(head, later)
        self.assertEqual(self.client.check().summary["head"], later)
        newcomer = self.machine("newcomer")
        for code in (head, later):
            newcomer.run("points", "--expect-head", code)
            newcomer.check("--expect-head", code)
            newcomer.restore(f"latest:{self.source}", self.path("r" + code), "--expect-head", code)
        old = self.machine("newcomer", self.path("old"))
        old.run("points", "--expect-head", head)
        for arguments in (("points",), ("vault", "check"), ("mount", self.dir),
                          ("restore", "latest", "--to", self.path("no"))):
            ran = old.run(*arguments, "--expect-head", later, passphrase=PASSPHRASE, expect=FAILED)
            self.assert_message(ran, later, head, "older")
        self.assertFalse(os.path.exists(self.path("no")))
        ran = old.run("points", "--expect-head", "nonsense", expect=FAILED)
        self.assert_message(ran, "no head code")


if __name__ == "__main__":
    main()
