"""Restores into targets that have ways of their own, or fail."""

import os
import struct

from support import (DONE, FAILED, NOBODY, PASSPHRASE, WARNINGS, EndToEndTest, describe, main,
                     make_tree, make_weird_tree, needs, needs_root, read, write)

# struct posix_acl_xattr_header and entries: tag, permissions, id (linux/posix_acl_xattr.h).
ACL = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in (
    (0x01, 7, 0xffffffff), (0x02, 7, 12345), (0x04, 7, 0xffffffff), (0x10, 7, 0xffffffff),
    (0x20, 5, 0xffffffff)))


class Target(EndToEndTest):
    def setUp(self):
        super().setUp()
        self.to = self.path("to")
        self.client = self.created()

    def restore_failing(self, call, error, expect, *more, when="1+"):
        return self.client.run(
            "restore", f"latest:{self.source}", "--to", self.to, *more, "--json",
            passphrase=PASSPHRASE, expect=expect,
            wrap=["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + call,
                  "-e", f"inject={call}:error={error}:when={when}"])

    def test_acls_of_the_target_are_not_inherited(self):
        make_weird_tree(self.source)
        self.client.backup(self.source)
        os.makedirs(self.to)
        try:
            os.setxattr(self.to, "system.posix_acl_default", ACL)
        except OSError:
            self.skipTest("a file system without ACLs")
        os.makedirs(f"{self.to}/below/there")  # has inherited it
        self.client.restore(f"latest:{self.source}", f"{self.to}/below/there")
        self.assert_same_tree(self.source, f"{self.to}/below/there")
        self.client.restore(f"latest:{self.source}", f"{self.to}/below/new")
        self.assert_same_tree(self.source, f"{self.to}/below/new")

    @needs("strace")
    def test_content_stays_when_metadata_fail(self):
        make_tree(self.source, 10)
        for i in range(10):
            os.setxattr(f"{self.source}/d{i % 7}/e{i % 3}/file-{i}", "user.note", b"x" * 9)
        self.client.backup(self.source)
        for before in ("nothing", "another file"):
            done = self.restore_failing("fsetxattr", "EIO", WARNINGS)
            self.assertEqual(done.summary["problems"], 10)
            self.assertTrue(all("user.*" in w for w in done.warnings), done.warnings)
            self.assert_same_tree(describe(self.source, xattrs=False),
                                  describe(self.to, xattrs=False))
            for i in range(10):
                write(f"{self.to}/d{i % 7}/e{i % 3}/file-{i}", before.encode())
        self.client.restore(f"latest:{self.source}", self.to)
        self.assert_same_tree(self.source, self.to)

    @needs("strace")
    def test_what_the_disk_did_not_take_is_told(self):
        make_tree(self.source, 10)
        self.client.backup(self.source)
        failed = self.restore_failing("syncfs", "EIO", FAILED)
        self.assertIn(self.to, failed.summary["error"])
        self.assertIn("--overwrite always", failed.summary["error"])
        self.client.restore(f"latest:{self.source}", self.to, "--overwrite", "always", "--verify")
        self.assert_same_tree(self.source, self.to)

    @needs_root
    @needs("strace")
    def test_root_is_warned_of_what_could_not_be_set(self):
        write(f"{self.source}/x", b"x")
        os.chown(f"{self.source}/x", NOBODY, NOBODY)
        self.client.backup(self.source)
        done = self.restore_failing("fchown", "EPERM", WARNINGS)
        self.assertTrue(any("owner" in w for w in done.warnings), done.warnings)
        self.assertEqual(done.summary["exit_code"], WARNINGS)

    @needs_root
    def test_attributes_of_an_ordinary_users_read_only_file(self):
        write(f"{self.source}/x", b"x")
        os.setxattr(f"{self.source}/x", "user.note", b"kept")
        os.chmod(f"{self.source}/x", 0o444)
        os.chown(f"{self.source}/x", NOBODY, NOBODY)
        os.chown(self.source, NOBODY, NOBODY)
        self.client.backup(self.source)
        user = self.machine("user")
        os.makedirs(self.to)
        for path in (self.to, user.home):
            os.chown(path, NOBODY, NOBODY)
        os.system(f"chmod -R a+rX '{self.vault}'")
        done = user.restore(f"latest:{self.source}", self.to, user=NOBODY, expect=DONE)
        self.assertEqual(done.summary["refused"], [])
        self.assertEqual(os.getxattr(f"{self.to}/x", "user.note"), b"kept")
        self.assertEqual(os.stat(f"{self.to}/x").st_mode & 0o7777, 0o444)
        self.assertEqual(read(f"{self.to}/x"), b"x")


if __name__ == "__main__":
    main()
