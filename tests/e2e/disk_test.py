"""Disks that are full, fail or are read-only, on either side."""

import os
import subprocess
import unittest

from support import (DONE, FAILED, PASSPHRASE, WARNINGS, EndToEndTest, command, describe, main,
                     make_tree, needs, needs_loop, noise, read, remove_tree, write)


def inject(calls, what, path=None):
    """strace that makes calls fail."""
    wrap = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + calls, "-e",
            f"inject={calls}:{what}"]
    return wrap + (["-P", path] if path else [])


def fill(root):
    """Leaves no room on a file system."""
    path = os.path.join(root, "ballast")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    for size in (65536, 1024):
        try:
            while True:
                os.write(fd, bytes(size))
        except OSError:
            pass
    os.close(fd)
    return path


class Full(EndToEndTest):
    @needs_loop
    def test_vault_gets_full(self):
        self.vault = os.path.join(self.file_system("ext4", 40), "vault")
        client = self.created()
        make_tree(self.source, 30)
        client.backup(self.source)
        before = describe(self.source)
        write(f"{self.source}/big", noise(60_000_000))
        full = client.run("backup", self.source, expect=FAILED)
        self.assert_message(full, self.vault, "No space left", "free some space")
        self.assertEqual(len(client.points()), 1)
        client.check()
        # Nothing is left lying about, and what is there restores.
        self.assertEqual(os.listdir(os.path.join(self.vault, "tmp")), [])
        self.assert_restores(client, "latest", self.source, before)
        # With less to store it works again.
        os.unlink(f"{self.source}/big")
        write(f"{self.source}/more", noise(10_000))
        again = client.run("backup", self.source, "--json", expect=(DONE, FAILED))
        if again.code == FAILED:  # it may be full to the brim
            self.assertIn("No space left", again.summary["error"])
        client.check("--read-data", passphrase=PASSPHRASE)

    @needs_loop
    def test_a_vault_that_is_full_can_be_read_and_written_after_making_room(self):
        root = self.file_system("ext4", 40)
        self.vault = os.path.join(root, "vault")
        client = self.created()
        make_tree(self.source, 30)
        ballast = fill(root)
        with self.subTest("backup"):
            self.assert_message(client.run("backup", self.source, expect=FAILED), self.vault,
                                "No space left")
        client.run("vault", "status")
        client.check()
        os.unlink(ballast)
        client.backup(self.source)
        self.assert_restores(client, "latest", self.source)

    @needs_loop
    def test_vault_create_without_room(self):
        root = self.file_system("ext4", 8)
        ballast = fill(root)
        self.vault = os.path.join(root, "vault")
        failed = self.machine().run("vault", "create", passphrase=PASSPHRASE, expect=FAILED)
        self.assert_message(failed, "No space left")
        os.unlink(ballast)
        told = self.machine().run("points", expect=FAILED)
        self.assert_message(told, "not a Holdfast vault")

    @needs_loop
    def test_restore_target_gets_full(self):
        client = self.created()
        make_tree(self.source, 20)
        write(f"{self.source}/large", noise(60_000_000))
        client.backup(self.source)
        to = os.path.join(self.file_system("ext4", 40), "to")
        full = client.run("restore", f"latest:{self.source}", "--to", to, expect=FAILED,
                          passphrase=PASSPHRASE)
        self.assert_message(full, to, "No space left", "free some space")
        # What was restored is right, and no half file has a name.
        for directory, _, files in os.walk(to):
            for name in files:
                at = os.path.join(directory, name)
                self.assertEqual(read(at),
                                 read(os.path.join(self.source, os.path.relpath(at, to))))
        self.assertFalse(os.path.exists(os.path.join(to, "large")))
        client.restore(f"latest:{self.source}", to, "--exclude", "large")

    @needs_loop
    def test_cache_and_state_without_room(self):
        """The cache is a convenience: without it a backup still is one."""
        client = self.created()
        make_tree(self.source, 20)
        small = self.file_system("ext4", 8)
        fill(small)
        client.cache = os.path.join(small, "cache")
        done = client.run("backup", self.source, expect=None)
        self.assertIn(done.code, (WARNINGS, FAILED), str(done))
        self.assertIn("No space left", done.err)
        self.assertIn(small, done.err)


