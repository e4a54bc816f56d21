"""A vault in several directories: the drills. Directories are deleted, emptied, moved and brought back
stale; parts are damaged; whatever the redundancy is for, everything restores, and is repaired."""

import itertools
import os
import shutil
import signal
import time

from support import (FAILED, PASSPHRASE, USAGE, WARNINGS, EndToEndTest, command, main, make_tree,
                     needs_loop, noise, read, write)


class StripesTest(EndToEndTest):
    def disks(self, count):
        return [self.path(f"disk{i}", "vault") for i in range(count)]

    def created_over(self, redundancy, disks=None, *more):
        k, m = map(int, redundancy.split("+"))
        self.roots = disks or self.disks(k + m)
        machine = self.machine("machine", self.roots[0])
        arguments = [a for root in self.roots for a in ("--disk", root)]
        machine.create("--redundancy", redundancy, *arguments, "--reserve", "0", *more)
        return machine

    def files(self, root):
        return [os.path.join(d, f) for d, _, fs in os.walk(root) for f in fs]

    def assert_whole(self, machine):
        ran = machine.run("vault", "scrub", "--json")
        self.assertEqual(ran.of("damage"), [])
        self.assertEqual(ran.summary["verified"], ran.summary["objects"])
        machine.check("--read-data", passphrase=PASSPHRASE)


