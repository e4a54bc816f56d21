"""What a backup takes and leaves out, hooks around it, limits and compression."""

import os
import random
import signal
import time
import unittest

from support import (DONE, FAILED, PASSPHRASE, USAGE, WARNINGS, EndToEndTest, main, make_tree, needs_loop,
                     needs_root, noise, read, write)


class Selection(EndToEndTest):
    def taken(self, *options, expect=0, files=None):
        """Paths below the source in a point made with these options."""
        self.count = getattr(self, "count", 0) + 1
        item = f"item-{self.count}"
        self.client.backup(self.source, "--item", item, *options, expect=expect)
        prefix = self.source + "/"
        return {o["path"].removeprefix(prefix) for o in
                self.client.read("ls", "-R", f"latest:{item}:{self.source}").of("entry")
                if o["kind"] == "file"}

    def setUp(self):
        super().setUp()
        self.client = self.created()

    def test_patterns(self):
        everything = {"a.tmp", "a.txt", "sub/b.tmp", "sub/b.txt", "sub/deep/er/c.txt", "cache/x",
                      "sub/cache/y", "[odd]", "keep/a.tmp", "!not"}
        for name in everything:
            write(os.path.join(self.source, name), b"x")
        here = self.source
        cases = [
            (["--exclude", "*.tmp"], {"a.tmp", "sub/b.tmp", "keep/a.tmp"}),
            (["-e", "*.tmp", "-e", "!keep/a.tmp"], {"a.tmp", "sub/b.tmp"}),
            (["-e", "/a.tmp"], set()),  # the root of the file system, not of the tree
            (["-e", f"{here}/a.tmp"], {"a.tmp"}),
            (["-e", "cache/"], {"cache/x", "sub/cache/y"}),
            (["-e", "x/"], set()),  # directories only
            (["-e", "sub/*.txt"], {"sub/b.txt"}),
            (["-e", "sub/**/c.txt"], {"sub/deep/er/c.txt"}),
            (["-e", "sub/**"], {"sub/b.tmp", "sub/b.txt", "sub/deep/er/c.txt", "sub/cache/y"}),
            (["-e", "[ab].t?t"], {"a.txt", "sub/b.txt"}),
            (["-e", "\\[odd\\]", "-e", "\\!not"], {"[odd]", "!not"}),
            (["-e", "sub", "-e", "!sub/b.txt"],
             {"sub/b.tmp", "sub/b.txt", "sub/deep/er/c.txt", "sub/cache/y"}),
        ]
        for options, gone in cases:
            with self.subTest(options=options):
                self.assertEqual(self.taken(*options), everything - gone)
        with self.subTest("include"):
            self.assertEqual(self.taken("--include", "*.txt"),
                             {"a.txt", "sub/b.txt", "sub/deep/er/c.txt"})
            self.assertEqual(self.taken("--include", "sub/deep", "--include", "a.tmp"),
                             {"sub/deep/er/c.txt", "a.tmp", "keep/a.tmp"})
            self.assertEqual(self.taken("--include", "*.txt", "--exclude", "sub"), {"a.txt"})
        with self.subTest("exclude-from"):
            patterns = write(self.path("patterns"), b"# comment\n\n*.tmp\n!a.tmp\r\ncache/\n")
            self.assertEqual(self.taken("--exclude-from", patterns),
                             everything - {"sub/b.tmp", "cache/x", "sub/cache/y"})
            missing = self.client.run("backup", self.source, "--exclude-from", self.path("no"),
                                      expect=FAILED)
            self.assert_message(missing, self.path("no"))

    def test_a_malformed_pattern_is_told(self):
        write(f"{self.source}/x", b"x")
        told = self.client.run("backup", self.source, "--exclude", "a[b", expect=(FAILED, USAGE))
        self.assert_message(told, "a[b")
        self.assertEqual(self.client.points(), [])

    def test_caches_and_sizes(self):
        write(f"{self.source}/c/CACHEDIR.TAG", b"Signature: 8a477f597d28d172789f06886806bc55\n# x")
        write(f"{self.source}/c/sub/content", b"x")
        write(f"{self.source}/fake/CACHEDIR.TAG", b"Signature: something else")
        write(f"{self.source}/fake/content", b"x")
        write(f"{self.source}/small", bytes(1024))
        write(f"{self.source}/large", bytes(1025))
        kept = {"fake/CACHEDIR.TAG", "fake/content", "small"}
        taken = self.taken("--exclude-caches", "--exclude-larger-than", "1K")
        self.assertIn(taken, (kept, kept | {"c/CACHEDIR.TAG"}))
        verbose = self.client.run("backup", self.source, "--exclude-larger-than", "1K", "--verbose")
        self.assertIn(f"left out {self.source}/large", verbose.out)

    @needs_loop
    def test_one_file_system(self):
        write(f"{self.source}/x", b"x")
        at = self.file_system("ext4", 16)
        os.makedirs(f"{self.source}/mounted")
        other = self.mount(at, "bind")  # so that the mount point lies in the tree
        from support import command, unmount
        command("mount", "--bind", other, f"{self.source}/mounted")
        self.addCleanup(unmount, f"{self.source}/mounted")
        write(f"{self.source}/mounted/inside", b"i")
        self.assertEqual(self.taken("--one-file-system"), {"x"})
        self.assertEqual(self.taken("-x"), {"x"})
        self.assertEqual(self.taken(), {"x", "mounted/inside"})

    def test_pseudo_file_systems_are_left_out(self):
        if not os.path.ismount("/proc"):
            self.skipTest("needs /proc")
        done = self.client.backup("/proc/sys/kernel", "--item", "proc", expect=None)
        self.assertIn(done.code, (0, FAILED, WARNINGS))
        self.assertLess(done.seconds, 20)

    def test_dry_run_stores_nothing(self):
        make_tree(self.source, 10)
        before = self.objects()
        told = self.client.backup(self.source, "--dry-run")
        self.assertEqual((told.summary["files_new"], told.summary["dry_run"]), (10, True))
        self.assertEqual(len(told.of("file")), 10)
        self.assertEqual(self.objects(), before)
        self.client.backup(self.source)
        time.sleep(0.05)
        self.client.backup(self.source)
        write(f"{self.source}/d0/e0/file-0", b"changed")
        told = self.client.backup(self.source, "--dry-run")
        self.assertEqual([(o["action"], o["path"]) for o in told.of("file")],
                         [("changed", f"{self.source}/d0/e0/file-0")])
        verbose = self.client.run("backup", self.source, "-n", "--verbose")
        self.assertIn(f"changed  {self.source}/d0/e0/file-0", verbose.out)

    def objects(self):
        return sorted(os.path.join(d, f) for d, _, fs in os.walk(self.vault) for f in fs)

    def test_hooks(self):
        write(f"{self.source}/x", b"x")
        log = self.path("log")
        script = f"echo \"$0 $HOLDFAST_ITEM $HOLDFAST_RESULT\" >> {log}"
        done = self.client.backup(self.source, "--item", "h", "--before", f"echo before > {log}",
                                  "--after", script)
        self.assertEqual(read(log).decode().split("\n")[:2],
                         ["before", "/bin/sh h committed"])
        self.assertEqual(done.summary["type"], "summary")

        # What hooks print does not mix with the program's own output.
        noisy = self.client.backup(self.source, "--item", "h", "--before", "echo noise",
                                   "--after", "echo noise; echo more >&2")
        self.assertEqual(noisy.objects[-1]["type"], "summary")
        self.assertIn("noise", noisy.err)

        points = len(self.client.points())
        failed = self.client.run("backup", self.source, "--item", "h", "--before", "exit 7",
                                 expect=FAILED)
        self.assert_message(failed, "exit 7", "exit status 7")
        self.assertEqual(len(self.client.points()), points)

        os.unlink(log)
        warned = self.client.backup(self.source, "--item", "h", "--after", f"{script}; exit 3",
                                    expect=WARNINGS)
        self.assertTrue(any("exit status 3" in w for w in warned.warnings), str(warned))
        self.assertEqual(len(self.client.points()), points + 1)
        self.assertTrue(self.client.points()[-1]["complete"])

        os.unlink(log)
        self.client.run("backup", self.path("nowhere"), "--item", "h", "--after", script,
                        expect=FAILED)
        self.assertEqual(read(log), b"/bin/sh h failed\n")

    def test_hooks_see_no_passphrase_and_ordinary_signals(self):
        write(f"{self.source}/x", b"x")
        out = self.path("out")
        self.client.backup(self.source, "--before", f"env > {out}; cat /proc/self/status >> {out}",
                           passphrase=PASSPHRASE)
        seen = read(out).decode()
        self.assertNotIn(PASSPHRASE, seen)
        self.assertIn("SigBlk:\t0000000000000000", seen)
        ignored = int(seen.split("SigIgn:")[1].split()[0], 16)
        self.assertFalse(ignored >> (signal.SIGPIPE - 1) & 1)

    def test_limits(self):
        write(f"{self.source}/x", noise(6_000_000))
        for option in ("--read-limit", "--write-limit"):
            with self.subTest(option):
                slow = self.client.backup(self.source, "--item", option, option, "3M",
                                          "--force-read")
                self.assertGreater(slow.seconds, 1.2)
                self.assertLess(slow.seconds, 20)
                self.vault = self.path("vault" + option)
                self.client = self.created("again" + option)
        for bad in ("x", "-1", "1Q"):
            self.client.run("backup", self.source, "--read-limit=" + bad, expect=USAGE)

    def test_compression(self):
        rng = random.Random(1)
        words = [b"%x" % rng.randrange(1 << rng.randrange(4, 40)) for _ in range(4000)]
        text = b" ".join(rng.choice(words) for _ in range(500_000))
        sizes = {}
        for level in ("0", "1", "19"):
            write(f"{self.source}/x", text)
            self.vault = self.path("vault-" + level)
            machine = self.created("machine-" + level)
            sizes[level] = machine.backup(self.source, "--compression",
                                          level).summary["stored_data"]
            self.assert_restores(machine, "latest", self.source)
        self.assertLess(sizes["1"], sizes["0"] * 0.7)
        self.assertLess(sizes["19"], sizes["1"] * 0.95)

    @needs_root
    def test_unreadable_as_an_ordinary_user(self):
        from support import NOBODY
        make_tree(self.source, 6)
        write(f"{self.source}/secret", b"s", mode=0o600)
        write(f"{self.source}/closed/inside", b"i")
        os.chmod(f"{self.source}/closed", 0o700)
        home = self.machine("nobody")
        os.chown(home.home, NOBODY, NOBODY)
        vault = self.path("nobodys-vault")
        os.makedirs(vault)
        os.chown(vault, NOBODY, NOBODY)
        home.vault = vault
        home.run("vault", "create", passphrase=PASSPHRASE, user=NOBODY)
        done = home.backup(self.source, user=NOBODY, expect=WARNINGS)
        self.assertFalse(done.summary["complete"])
        self.assertEqual(done.summary["problems"], 2)
        told = " ".join(done.warnings)
        self.assertIn(f"{self.source}/secret: ", told)
        self.assertIn(f"{self.source}/closed: ", told)
        self.assertIn("Permission denied", told)
        self.assertEqual(done.summary["files"], 6)
        # And the people's form names them as well.
        text = home.run("backup", self.source, user=NOBODY, expect=WARNINGS)
        self.assertIn(f"{self.source}/secret", text.err)
        self.assertIn("INCOMPLETE", text.out)

    @needs_root
    def test_below_directories_that_may_be_entered_but_not_read(self):
        from support import NOBODY
        self.source = self.path("homes/group/nobody")
        make_tree(self.source, 6)
        for directory, _, files in os.walk(self.source):
            for name in ["", *files]:
                os.chown(os.path.join(directory, name), NOBODY, NOBODY)
        for above in ("homes", "homes/group"):
            os.chmod(self.path(above), 0o711)
        home = self.machine("nobody", self.path("nobodys/vault"))
        for directory in (home.home, self.path("nobodys")):
            os.makedirs(directory, exist_ok=True)
            os.chown(directory, NOBODY, NOBODY)
        home.create(user=NOBODY)
        for _ in range(2):
            done = home.backup(self.source, user=NOBODY)
            self.assertTrue(done.summary["complete"], str(done))
            self.assertEqual(done.summary["files"], 6)
        self.assertEqual(done.summary["files_unchanged"], 6)
        to = self.path("nobodys/to")
        home.restore("latest", to, user=NOBODY, expect=(DONE, WARNINGS))  # owners above are refused
        self.assert_same_tree(self.source, self.restored(to, self.source))
        self.assertEqual(os.stat(f"{to}{self.path('homes')}").st_mode & 0o777, 0o711)


if __name__ == "__main__":
    main()
