"""Snapshots of btrfs, and file systems that come back under another device number."""

import os
import subprocess
import threading
import time
import unittest

from support import (DONE, FAILED, PASSPHRASE, EndToEndTest, command, describe, main, make_tree,
                     needs, needs_loop, needs_root, noise, read, unmount, write)


def has_btrfs():
    with open("/proc/filesystems") as f:
        return "btrfs" in f.read() or subprocess.run(["modprobe", "btrfs"],
                                                     capture_output=True).returncode == 0


@needs_loop
@needs("mkfs.btrfs", "btrfs")
class Btrfs(EndToEndTest):
    def setUp(self):
        super().setUp()
        if not has_btrfs():
            self.skipTest("needs btrfs")
        self.client = self.created()
        self.root = self.file_system("btrfs", 300)
        self.source = f"{self.root}/data"
        command("btrfs", "subvolume", "create", self.source)

    def back_up_with_a_writer(self, *options):
        """Two files always get the same number, one after the other, while the backup reads."""
        for i in range(40):
            write(f"{self.source}/fill/{i:03}", noise(200_000, i))
        write(f"{self.source}/a-first", b"0")
        write(f"{self.source}/z-last", b"0")
        stop = threading.Event()
        count = [0]

        def writer():
            while not stop.is_set():
                count[0] += 1
                for name in ("a-first", "z-last"):
                    with open(f"{self.source}/{name}.new", "w") as f:
                        f.write(str(count[0]))
                    os.rename(f"{self.source}/{name}.new", f"{self.source}/{name}")

        thread = threading.Thread(target=writer)
        thread.start()
        try:
            ran = self.client.backup(self.source, "--read-limit", "8M", "--item", "w", *options)
        finally:
            stop.set()
            thread.join()
        numbers = [int(self.client.run("cat", f"latest:w:{self.source}/{n}",
                                       passphrase=PASSPHRASE).out)
                   for n in ("a-first", "z-last")]
        return ran, numbers, count[0]

    def test_one_instant(self):
        for mode in ("auto", "btrfs"):
            with self.subTest(mode):
                ran, (first, last), total = self.back_up_with_a_writer("--snapshot", mode)
                self.assertIn(first - last, (0, 1))
                self.assertEqual(self.client.points("--item", "w", passphrase=PASSPHRASE)[-1]
                                 ["source"], "btrfs snapshot")
                self.assertGreater(total, 20)
                # Nothing is left of it, and nothing of it is in the point.
                left = command("btrfs", "subvolume", "list", self.root).decode()
                self.assertNotIn(".holdfast", left)
                names = [o["path"] for o in
                         self.client.read("ls", f"latest:w:{self.source}").of("entry")]
                self.assertFalse([n for n in names if ".holdfast" in n])
        # Without a snapshot the writer shows: this test can fail.
        _, (first, last), _ = self.back_up_with_a_writer("--snapshot", "none")
        self.assertGreater(abs(first - last), 1)

    def test_unchanged_files_are_recognised(self):
        make_tree(self.source, 30)
        for mode in ("btrfs", "auto", "none"):
            with self.subTest(mode):
                for _ in range(2):
                    self.client.backup(self.source, "--snapshot", mode, "--item", mode)
                    time.sleep(0.05)
                s = self.client.backup(self.source, "--snapshot", mode, "--item", mode).summary
                self.assertEqual((s["files_unchanged"], s["bytes_read"]), (30, 0))

    def test_unchanged_files_are_recognised_in_the_other_mode(self):
        """A snapshot's files are those of its source, whichever was read before."""
        make_tree(self.source, 30)
        for mode in ("btrfs", "none", "btrfs"):
            self.client.backup(self.source, "--snapshot", mode)
            time.sleep(0.05)
            self.client.backup(self.source, "--snapshot", mode)
            time.sleep(0.05)
            other = "none" if mode == "btrfs" else "btrfs"
            s = self.client.backup(self.source, "--snapshot", other).summary
            self.assertEqual((s["files_unchanged"], s["bytes_read"]), (30, 0), f"{mode}, {other}")

    def test_nested_subvolumes(self):
        command("btrfs", "subvolume", "create", f"{self.source}/inner")
        write(f"{self.source}/inner/x", b"inside")
        write(f"{self.source}/y", b"y")
        s = self.client.backup(self.source, "--snapshot", "btrfs").summary
        self.assertEqual(s["files"], 2)
        to = self.path("to")
        self.client.restore(f"latest:{self.source}", to)
        self.assertEqual(read(f"{to}/inner/x"), b"inside")
        self.assertNotIn(".holdfast", command("btrfs", "subvolume", "list", self.root).decode())

    def test_killed_backup_leaves_no_snapshot_for_ever(self):
        for i in range(10):
            write(f"{self.source}/{i}", noise(1_000_000, i))
        process = self.client.start("backup", self.source, "--read-limit", "2M")
        end = time.monotonic() + 20
        while "snapshot-" not in command("btrfs", "subvolume", "list", self.root).decode():
            self.assertLess(time.monotonic(), end)
        process.kill()
        process.wait()
        self.assertIn("snapshot-", command("btrfs", "subvolume", "list", self.root).decode())
        self.client.backup(self.source)
        self.assertNotIn("snapshot-", command("btrfs", "subvolume", "list", self.root).decode())
        expected = describe(self.source)
        expected.pop(b".holdfast")  # stays, empty, so that the root's times stay
        self.assert_restores(self.client, "latest", self.source, expected)

    def test_everything_on_btrfs(self):
        from support import make_weird_tree
        make_weird_tree(self.source)
        self.client.backup(self.source)
        to = f"{self.root}/to"
        self.client.restore(f"latest:{self.source}", to, "--verify")
        expected = describe(self.source)
        expected.pop(b".holdfast")
        self.assert_same_tree(expected, to)