class Drill(StripesTest):
    def test_directories_lost_and_replaced_twice(self):
        machine = self.created_over("4+2")
        make_tree(self.source, 40, big=6_000_000)
        first = machine.backup(self.source).summary["point"]
        before = self.path("before")
        shutil.copytree(self.source, before)

        # Two of six are gone, with the one that the machine knows as the vault among them.
        for i in (0, 3):
            shutil.rmtree(self.roots[i])
        self.assert_restores(machine, first, self.source, before)
        stranger = self.machine("stranger", self.roots[5])
        self.assert_restores(stranger, first, self.source, before)
        status = machine.run("vault", "status", "--json", expect=WARNINGS)
        self.assertEqual([d["present"] for d in status.summary["directories"]],
                         [False, True, True, False, True, True])
        self.assertTrue(all("vault repair" in w for w in status.warnings))
        # A backup needs one more than four.
        write(f"{self.source}/new", noise(1_000_000, 7))
        told = machine.backup(self.source, expect=FAILED)
        self.assertIn(self.roots[3], str(told))

        # One comes back empty at its old place, the other at a new one.
        told = machine.run("vault", "repair", "--json", expect=WARNINGS)
        self.assertFalse(told.summary["complete"])
        self.assertGreater(told.summary["parts_rebuilt"], 2)  # copies, elsewhere
        ran = machine.run("vault", "repair", "--new-disk", self.roots[0], "--new-disk",
                          self.path("disk9", "vault"), "--json")
        self.assertTrue(ran.summary["complete"])
        self.assertGreater(ran.summary["parts_rebuilt"], 1)
        self.roots[3] = self.path("disk9", "vault")
        self.assert_whole(machine)
        second = machine.backup(self.source).summary["point"]

        # Two others.
        for i in (1, 4):
            shutil.rmtree(self.roots[i])
        self.assert_restores(machine, first, self.source, before)
        self.assert_restores(machine, second, self.source)
        machine.run("vault", "repair", "--new-disk", self.roots[1], "--new-disk", self.roots[4])
        self.assert_whole(machine)
        # And those that were replaced first.
        for i in (0, 3):
            shutil.rmtree(self.roots[i])
        self.assert_restores(machine, second, self.source)

    def test_every_pair_of_directories(self):
        machine = self.created_over("3+2")
        make_tree(self.source, 10, big=400_000)
        point = machine.backup(self.source).summary["point"]
        for lost in itertools.combinations(range(5), 2):
            with self.subTest(lost=lost):
                for i in lost:
                    os.rename(self.roots[i], self.roots[i] + ".away")
                try:
                    self.assert_restores(machine, point, self.source)
                finally:
                    for i in lost:
                        os.rename(self.roots[i] + ".away", self.roots[i])
        three = self.roots[:3]
        for root in three:
            os.rename(root, root + ".away")
        told = self.machine("other", self.roots[4]).run("points", expect=FAILED)
        self.assert_message(told, "only 2 of the 5 directories", three[0], "Mount them")

    def test_damaged_parts(self):
        machine = self.created_over("4+2")
        make_tree(self.source, 30, big=4_000_000)
        point = machine.backup(self.source).summary["point"]
        for pair in ((0, 1), (2, 5)):
            damaged = 0
            for i in pair:
                for path in self.files(self.roots[i]):
                    if os.path.basename(path) == "stripe":
                        continue
                    data = bytearray(read(path))
                    for at in range(len(data) - 1, 0, -20_000):
                        data[at] ^= 0x40
                    write(path, data)
                    damaged += 1
            self.assertGreater(damaged, 4)
            self.assert_restores(machine, point, self.source)
            machine.check("--read-data", passphrase=PASSPHRASE)
            scrubbed = machine.run("vault", "scrub", "--json", expect=FAILED)
            self.assertGreaterEqual(len(scrubbed.of("damage")), damaged)
            self.assertIn(self.roots[pair[0]], str(scrubbed.of("damage")))
            dry = machine.run("vault", "repair", "--dry-run", "--json", "--quick")
            self.assertEqual(dry.summary["parts_rebuilt"], damaged)
            ran = machine.run("vault", "repair", "--json")
            self.assertEqual(ran.summary["parts_rebuilt"], damaged)
            self.assert_whole(machine)

    def test_backups_go_on_without_a_directory(self):
        machine = self.created_over("2+1")
        make_tree(self.source, 20)
        machine.backup(self.source)
        os.rename(self.roots[2], self.roots[2] + ".away")
        os.mkdir(self.roots[2])  # the mount point of a disk that is not mounted
        write(f"{self.source}/new", noise(900_000))
        done = machine.backup(self.source, expect=WARNINGS)
        self.assertTrue(any(self.roots[2] in w for w in done.warnings), done.warnings)
        self.assertEqual(os.listdir(self.roots[2]), [])
        machine.check(expect=WARNINGS)
        self.assert_restores(machine, "latest", self.source)
        os.rmdir(self.roots[2])
        os.rename(self.roots[2] + ".away", self.roots[2])
        told = machine.run("vault", "scrub", "--json", expect=FAILED)
        self.assertIn("is missing", str(told.of("damage")))
        machine.run("vault", "repair")
        self.assert_whole(machine)
        # What was put while it was away is in it now.
        os.rename(self.roots[0], self.roots[0] + ".away")
        self.assert_restores(machine, "latest", self.source)

    def test_moved_directories(self):
        machine = self.created_over("2+2")
        make_tree(self.source, 10, big=300_000)
        machine.backup(self.source)
        os.rename(self.roots[1], self.path("moved"))
        machine.run("vault", "status", expect=WARNINGS)
        machine.run("vault", "repair", "--moved", self.path("moved"))
        self.assertEqual(machine.run("vault", "status", "--json").warnings, [])
        # All disks elsewhere, alike.
        os.mkdir(self.path("media"))
        for i in (0, 2, 3):
            os.rename(self.path(f"disk{i}"), self.path("media", f"disk{i}"))
        os.rename(self.path("moved"), self.path("media", "moved"))
        other = self.machine("other", self.path("media", "disk2", "vault"))
        self.assert_restores(other, "latest", self.source)
        other.run("vault", "repair")
        self.assertEqual(other.run("vault", "status", "--json").warnings, [])

    def test_killed_repair(self):
        machine = self.created_over("4+2")
        make_tree(self.source, 30, big=30_000_000)
        point = machine.backup(self.source).summary["point"]
        for i in (1, 2):
            shutil.rmtree(self.roots[i])
        machine.run("vault", "repair", "--new-disk", self.roots[1], "--new-disk", self.roots[2],
                    "--rate", "1", "--quick", expect=None, wrap=["timeout", "-s", "KILL", "1"])
        killed = 0
        for n in range(6):
            process = machine.start("vault", "repair", "--rate", "40M", "--quick")
            time.sleep(0.15 + 0.1 * n)
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += process.returncode == -signal.SIGKILL
            self.assert_restores(machine, point, self.source)
        self.assertGreater(killed, 2)
        machine.run("vault", "repair")
        self.assert_whole(machine)


