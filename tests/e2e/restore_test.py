"""Restore in all its modes, onto nothing and onto what exists."""

import io
import os
import re
import subprocess
import tarfile
import unittest

from support import (DONE, FAILED, NOBODY, PASSPHRASE, USAGE, WARNINGS, EndToEndTest, describe,
                     main, make_tree, make_weird_tree, needs, needs_loop, needs_mount, needs_root,
                     noise, read, remove_tree, write)


class Restore(EndToEndTest):
    def setUp(self):
        super().setUp()
        self.client = self.created()
        self.to = self.path("to")

    def back_up(self):
        self.client.backup(self.source)
        self.from_point = f"latest:{self.source}"

    def restore(self, *options, to=None, **more):
        return self.client.restore(self.from_point, to or self.to, *options, **more)

    def small_tree(self):
        write(f"{self.source}/same", b"same", mtime_ns=10**18)
        write(f"{self.source}/content", b"point", mtime_ns=10**18)
        write(f"{self.source}/older", b"point", mtime_ns=10**18)
        write(f"{self.source}/newer", b"point", mtime_ns=10**18)
        write(f"{self.source}/missing", b"point", mtime_ns=10**18)
        self.back_up()
        write(f"{self.to}/same", b"SAME", mtime_ns=10**18)  # size and time equal: taken as equal
        write(f"{self.to}/content", b"other length", mtime_ns=10**18)
        write(f"{self.to}/older", b"there", mtime_ns=10**18 - 10**9)
        write(f"{self.to}/newer", b"there", mtime_ns=10**18 + 10**9)
        write(f"{self.to}/extra", b"extra")
        write(f"{self.to}/more/extra", b"extra")

    def contents(self):
        return {os.path.relpath(os.path.join(d, f), self.to): read(os.path.join(d, f))
                for d, _, files in os.walk(self.to) for f in files}

    def test_overwrite_rules(self):
        extra = {"extra": b"extra", "more/extra": b"extra"}
        point = {k: b"point" for k in ("content", "older", "newer", "missing")}
        there = {"content": b"other length", "older": b"there", "newer": b"there"}
        rules = {
            "always": {**extra, **point, "same": b"same"},
            "if-changed": {**extra, **point, "same": b"SAME"},
            "if-newer": {**extra, **there, "same": b"SAME", "older": b"point", "missing": b"point"},
            "never": {**extra, **there, "same": b"SAME", "missing": b"point"},
        }
        for rule, expected in rules.items():
            with self.subTest(rule):
                remove_tree(self.to)
                self.small_tree()
                dry = self.restore("--overwrite", rule, "--dry-run")
                before = self.contents()
                self.assertNotIn("missing", before)
                done = self.restore("--overwrite", rule)
                self.assertEqual(self.contents(), expected)
                for field in ("files_written", "files_unchanged", "files_skipped", "bytes_written"):
                    self.assertEqual(dry.summary[field], done.summary[field], field)
        # The default.
        remove_tree(self.to)
        self.small_tree()
        self.restore()
        self.assertEqual(self.contents(), rules["if-changed"])

    def test_delete(self):
        self.small_tree()
        dry = self.restore("--delete", "--dry-run")
        deleted = {o["path"] for o in dry.of("entry") if o["action"] == "delete"}
        self.assertEqual(deleted, {f"{self.source}/extra", f"{self.source}/more"})
        self.assertTrue(os.path.exists(f"{self.to}/extra"))
        done = self.restore("--delete", "--overwrite", "always").summary
        self.assertGreaterEqual(done["deleted"], 2)
        self.assert_same_tree(self.source, self.to)

    def test_delete_leaves_what_the_pattern_leaves_out(self):
        write(f"{self.source}/a.txt", b"1")
        write(f"{self.source}/b.log", b"2")
        self.back_up()
        write(f"{self.to}/keep.log", b"k")
        write(f"{self.to}/gone.txt", b"g")
        write(f"{self.to}/extra/below/keep.log", b"k")
        write(f"{self.to}/extra/below/gone.txt", b"g")
        write(f"{self.to}/extra/too/gone.txt", b"g")
        write(f"{self.to}/log/gone.txt", b"g")
        self.restore("--delete", "--exclude", "*.log")
        self.assertEqual(self.contents(), {"a.txt": b"1", "keep.log": b"k",
                                           "extra/below/keep.log": b"k"})
        self.assertEqual(sorted(os.listdir(self.to)), ["a.txt", "extra", "keep.log"])
        self.assertEqual(os.listdir(f"{self.to}/extra"), ["below"])

    def test_delete_of_the_whole_point_stays_inside_its_paths(self):
        write(f"{self.source}/a", b"1")
        self.back_up()
        write(f"{self.to}/elsewhere/x", b"x")
        write(f"{self.to}{self.source}/extra", b"x")
        self.client.restore("latest", self.to, "--delete")
        self.assertFalse(os.path.exists(f"{self.to}{self.source}/extra"))
        self.assertTrue(os.path.exists(f"{self.to}/elsewhere/x"),
                        "--delete removed what no path of the point covers")

    def test_delete_spares_the_vault_inside(self):
        vault = f"{self.source}/vault"
        client = self.created("inside", vault)
        write(f"{self.source}/a", b"1")
        client.backup(self.source)
        write(f"{self.source}/extra", b"x")
        before = describe(vault, times=False)
        done = client.restore(f"latest:{self.source}", self.source, "--delete")
        self.assertEqual(done.summary["deleted"], 1)
        self.assert_same_tree(before, vault, times=False)
        client.check()
        # A point from before the vault was there does not know its directory at all.
        moved = self.path("moved")
        os.rename(vault, moved)
        client.vault = moved
        client.backup(self.source)
        os.rename(moved, vault)
        client.vault = vault
        told = client.restore(f"latest:{self.source}", self.source, "--delete", expect=WARNINGS)
        self.assertEqual(told.summary["deleted"], 0)
        self.assertTrue(any(vault in w for w in told.warnings), told.warnings)
        client.check()

    @needs_root
    @needs("setpriv")
    def test_delete_leaves_what_the_backup_could_not_read(self):
        make_tree(self.source, 20)
        write(f"{self.source}/secret", b"mine", mode=0)
        os.makedirs(f"{self.source}/closed/below")
        os.chmod(f"{self.source}/closed", 0)
        before = describe(self.source)
        vault = self.path("of nobody", "vault")
        os.makedirs(os.path.dirname(vault))
        os.chown(os.path.dirname(vault), NOBODY, NOBODY)
        client = self.machine("nobody", vault)
        os.chown(client.home, NOBODY, NOBODY)
        client.create(user=NOBODY)
        client.backup(self.source, user=NOBODY, expect=WARNINGS)
        write(f"{self.source}/d0/extra", b"x")
        done = client.restore(f"latest:{self.source}", self.source, "--delete", expect=WARNINGS)
        self.assertEqual(done.summary["deleted"], 1)
        self.assertEqual(describe(self.source).keys(), before.keys())

    @needs_mount
    def test_delete_stays_on_its_file_system(self):
        write(f"{self.source}/a", b"1")
        write(f"{self.source}/mixed/known", b"1")
        left_out, mixed = f"{self.source}/left out", f"{self.source}/mixed"
        os.makedirs(left_out)
        self.mount("none", "size=1m", "-t", "tmpfs", at=left_out)
        write(f"{left_out}/x", b"x")
        self.client.backup(self.source, "--one-file-system")
        self.from_point = f"latest:{self.source}"
        self.mount("none", "size=1m", "-t", "tmpfs", at=mixed)
        write(f"{mixed}/y", b"y")
        foreign, bound = f"{self.source}/extra/foreign", f"{self.source}/extra/bound"
        for at in (foreign, bound):
            os.makedirs(at)
        write(f"{self.source}/extra/z", b"z")
        self.mount("none", "size=1m", "-t", "tmpfs", at=foreign)
        write(f"{foreign}/x", b"x")
        outside = write(self.path("outside/file"), b"x")
        self.mount(os.path.dirname(outside), "bind", at=bound)

        told = {}
        for options in (["--dry-run"], []):
            ran = self.restore("--delete", *options, to=self.source, expect=WARNINGS)
            told[len(options)] = sorted(ran.warnings)
            self.assertEqual(ran.summary["deleted"], 0)
            for kept in (f"{left_out}/x", f"{mixed}/y", f"{foreign}/x", outside):
                self.assertTrue(os.path.exists(kept), kept)
            self.assertEqual(os.path.exists(f"{self.source}/extra/z"), "--dry-run" in options)
        self.assertEqual(told[0], told[1])
        for path in (mixed, foreign, bound):
            self.assertTrue(any(path in w for w in told[0]), told[0])
        self.assertFalse(any(left_out in w for w in told[0]), told[0])

    @needs_mount
    def test_hard_links_across_file_systems(self):
        write(f"{self.source}/a", noise(1_000_000), mtime_ns=10**18)
        os.makedirs(f"{self.source}/d")
        os.link(f"{self.source}/a", f"{self.source}/d/b")
        os.link(f"{self.source}/a", f"{self.source}/d/c")
        self.back_up()
        os.makedirs(f"{self.to}/d")
        self.mount("none", "size=9m", "-t", "tmpfs", at=f"{self.to}/d")
        write(f"{self.to}/d/c", b"what was there")
        for _ in range(2):
            refused = self.restore(expect=WARNINGS).summary["refused"]
            self.assertTrue(any("hard link" in r for r in refused), refused)
            expected = describe(self.source)
            for e in expected.values():
                e.pop("links", None)
            self.assert_same_tree(expected, self.to)

    def test_patterns(self):
        make_tree(self.source, 20)
        write(f"{self.source}/d0/x.txt", b"x")
        self.back_up()
        self.restore("--include", "*.txt")
        self.assertEqual(self.contents(), {"d0/x.txt": b"x"})
        remove_tree(self.to)
        self.restore("--exclude", "file-*")
        self.assertEqual(self.contents(), {"d0/x.txt": b"x"})
        remove_tree(self.to)
        self.restore("--include", "d1", "--exclude", "e1/")
        self.assertTrue(self.contents())
        for name in self.contents():
            self.assertTrue(name.startswith("d1/") and "/e1/" not in name, name)

    def test_kinds_are_replaced(self):
        """A directory where the point has a file, and the other way round."""
        write(f"{self.source}/file", b"f")
        write(f"{self.source}/directory/below", b"b")
        os.symlink("file", f"{self.source}/link")
        self.back_up()
        write(f"{self.to}/file/something/deep", b"x")
        write(f"{self.to}/directory", b"x")
        outside = write(self.path("outside"), b"untouched")
        os.symlink(outside, f"{self.to}/target")
        write(f"{self.to}/link", b"x")
        self.restore("--delete", "--overwrite", "always", expect=None)
        self.assert_same_tree(self.source, self.to)
        # A link in the way is never written through.
        remove_tree(self.to)
        os.makedirs(self.to)
        elsewhere = self.path("elsewhere")
        write(f"{elsewhere}/below", b"mine")
        os.symlink(elsewhere, f"{self.to}/directory")
        os.symlink(outside, f"{self.to}/file")
        self.restore("--delta", "--overwrite", "always", expect=(DONE, WARNINGS))
        self.assertEqual(read(outside), b"untouched")
        self.assertEqual(read(f"{elsewhere}/below"), b"mine")
        self.assert_same_tree(self.source, self.to)

    @needs("strace")
    def test_delta_rewrites_only_what_differs(self):
        write(f"{self.source}/big", noise(20_000_000))
        make_tree(self.source, 20)
        self.back_up()
        self.restore()
        big = f"{self.to}/big"
        for offset in (5_000_000, 12_345_678):
            with open(big, "r+b") as f:
                f.seek(offset)
                f.write(b"damaged")
        os.utime(big, ns=(1, 1))
        inode = os.stat(big).st_ino
        logs = self.path("logs")  # one for each thread, so that no line is cut in two
        os.makedirs(logs)
        done = self.restore("--delta", wrap=["strace", "-ff", "-qq", "-y", "-e",
                                             "trace=pwrite64,write,copy_file_range,fallocate",
                                             "-o", logs + "/log"])
        self.assertEqual(done.summary["files_patched"], 1)
        self.assertLessEqual(done.summary["bytes_written"], 4 * 256 * 1024)
        self.assert_same_tree(self.source, self.to)
        self.assertEqual(os.stat(big).st_ino, inode)  # in place
        log = b"".join(read(os.path.join(logs, name)) for name in os.listdir(logs))
        written = sum(int(n) for n in re.findall(rb"/big>.*= ([0-9]+)$", log, re.M))
        self.assertGreater(written, 0)
        self.assertLessEqual(written, 4 * 256 * 1024)

        # Sizes that differ, and holes that are in the way.
        with open(big, "ab") as f:
            f.write(b"tail")
        self.restore("--delta")
        self.assert_same_tree(self.source, self.to)
        os.truncate(big, 1_000_000)
        self.restore("--delta")
        self.assert_same_tree(self.source, self.to, holes=False)
        # Where equal size and time might deceive, it is to compare always.
        st = os.stat(big)
        with open(big, "r+b") as f:
            f.write(b"other")
        os.utime(big, ns=(st.st_atime_ns, st.st_mtime_ns))
        self.restore("--delta", "--overwrite", "always")
        self.assert_same_tree(self.source, self.to, holes=False)
        same = self.restore("--delta").summary
        self.assertEqual((same["bytes_written"], same["files_patched"], same["files_written"]),
                         (0, 0, 0))

    def test_delta_of_everything(self):
        make_weird_tree(self.source)
        self.back_up()
        self.restore()
        # Everything about it is changed, content or metadata.
        for i, (directory, names, files) in enumerate(os.walk(os.fsencode(self.to))):
            for name in files:
                at = os.path.join(directory, name)
                if os.path.isfile(at) and not os.path.islink(at) and i % 2:
                    with open(at, "ab") as f:
                        f.write(b"!")
                elif not os.path.islink(at):
                    os.chmod(at, 0o641)
            os.utime(directory, ns=(5, 5))
        self.restore("--delta", "--delete", "--verify")
        self.assert_same_tree(self.source, self.to)

    def test_verify_finds_what_differs(self):
        make_tree(self.source, 20)
        self.back_up()
        self.restore("--verify")
        write(f"{self.to}/d0/e0/file-0", b"altered")
        # The rule leaves it; verification tells.
        told = self.restore("--overwrite", "never", "--verify", expect=WARNINGS)
        self.assertTrue(any("d0/e0/file-0" in w for w in told.warnings), str(told))
        self.assertEqual(told.summary["exit_code"], WARNINGS)
        wrong = self.client.run("restore", self.from_point, "--to", self.to, "--verify",
                                "--dry-run", expect=USAGE, passphrase=PASSPHRASE)
        self.assert_message(wrong, "--dry-run")

    def test_what_is_there_already_stays_the_same_object(self):
        make_weird_tree(self.source)
        self.back_up()
        first = self.restore()
        before = {at: os.lstat(at) for d, names, files in os.walk(os.fsencode(self.to))
                  for at in (os.path.join(d, n) for n in names + files)}
        dry = self.restore("--dry-run")
        again = self.restore()  # those with several names are made anew
        self.assertLess(dry.summary["others"], first.summary["others"])
        self.assertLess(again.summary["others"], first.summary["others"])
        for at, st in before.items():
            if st.st_nlink == 1:
                self.assertEqual(os.lstat(at).st_ino, st.st_ino, at)
        self.assert_same_tree(self.source, self.to)

    def test_dry_run_touches_nothing(self):
        make_tree(self.source, 20)
        self.back_up()
        dry = self.restore("--dry-run").summary
        self.assertEqual(dry["files_written"], 20)
        self.assertFalse(os.path.exists(self.to))
        self.restore()
        before = describe(self.to)
        write(f"{self.source}/d0/e0/file-0", b"changed")
        self.client.backup(self.source)
        self.restore("--dry-run", "--delete", "--delta")
        self.assert_same_tree(before, self.to)

    def test_tar_stream(self):
        make_weird_tree(self.source)
        self.back_up()
        ran = self.client.run("restore", self.from_point, "--to", "-", passphrase=PASSPHRASE,
                              expect=(DONE, WARNINGS))
        expected = describe(self.source)
        with tarfile.open(fileobj=io.BytesIO(ran.out_bytes), errors="surrogateescape") as tar:
            members = {os.fsencode(m.name).removeprefix(b"./").rstrip(b"/") or b".": m
                       for m in tar.getmembers()}
            missing = {p for p, e in expected.items() if e["kind"] != "socket"} - members.keys()
            self.assertEqual(missing - {b"."}, set())
            self.assertEqual(members.keys() - expected.keys(), set())
            for path, m in members.items():
                e = expected[path]
                if e["kind"] != "symlink" and "system.posix_acl_access" not in e["xattrs"]:
                    self.assertEqual(oct(m.mode & 0o7777), e["mode"], path)
                self.assertEqual((m.uid, m.gid), e["owner"], path)
                # Python's floats are good for a microsecond. Before 1970 readers disagree about
                # fractions: there are none.
                when = e["mtime_ns"]
                when = when // 10**9 if when < 0 else when / 10**9
                self.assertAlmostEqual(m.mtime, when, delta=1e-5, msg=path)
                if m.issym():
                    self.assertEqual(os.fsencode(m.linkname), e["target"])
                elif m.ischr() or m.isblk():
                    self.assertEqual((m.devmajor, m.devminor), e["device"])
                elif m.islnk():
                    self.assertIn(os.fsencode(m.linkname).removeprefix(b"./"), e["links"])
                elif m.isfile() and e["size"] < 10_000_000:
                    self.assertEqual(tar.extractfile(m).read(),
                                     read(os.path.join(os.fsencode(self.source), path)), path)
        # GNU tar unpacks it to the same tree.
        os.makedirs(self.to)
        subprocess.run(["tar", "-xp", "--xattrs", "--xattrs-include=*", "--acls", "-C", self.to],
                       input=ran.out_bytes, check=True, capture_output=True)
        found = describe(self.to, holes=False)
        for tree in (expected, found):
            for e in tree.values():
                if e["mtime_ns"] < 0:
                    e["mtime_ns"] //= 10**9
                for key in ("flags", "data"):
                    e.pop(key, None)
                # GNU tar does not know libarchive's way with spaces.
                e["xattrs"] = {k.replace("%20", " "): v for k, v in e["xattrs"].items()}
            tree.pop(b"socket", None)
            tree.pop(b".")
        self.assert_same_tree(expected, found)
        cut = self.client.start("restore", self.from_point, "--to", "-", passphrase=PASSPHRASE)
        cut.stdout.read(1000)
        cut.stdout.close()
        cut.stdout = None
        self.assertEqual(cut.wait(timeout=60), FAILED)

    @needs_root
    def test_as_an_ordinary_user(self):
        make_weird_tree(self.source)
        self.back_up()
        os.makedirs(self.to)
        os.chown(self.to, NOBODY, NOBODY)
        user = self.machine("user")
        os.chown(user.home, NOBODY, NOBODY)
        subprocess.run(["chmod", "-R", "a+rX", self.vault], check=True)
        done = user.restore(self.from_point, self.to, user=NOBODY, expect=(DONE, WARNINGS))
        refused = done.summary["refused"]
        self.assertTrue(any("owner" in r for r in refused), refused)
        self.assertTrue(any("device" in r for r in refused), refused)
        self.assertEqual(len(refused), len(set(refused)))
        self.assertLess(len(refused), 10)  # each kind once, not each file
        self.assertEqual(done.summary["problems"], 0, done.warnings)
        found = describe(self.to, owners=False, xattrs=False)
        expected = describe(self.source, owners=False, xattrs=False)
        for path, e in expected.items():
            if "device" in e["kind"]:
                continue
            self.assertIn(path, found)
            for what in ("kind", "content", "target", "mtime_ns", "data", "links"):
                if what == "mtime_ns" and path == b".":
                    continue
                self.assertEqual(found[path].get(what), e.get(what), (path, what))
        # Nobody's file becomes a set-uid one of somebody else.
        self.assertEqual(int(found[b"owners/setuid"]["mode"], 8) & 0o6000, 0)
        text = user.run("restore", self.from_point, "--to", self.to, user=NOBODY,
                        passphrase=PASSPHRASE, expect=(DONE, WARNINGS))
        self.assertLess(text.out.count("could not set"), 10)

    @needs_root
    def test_owners_by_name(self):
        write(f"{self.source}/x", b"x")
        os.chown(f"{self.source}/x", NOBODY, NOBODY)
        self.back_up()
        self.restore("--owners-by-name")
        self.assertEqual(os.stat(f"{self.to}/x").st_uid, NOBODY)

    def test_into_what_is_no_directory(self):
        write(f"{self.source}/x", b"x")
        self.back_up()
        write(self.to, b"a file")
        told = self.client.run("restore", self.from_point, "--to", self.to, passphrase=PASSPHRASE,
                               expect=FAILED)
        self.assert_message(told, self.to)
        self.assertEqual(read(self.to), b"a file")


if __name__ == "__main__":
    main()