class Failing(EndToEndTest):
    def setUp(self):
        super().setUp()
        self.client = self.created()
        make_tree(self.source, 20, big=1_000_000)

    @needs("strace")
    def test_failed_syncs_of_the_vault(self):
        """Once: the object is written again. Always: the backup fails, and says why."""
        faults = 0
        for calls in ("fdatasync", "fsync"):
            for n in range(1, 13, 1 if calls == "fdatasync" else 3):
                with self.subTest(calls=calls, n=n):
                    count = len(self.client.points())
                    write(f"{self.source}/new", noise(20_000, n))
                    ran = self.client.run("backup", self.source, "--json", expect=None,
                                          wrap=inject(calls, f"error=EIO:when={n}"))
                    faults += 1
                    self.assertIn(ran.code, (DONE, WARNINGS, FAILED), str(ran))
                    points = self.client.points()
                    if ran.summary["ok"]:
                        self.assertEqual(len(points), count + 1)
                        self.assertEqual(points[-1]["id"], ran.summary["point"])
                    else:
                        self.assertIn("Input/output error", ran.summary["error"])
                    self.client.check()
        self.assert_restores(self.client, "latest",
                             self.source) if ran.summary["ok"] else None
        for calls in ("fdatasync", "fsync"):
            failed = self.client.run("backup", self.source, "--force-read", expect=FAILED,
                                     wrap=inject(calls, "error=EIO:when=1+"))
            faults += 1
            self.assert_message(failed, "Input/output error", self.vault)
            self.client.check()
        self.client.backup(self.source)
        self.assert_restores(self.client, "latest", self.source)
        print(f"{faults} faults")

    @needs("strace")
    def test_failing_writes_and_renames(self):
        faults = 0
        for calls, error in (("write", "EIO"), ("write", "ENOSPC"), ("rename,renameat2", "EIO"),
                             ("mkdir", "ENOSPC"), ("rename,renameat2", "EROFS"),
                             ("write", "EDQUOT")):
            for n in (1, 2, 3, 4, 6, 8):
                with self.subTest(calls=calls, error=error, n=n):
                    count = len(self.client.points())
                    write(f"{self.source}/new", noise(20_000, faults))
                    ran = self.client.run("backup", self.source, "--json", expect=None,
                                          wrap=inject(calls, f"error={error}:when={n}"))
                    faults += 1
                    # The output itself may be what could not be written.
                    self.assertIn(ran.code, (DONE, WARNINGS, FAILED), str(ran))
                    points = self.client.points()
                    if ran.code != FAILED:
                        self.assertEqual(len(points), count + 1)
                        self.assertTrue(points[-1]["complete"])
                    self.client.check()
        self.client.backup(self.source)
        self.assert_restores(self.client, "latest", self.source)
        self.client.check("--read-data", passphrase=PASSPHRASE)
        print(f"{faults} faults")

    @needs("strace")
    def test_source_file_that_cannot_be_read(self):
        bad = f"{self.source}/big"
        small = f"{self.source}/d1/e1/file-1"
        before = self.client.backup(self.source, "--item", "good").summary
        for path in (bad, small):
            with self.subTest(path):
                ran = self.client.backup(self.source, "--force-read", expect=WARNINGS, wrap=inject(
                    "read,pread64,preadv", "error=EIO", path))
                self.assertFalse(ran.summary["complete"])
                self.assertEqual(ran.summary["problems"], 1)
                self.assertEqual(len(ran.warnings), 1)
                self.assertIn(path, ran.warnings[0])
                self.assertIn("Input/output error", ran.warnings[0])
                expected = describe(self.source)
                expected.pop(os.fsencode(os.path.relpath(path, self.source)))
                item = ran.summary["point"]
                to = self.path("to")
                self.client.restore(f"{item}:{self.source}", to, expect=WARNINGS)
                self.assert_same_tree(expected, to)
                remove_tree(to)
        # In the middle of a large file.
        write(bad, noise(5_000_000))
        ran = self.client.backup(self.source, "--force-read", expect=WARNINGS, wrap=inject(
            "read,pread64,preadv", "error=EIO:when=2", bad))
        self.assertIn(bad, " ".join(ran.warnings))
        # The next one has it again.
        again = self.client.backup(self.source).summary
        self.assertTrue(again["complete"])
        self.assert_restores(self.client, again["point"], self.source)
        self.assertEqual(before["files"], again["files"])

    @needs("strace")
    def test_failing_reads_of_the_vault(self):
        """A transient error of the disk is told, and changes nothing."""
        self.client.backup(self.source)
        pack = [os.path.join(d, f) for d, _, fs in os.walk(self.vault + "/packs") for f in fs]
        for path in pack:
            with self.subTest(path):
                to = self.path("to")
                ran = self.client.run("restore", f"latest:{self.source}", "--to", to, expect=None,
                                      passphrase=PASSPHRASE,
                                      wrap=inject("pread64,read", "error=EIO", path))
                self.assertIn(ran.code, (FAILED, WARNINGS), str(ran))
                self.assertIn("Input/output error", ran.err)
                for directory, _, files in os.walk(to):
                    for name in files:
                        at = os.path.join(directory, name)
                        self.assertEqual(
                            read(at), read(os.path.join(self.source, os.path.relpath(at, to))), at)
                remove_tree(to)
                checked = self.client.run("vault", "check", expect=FAILED,
                                          wrap=inject("pread64,read", "error=EIO", path))
                self.assertIn("Input/output error", checked.out + checked.err)
        self.client.check()
        self.assert_restores(self.client, "latest", self.source)

    @needs("strace")
    def test_interrupted_writes(self):
        """EINTR is no failure."""
        ran = self.client.backup(self.source, wrap=inject("write", "error=EINTR:when=3"),
                                 expect=(DONE, FAILED))
        self.assertEqual(ran.code, DONE, str(ran))
        self.assert_restores(self.client, "latest", self.source)

    def test_output_that_cannot_be_written(self):
        with open("/dev/full", "wb") as full:
            process = self.client.start("points", "--json", stdout=full)
            process.wait(timeout=30)
            self.assertEqual(process.returncode, FAILED)
        self.client.backup(self.source)
        with open("/dev/full", "wb") as full:
            process = self.client.start("cat", f"latest:{self.source}/big", stdout=full,
                                        passphrase=PASSPHRASE)
            _, err = process.communicate(timeout=30)
            self.assertEqual(process.returncode, FAILED)
            self.assertIn(b"No space left", err)
        closed = subprocess.run(["sh", "-c", f"{self.program()} ls -R latest | head -1"],
                                env=self.client.environment(PASSPHRASE), capture_output=True)
        self.assertEqual(closed.returncode, 0)

    def program(self):
        from support import PROGRAM
        return PROGRAM


