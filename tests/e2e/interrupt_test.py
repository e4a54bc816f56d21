"""Backups that are interrupted and go on: packs that were stored are not stored again; Ctrl-C is
clean; the same for restores."""

import os
import shutil
import signal
import subprocess
import time
import unittest

from support import (FAILED, PASSPHRASE, EndToEndTest, main, make_tree, needs, noise, read,
                     remove_tree, write)

PACK = 32 << 20
BIG = 110_000_000


class Interrupt(EndToEndTest):
    def packs(self):
        return [os.path.join(d, f) for d, _, files in os.walk(os.path.join(self.vault, "packs"))
                for f in files]

    def data_bytes(self, machine):
        return machine.run("stats", "--json").summary["data_bytes"]

    def wait_for_packs(self, process, count):
        end = time.monotonic() + 60
        while len(self.packs()) < count and process.poll() is None:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.005)
        time.sleep(0.1)  # until it is noted, too

    def interrupted_at(self, signal_number, packs):
        """A backup of one large file, which gets a signal once so many packs are stored."""
        machine = self.created()
        write(f"{self.source}/big", noise(BIG))
        make_tree(self.source, 10)
        process = machine.start("backup", self.source, "--read-limit", "40M")
        self.wait_for_packs(process, packs)
        process.send_signal(signal_number)
        out, err = process.communicate(timeout=60)
        return machine, process.returncode, err.decode()

    def resume(self, machine, total=BIG):
        machine.check()
        kept = sum(os.path.getsize(p) for p in self.packs())
        done = machine.backup(self.source)
        self.assertTrue(done.summary["resumed"])
        self.assertEqual(done.warnings, [])
        self.assertLess(done.summary["bytes_new"], total - kept + 3_000_000)
        self.assertLess(self.data_bytes(machine), total + 3_000_000)  # stored once
        self.assert_restores(machine, "latest", self.source)
        machine.check()
        return done.summary

    def test_killed_after_two_packs(self):
        machine, code, _ = self.interrupted_at(signal.SIGKILL, 2)
        self.assertEqual(code, -signal.SIGKILL)
        self.assertEqual(machine.points(), [])
        s = self.resume(machine)
        # The large file goes on from where it was.
        self.assertLess(s["bytes_read"], BIG - PACK)

    def test_interrupted_after_one_pack(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(signal=number):
                machine, code, err = self.interrupted_at(number, 1)
                self.assertEqual(code, FAILED)
                self.assertEqual(len(err.strip().splitlines()), 1, err)
                self.assertIn("no recovery point was made", err)
                self.assertIn("next backup goes on from there", err)
                self.resume(machine)
                remove_tree(self.vault)
                remove_tree(machine.home)

    def test_interrupted_at_any_time(self):
        machine = self.created()
        make_tree(self.source, 100)
        codes = []
        for i in range(24):
            write(f"{self.source}/d0/changing", noise(4_000_000, i))
            count = len(machine.points())
            process = machine.start("backup", self.source, "--read-limit", "12M")
            time.sleep(0.02 * i)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
            codes.append(process.returncode)
            # Before main has its signals in hand the default action is right, too.
            self.assertIn(process.returncode, (0, FAILED, -signal.SIGINT), err)
            if process.returncode == FAILED:
                self.assertEqual(len(err.decode().strip().splitlines()), 1, err)
                self.assertIn("no recovery point was made", err.decode())
            self.assertEqual(len(machine.points()) - count, process.returncode == 0)
            machine.check()
        self.assertGreater(codes.count(FAILED), 3, codes)
        machine.backup(self.source)
        self.assert_restores(machine, "latest", self.source)
        machine.check("--read-data", passphrase=PASSPHRASE)
        print(f"{len(codes)} signals, {codes.count(FAILED)} of them stopped a backup")

    def test_many_interruptions_get_there(self):
        """Each run is killed after one more pack: the work of all of them adds up."""
        machine = self.created()
        for i in range(8):
            write(f"{self.source}/d{i}", noise(BIG // 6, i))
        for count in (1, 2, 3):
            process = machine.start("backup", self.source, "--read-limit", "40M")
            self.wait_for_packs(process, count)
            process.kill()
            process.wait()
        self.resume(machine, 8 * (BIG // 6))

    def test_backup_of_standard_input_interrupted(self):
        """Also while whoever writes it hangs."""
        machine = self.created()
        process = machine.start("backup", "--stdin", "s", stdin=subprocess.PIPE)
        process.stdin.write(noise(3_000_000))
        process.stdin.flush()
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=10), FAILED)
        self.assertEqual(machine.points(), [])

    def test_restore_interrupted_and_repeated(self):
        machine = self.created()
        make_tree(self.source, 300, size=80_000, big=60_000_000)
        machine.backup(self.source)
        to = self.path("to")
        codes = []
        for i, number in enumerate([signal.SIGINT, signal.SIGKILL, signal.SIGTERM] * 3):
            process = machine.start("restore", f"latest:{self.source}", "--to", to,
                                    passphrase=PASSPHRASE)
            time.sleep(0.45 + i * 0.06)
            process.send_signal(number)
            _, err = process.communicate(timeout=30)
            codes.append(process.returncode)
            if number != signal.SIGKILL and process.returncode not in (0, -number):
                self.assertEqual(process.returncode, FAILED)
                self.assertIn("interrupted", err.decode())
                self.assertEqual(len(err.decode().strip().splitlines()), 1, err)
        # Whatever is there under its name is whole.
        for directory, _, files in os.walk(to):
            for name in files:
                at = os.path.join(directory, name)
                original = os.path.join(self.source, os.path.relpath(at, to))
                if os.path.exists(original):
                    with open(at, "rb") as a, open(original, "rb") as b:
                        self.assertEqual(a.read(), b.read(), at)
        machine.restore(f"latest:{self.source}", to, "--verify")
        self.assert_same_tree(self.source, to)  # nor are temporaries left

    def test_a_limit_does_not_hold_up_an_interruption(self):
        write(f"{self.source}/big", noise(BIG))
        for option, wait in (("--write-limit", 2), ("--write-limit", 6), ("--read-limit", 2)):
            machine = self.created(f"machine{option}{wait}")
            process = machine.start("backup", self.source, option, "1M")
            time.sleep(wait)
            sent = time.monotonic()
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(timeout=60), FAILED)
            self.assertLess(time.monotonic() - sent, 4)
            done = machine.backup(self.source)
            self.assertEqual(done.warnings, [])
            machine.check()
            self.assert_restores(machine, done.summary["point"], self.source)
            self.vault = self.path(f"vault{option}{wait}")

    @needs("strace")
    def test_restore_killed_while_it_replaces_leaves_old_or_new(self):
        machine = self.created()
        make_tree(self.source, 40, big=1_500_000)
        machine.backup(self.source)
        old = self.path("old")
        shutil.copytree(self.source, old, symlinks=True)
        for directory, _, files in os.walk(old):
            for name in files:
                write(os.path.join(directory, name), b"what was there before")
        kills = left = 0
        for calls, step in (("pwrite64", 7), ("utimensat", 9), ("linkat", 7),
                            ("renameat,renameat2", 9)):
            for n in range(1, 40, step):
                to = self.path(f"to-{calls}-{n}")
                shutil.copytree(old, to, symlinks=True)
                ran = machine.restore(f"latest:{self.source}", to, expect=None, wrap=[
                    "strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + calls,
                    "-e", f"inject={calls}:signal=KILL:when={n}"])
                kills += ran.code in (-signal.SIGKILL, 128 + signal.SIGKILL)
                for directory, _, files in os.walk(to):
                    for name in files:
                        at = os.path.join(directory, name)
                        if name.startswith(".holdfast-"):  # about to replace what is there
                            left += 1
                            continue
                        original = os.path.join(self.source, os.path.relpath(at, to))
                        self.assertIn(read(at), (b"what was there before", read(original)), at)
                machine.restore(f"latest:{self.source}", to)
                self.assert_same_tree(self.source, to)  # the next one takes away what was left
        self.assertGreater(left, 1)
        self.assertGreater(kills, 8)


if __name__ == "__main__":
    main()
