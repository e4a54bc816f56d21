"""Several programs at one vault at the same time."""

import os
import threading
import time
import unittest

from support import (DONE, FAILED, PASSPHRASE, WARNINGS, EndToEndTest, describe, main, make_tree,
                     noise, write)


def at_once(*jobs):
    """Runs functions in threads; gives their results, raises what they raised."""
    results, errors = [None] * len(jobs), []

    def run(i):
        try:
            results[i] = jobs[i]()
        except BaseException as error:  # noqa: B902
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(jobs))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]
    return results


class ConcurrentRuns(EndToEndTest):
    def setUp(self):
        super().setUp()
        self.client = self.created()

    def test_machines_back_up_at_once(self):
        machines = [self.client]
        for i in range(2):
            machines.append(self.machine(f"m{i}"))
            machines[-1].read("vault", "enrol", "--name", f"m{i}",
                              *(["--join", os.uname().nodename] if i else []))
        sources = [make_tree(self.path(f"s{i}"), 60, seed=i % 2, big=3_000_000) for i in range(3)]
        for turn in range(3):
            for s in sources:
                write(f"{s}/turn-{turn}", noise(50_000, turn))
            done = at_once(*[lambda m=m, s=s, i=i: m.backup(s, "--item", f"i{i}")
                             for i, (m, s) in enumerate(zip(machines, sources))])
            for ran in done:
                self.assertEqual(ran.warnings, [])
        self.client.check("--read-data", passphrase=PASSPHRASE)
        for i, s in enumerate(sources):
            self.assert_restores(self.machine("empty"), f"latest:i{i}", s)
        self.assertEqual(len(self.client.points()), 9)

    def test_items_of_one_machine_at_once(self):
        sources = [make_tree(self.path(f"s{i}"), 60, seed=5, big=3_000_000) for i in range(3)]
        at_once(*[lambda s=s, i=i: self.client.backup(s, "--item", f"i{i}")
                  for i, s in enumerate(sources)])
        self.client.check()
        for i, s in enumerate(sources):
            self.assert_restores(self.machine("empty"), f"latest:i{i}", s)
        # The machine remembers all of them: no alarm next time.
        for i, s in enumerate(sources):
            self.assertEqual(self.client.backup(s, "--item", f"i{i}").warnings, [])

    def test_one_item_twice_at_once(self):
        """The second one says so and leaves the first alone."""
        write(f"{self.source}/x", noise(6_000_000))
        first = self.client.start("backup", self.source, "--read-limit", "3M")
        time.sleep(0.5)
        second = self.client.run("backup", self.source, expect=FAILED)
        self.assertEqual(len(second.err.strip().splitlines()), 1, second.err)
        self.assertIn("another backup", second.err)
        self.assertEqual(first.wait(timeout=60), DONE)
        self.assertEqual(len(self.client.points()), 1)
        self.assert_restores(self.client, "latest", self.source)

    def test_restores_and_checks_beside_backups(self):
        make_tree(self.source, 100, big=8_000_000)
        self.client.backup(self.source)
        before = describe(self.source)
        point = self.client.points()[0]["id"]
        other = make_tree(self.path("other"), 60, seed=3, big=8_000_000)
        stop = threading.Event()
        backups = []

        def keep_backing_up():
            try:
                for n in range(1000):
                    write(f"{other}/change", noise(2_000_000, n))
                    backups.append(self.client.backup(other, "--item", "other"))
                    if stop.is_set():
                        return
            finally:
                stop.set()

        def look():
            try:
                for _ in range(3):
                    self.client.check()
                    self.assert_restores(self.client, point, self.source, before)
                    self.client.check("--read-data", passphrase=PASSPHRASE)
                    self.client.points(passphrase=PASSPHRASE)
                    self.client.run("vault", "status")
                    self.client.run("stats")
            finally:
                stop.set()

        at_once(keep_backing_up, look)
        self.assertGreater(len(backups), 3)
        self.assert_restores(self.client, "latest:other", other)
        self.client.check()
        print(f"{len(backups)} backups meanwhile")

    def test_keys_change_beside_a_backup(self):
        write(f"{self.source}/x", noise(8_000_000))
        running = self.client.start("backup", self.source, "--read-limit", "4M")
        time.sleep(0.3)
        self.client.read("vault", "key", "add", "--recovery-code")
        self.client.read("vault", "key", "rotate", "recovery",
                         env={"HOLDFAST_NEW_PASSPHRASE": "the next passphrase"})
        _, err = running.communicate(timeout=60)
        self.assertIn(running.returncode, (DONE, WARNINGS, FAILED), err)
        done = self.client.backup(self.source)
        self.assert_restores(self.client, done.summary["point"], self.source,
                             passphrase="the next passphrase")
        for p in self.client.points():
            self.assert_restores(self.client, p["id"], self.source,
                                 passphrase="the next passphrase")
        self.client.check()


if __name__ == "__main__":
    main()
