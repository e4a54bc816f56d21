"""Deleting points and getting their space back, as a person does it: with the waiting in between
played by a false clock (faketime), and with the collector killed at any moment."""

import glob
import os
import random
import signal
import time
import unittest

from support import (DONE, FAILED, PASSPHRASE, EndToEndTest, end_process, main, make_tree, needs,
                     noise, write)


def later(days):
    # What was stored keeps its real time: only the programs' clocks are ahead.
    return ("env", "NO_FAKE_STAT=1", "faketime", "-f", f"+{days}d")


@needs("faketime")
class Collect(EndToEndTest):
    def setUp(self):
        super().setUp()
        self.client = self.created()

    def stored(self):
        return sum(os.path.getsize(p) for p in glob.glob(f"{self.vault}/packs/*/*"))

    def point(self, seed, size=3_000_000):
        """A backup of something that no other point has, beside what all have."""
        write(f"{self.source}/own", noise(size, seed))
        return self.client.backup(self.source, "--item", "src").summary["point"]

    def purge(self, *points):
        self.client.read("points", "delete", *points)
        self.client.read("vault", "clock", "confirm", wrap=later(16))
        ran = self.client.run("retention", "apply", "--json", wrap=later(16))
        self.assertEqual(ran.summary["purged"], len(points), ran)

    def collect(self, *arguments, **more):
        return self.client.run("vault", "collect", "--json", *arguments, wrap=later(16), **more)

    def test_space_comes_back(self):
        make_tree(self.source, 40)
        ids = [self.point(seed) for seed in (1, 2, 3)]
        full = self.stored()
        self.purge(*ids[:2])
        dry = self.collect("--dry-run").summary
        self.assertGreater(dry["bytes_freed"] + dry["pack_bytes"] - dry["needed_bytes"], 5_000_000)
        self.assertEqual(self.stored(), full)
        ran = self.collect()
        self.assertTrue(ran.summary["done"], ran)
        self.assertLess(self.stored(), full - 5_000_000)
        self.assertEqual([p["id"] for p in self.client.points()], ids[2:])
        self.client.check("--read-data", passphrase=PASSPHRASE)
        self.assert_restores(self.client, ids[2], self.source)
        # What is left is shared with the next backup, wherever it was moved.
        kept = self.stored()
        write(f"{self.source}/more", b"more")
        newest = self.client.backup(self.source, "--item", "src").summary["point"]
        self.assertLess(self.stored(), kept + 100_000)
        self.assert_restores(self.client, newest, self.source)
        again = self.collect().summary
        self.assertEqual(again["packs_deleted"], 0)

    def test_killed_at_any_moment(self):
        make_tree(self.source, 40)
        ids = [self.point(seed) for seed in (1, 2, 3)]
        self.purge(*ids[:2])
        took = 0.4
        seed = int(os.environ.get("TEST_SEED", "7"))
        chance = random.Random(seed)
        for _ in range(12):
            process = self.client.start("vault", "collect", wrap=later(16))
            time.sleep(chance.uniform(0, took))
            process.send_signal(signal.SIGKILL)
            end_process(process)
            os.system(f"pkill -KILL -f 'vault collect.*{self.vault}' 2>/dev/null")
            self.assert_restores(self.client, ids[2], self.source)
        ran = self.collect()
        self.assertTrue(ran.summary["done"], f"TEST_SEED={seed}: {ran}")
        self.client.check("--read-data", passphrase=PASSPHRASE)
        self.assert_restores(self.client, ids[2], self.source)
        # 40 files of 20 KB, one of 3 MB, and metadata: what was copied in vain is gone too, as soon
        # as a week has passed.
        self.client.read("vault", "collect", wrap=later(30))
        self.assertLess(self.stored(), 6_000_000)

    def test_waits_for_a_backup(self):
        make_tree(self.source, 10)
        ids = [self.point(seed) for seed in (1, 2)]
        running = self.client.start("backup", "--stdin", "pipe", "--item", "pipe", stdin=-1)
        running.stdin.write(b"begun")
        running.stdin.flush()
        until = time.monotonic() + 20
        while len(glob.glob(f"{self.vault}/sessions/*/begin")) < 3 and time.monotonic() < until:
            time.sleep(0.05)
        self.client.read("points", "delete", ids[0])
        self.client.read("vault", "clock", "confirm", wrap=later(16))
        self.client.read("retention", "apply", wrap=later(16))
        # By the true clock: sixteen days of silence would be the end of the backup.
        ran = self.client.run("vault", "collect", "--json")
        self.assertFalse(ran.summary["done"], ran)
        self.assertEqual(len(ran.summary["waits_for"]), 1)
        self.assertIn("waiting", self.client.run("vault", "collect").out)
        running.communicate(b" and ended", timeout=60)
        self.assertEqual(running.returncode, DONE)
        ran = self.client.run("vault", "collect", "--json")
        self.assertTrue(ran.summary["done"], ran)
        self.assertGreater(ran.summary["packs_deleted"], 0)
        self.client.check("--read-data", passphrase=PASSPHRASE)

    def test_who_may_not(self):
        make_tree(self.source, 3)
        self.point(1)
        other = self.machine("other")
        other.read("vault", "enrol")
        ran = other.run("vault", "collect", expect=FAILED)
        self.assert_message(ran, "no maintainer", "enrol --maintainer")
        other.read("vault", "enrol", "--maintainer")
        self.assertEqual(other.run("vault", "collect").code, DONE)

    def test_damage_stops_it(self):
        make_tree(self.source, 3)
        ids = [self.point(seed) for seed in (1, 2)]
        self.purge(ids[0])
        newest = max(glob.glob(f"{self.vault}/packs/*/*"), key=os.path.getmtime)
        os.rename(newest, self.path("aside"))
        ran = self.client.run("vault", "collect", wrap=later(16), expect=FAILED)
        self.assert_message(ran, "nothing was freed", "--despite-damage")
        os.rename(self.path("aside"), newest)
        self.assertTrue(self.collect().summary["done"])


if __name__ == "__main__":
    main()