class Options(StripesTest):
    def test_what_does_not_go_together(self):
        machine = self.machine()
        disks = self.disks(3)
        for arguments, word in (
                (["--redundancy", "2+1", "--disk", disks[0]], "needs 3 directories"),
                (["--redundancy", "two", "--disk", disks[0]], "K+M"),
                (["--disk", disks[0]], "--redundancy"),
                ([self.vault, "--redundancy", "1+1", "--disk", disks[0], "--disk", disks[1]],
                 "--disk only")):
            told = machine.run("vault", "create", *arguments, passphrase=PASSPHRASE, expect=USAGE)
            self.assert_message(told, word)
        told = machine.run("vault", "create", "--redundancy", "1+1", "--disk", disks[0], "--disk",
                           disks[0], passphrase=PASSPHRASE, expect=FAILED)
        self.assert_message(told, "different directories")
        plain = self.created("plain")
        told = plain.run("vault", "repair", "--new-disk", disks[0], expect=FAILED)
        self.assert_message(told, "one directory only")

    def test_restore_with_delete_spares_all_directories(self):
        machine = self.created_over("1+1", [self.path("to", "a"), self.path("to", "b")])
        make_tree(self.source, 5)
        machine.backup(self.source)
        write(self.path("to", "extra"))
        told = machine.restore(f"latest:{self.source}", self.path("to"), "--delete", "--delta",
                               expect=WARNINGS)
        self.assertEqual(sum("is the vault itself" in w for w in told.warnings), 2)
        self.assertFalse(os.path.exists(self.path("to", "extra")))
        machine.check()
        self.assertEqual(machine.run("vault", "status", "--json").warnings, [])