@needs_loop
class ReadOnly(EndToEndTest):
    def test_vault_on_a_read_only_file_system(self):
        root = self.file_system("ext4", 60)
        self.vault = os.path.join(root, "vault")
        client = self.created()
        make_tree(self.source, 20)
        client.backup(self.source)
        before = describe(self.source)
        command("mount", "-o", "remount,ro", root)
        write(f"{self.source}/new", b"new")
        told = client.run("backup", self.source, expect=FAILED)
        self.assert_message(told, self.vault, "Read-only file system")
        for arguments in (["ls", "latest"], ["points"], ["vault", "status"], ["vault", "key", "list"],
                          ["vault", "check", "--read-data"], ["stats"], ["find", "*"]):
            client.run(*arguments, passphrase=PASSPHRASE)
        self.assert_restores(client, "latest", self.source, before)
        # Also a machine that was never there restores from it.
        self.assert_restores(self.machine("empty"), "latest", self.source, before)
        proved = client.run("vault", "key", "prove", passphrase=PASSPHRASE, expect=FAILED)
        self.assert_message(proved, "Read-only")
        command("mount", "-o", "remount,rw", root)
        client.backup(self.source)

    def test_restore_onto_a_read_only_file_system(self):
        client = self.created()
        make_tree(self.source, 5)
        client.backup(self.source)
        to = self.file_system("ext4", 10)
        command("mount", "-o", "remount,ro", to)
        told = client.run("restore", f"latest:{self.source}", "--to", to, passphrase=PASSPHRASE,
                          expect=FAILED)
        self.assert_message(told, "Read-only file system", to)


if __name__ == "__main__":
    main()