@needs_loop
class Elsewhere(EndToEndTest):
    def test_snapshot_btrfs_where_there_is_none(self):
        client = self.created()
        source = f"{self.file_system('ext4', 16)}/data"
        write(f"{source}/x", b"x")
        told = client.run("backup", source, "--snapshot", "btrfs", expect=FAILED)
        self.assert_message(told, source, "not on btrfs")
        self.assertEqual(client.points(), [])
        client.backup(source, "--snapshot", "auto")

    def test_another_device_number(self):
        """Unchanged files are recognised by the file system's own identity."""
        client = self.created()
        image = self.path("image")
        with open(image, "wb") as f:
            f.truncate(32 << 20)
        command("mkfs.ext4", "-q", image)
        at = self.path("mounted")
        os.makedirs(at)
        self.addCleanup(unmount, at)
        command("mount", "-o", "loop", image, at)
        make_tree(f"{at}/data", 20)
        client.backup(f"{at}/data")
        time.sleep(0.05)
        client.backup(f"{at}/data")
        device = os.stat(at).st_dev
        unmount(at)
        # Something else takes the device's place.
        other = self.path("other-image")
        with open(other, "wb") as f:
            f.truncate(16 << 20)
        command("mkfs.ext4", "-q", other)
        held = [self.mount(other, "loop")]
        for i in range(5):
            command("mount", "-o", "loop", image, at)
            if os.stat(at).st_dev != device:
                break
            unmount(at)
            more = self.path(f"more-{i}")
            subprocess.run(["cp", "--sparse=always", other, more], check=True)
            command("tune2fs", "-U", "random", more)
            held.append(self.mount(more, "loop"))
        self.assertNotEqual(os.stat(at).st_dev, device)
        s = client.backup(f"{at}/data").summary
        self.assertEqual((s["files_unchanged"], s["bytes_read"]), (20, 0))
        self.assert_restores(client, "latest", f"{at}/data")

    def test_another_file_system_in_its_place(self):
        """The same inode numbers and times, other content: not taken for unchanged."""
        client = self.created()
        at = self.path("mounted")
        os.makedirs(at)
        self.addCleanup(unmount, at)
        for n in range(2):
            image = self.path(f"image-{n}")
            with open(image, "wb") as f:
                f.truncate(16 << 20)
            command("mkfs.ext4", "-q", image)
            command("mount", "-o", "loop", image, at)
            write(f"{at}/x", b"content %d" % n, mtime_ns=10**18)
            client.backup(at)
            time.sleep(0.05)
            client.backup(at)
            cat = client.run("cat", f"latest:{at}/x", passphrase=PASSPHRASE)
            self.assertEqual(cat.out_bytes, b"content %d" % n)
            unmount(at)


if __name__ == "__main__":
    main()