class Scrub(StripesTest):
    def test_remembers_and_goes_on(self):
        machine = self.created()
        for i in range(4):
            write(f"{self.source}/f", noise(3_000_000, i))
            machine.backup(self.source)
        limited = machine.run("vault", "scrub", "--limit", "4M", "--json").summary
        self.assertTrue(limited["clean"])
        self.assertLess(limited["looked_at"], limited["due"])
        rest = machine.run("vault", "scrub", "--max-age", "1d", "--json").summary
        self.assertEqual(rest["due"], limited["due"] - limited["looked_at"])
        self.assertEqual(machine.run("vault", "scrub", "--max-age", "1d", "--json").summary["due"],
                         0)
        everything = machine.run("vault", "scrub", "--json").summary
        self.assertEqual(everything["verified"], everything["objects"])
        # A killed one loses some of its memory, never the file.
        for n in range(5):
            process = machine.start("vault", "scrub", "--rate", "20M")
            time.sleep(0.05 * (n + 1))
            process.send_signal(signal.SIGKILL)
            process.wait()
        self.assertEqual(machine.run("vault", "scrub", "--max-age", "1d", "--json").summary["due"],
                         0)
        # One flipped bit is found, each time, until it is gone.
        pack = max(self.files(self.vault + "/packs"), key=os.path.getsize)
        data = bytearray(read(pack))
        data[len(data) // 2] ^= 1
        write(pack, data)
        for _ in range(2):
            found = machine.run("vault", "scrub", "--json", expect=FAILED)
            self.assertEqual([d["object"] for d in found.of("damage")],
                             [os.path.relpath(pack, self.vault)])
        self.assertIn("vault repair", found.summary["error"])

    def test_paced(self):
        machine = self.created()
        write(f"{self.source}/f", noise(6_000_000))
        machine.backup(self.source)
        slow = machine.run("vault", "scrub", "--rate", "3M")
        self.assertGreater(slow.seconds, 1.5)


class Repair(StripesTest):
    def test_index_of_a_plain_vault(self):
        machine = self.created()
        make_tree(self.source, 30, big=1_000_000)
        for i in range(3):
            write(f"{self.source}/f", noise(300_000, i))
            machine.backup(self.source)
        runs = sorted(self.files(self.vault + "/index"))
        os.unlink(runs[0])
        data = bytearray(read(runs[1]))
        data[100] ^= 1
        write(runs[1], data)
        machine.check(expect=FAILED)
        dry = machine.run("vault", "repair", "--dry-run", "--json").summary
        self.assertEqual((dry["runs_written"], dry["runs_removed"]), (1, 1))
        machine.check(expect=FAILED)
        machine.run("vault", "repair")
        machine.check("--read-data", passphrase=PASSPHRASE)
        self.assertNotIn(runs[1], self.files(self.vault + "/index"))
        self.assert_restores(machine, "latest", self.source)
        before = machine.run("stats", "--json").summary["data_chunks"]
        machine.backup(self.source, "--force-read")
        self.assertEqual(machine.run("stats", "--json").summary["data_chunks"], before)

    def test_what_cannot_be_repaired_is_named_and_left(self):
        machine = self.created()
        make_tree(self.source, 10, big=1_000_000)
        machine.backup(self.source)
        pack = max(self.files(self.vault + "/packs"), key=os.path.getsize)
        data = bytearray(read(pack))
        data[len(data) // 2] ^= 1
        write(pack, data)
        told = machine.run("vault", "repair", "--json", passphrase=PASSPHRASE, expect=FAILED)
        self.assertEqual(read(pack), data)
        self.assertEqual(told.of("point")[0]["files"], ["/" + self.source.lstrip("/") + "/big"])


@needs_loop
class Reserve(StripesTest):
    def test_a_full_disk(self):
        root = self.file_system("ext4", 60)
        self.vault = os.path.join(root, "vault")
        machine = self.machine()
        machine.run("vault", "create", "--reserve", "10M", passphrase=PASSPHRASE)
        held = sum(map(os.path.getsize, self.files(self.vault + "/reserve")))
        self.assertGreaterEqual(held, 10 << 20)
        write(f"{self.source}/big", noise(80_000_000))
        told = machine.run("backup", self.source, expect=FAILED)
        self.assert_message(told, "No space left", "free some space")
        # What is set aside is still there.
        self.assertEqual(sum(map(os.path.getsize, self.files(self.vault + "/reserve"))), held)
        machine.check()

    def test_the_default_is_a_hundredth(self):
        root = self.file_system("ext4", 60)
        self.vault = os.path.join(root, "vault")
        self.machine().run("vault", "create", passphrase=PASSPHRASE)
        held = sum(map(os.path.getsize, self.files(self.vault + "/reserve")))
        self.assertTrue(300_000 < held < 700_000, held)

    def test_one_full_directory_of_several(self):
        small = self.file_system("ext4", 20)
        disks = [self.path("a"), os.path.join(small, "b"), self.path("c")]
        machine = self.created_over("2+1", disks)
        write(f"{self.source}/big", noise(60_000_000))
        told = machine.run("backup", self.source, expect=FAILED)
        self.assert_message(told, "No space left", disks[1])
        self.assertEqual(len(machine.points()), 0)
        machine.check()
        os.unlink(f"{self.source}/big")
        make_tree(self.source, 5)
        machine.backup(self.source)
        self.assert_restores(machine, "latest", self.source)

    def test_a_disk_that_turns_read_only(self):
        root = self.file_system("ext4", 40)
        machine = self.created_over("2+1", [self.path("a"), os.path.join(root, "b"), self.path("c")])
        make_tree(self.source, 10)
        machine.backup(self.source)
        command("mount", "-o", "remount,ro", root)
        write(f"{self.source}/new", noise(500_000))
        done = machine.backup(self.source, expect=WARNINGS)
        self.assertTrue(any("Read-only" in w for w in done.warnings), done.warnings)
        command("mount", "-o", "remount,rw", root)
        machine.run("vault", "repair")
        self.assert_whole(machine)


if __name__ == "__main__":
    main()
