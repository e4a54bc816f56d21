"""What the tests of damaged vaults share."""

import os
import shutil

from support import (DONE, FAILED, WARNINGS, EndToEndTest, describe, make_tree, noise, read,
                     remove_tree, write)


def flip(path, at=None):
    data = bytearray(read(path))
    at = len(data) // 2 if at is None else at
    data[at] ^= 0x10
    with open(path, "r+b") as f:
        f.write(data)


def cut(path):
    os.truncate(path, os.path.getsize(path) // 2)


def empty(path):
    os.truncate(path, 0)


def garbage(path):
    write(path, noise(os.path.getsize(path), 99))


DAMAGES = {"missing": os.unlink, "cut off": cut, "empty": empty, "bit flipped": flip,
           "garbage": garbage}


class DamageTest(EndToEndTest):
    """One vault with three points, made once; each damage gets a copy."""

    def setUp(self):
        super().setUp()
        self.client = self.created()
        self.tree = {}
        make_tree(self.source, 30, big=1_500_000)
        self.first = self.point("a")
        write(f"{self.source}/only-in-second", noise(200_000, 50))
        write(f"{self.source}/d1/e1/file-1", noise(10_000, 51))
        self.second = self.point("a")
        self.other_source = make_tree(self.path("other"), 8, seed=9)
        done = self.client.backup(self.other_source, "--item", "b").summary
        self.other = done["point"]
        self.tree[self.other] = describe(self.other_source)
        shutil.copytree(self.vault, self.path("good"))
        shutil.copytree(self.client.home, self.path("good-home"))
        self.faults = 0

    def point(self, item):
        done = self.client.backup(self.source, "--item", item).summary
        self.tree[done["point"]] = describe(self.source)
        return done["point"]

    def mend(self):
        remove_tree(self.vault)
        shutil.copytree(self.path("good"), self.vault)
        remove_tree(self.client.home)
        shutil.copytree(self.path("good-home"), self.client.home)

    def objects(self, prefix):
        root = os.path.join(self.vault, prefix)
        return sorted(os.path.relpath(os.path.join(d, f), self.vault)
                      for d, _, files in os.walk(root) for f in files)

    def check(self, name, *options, passphrase=None):
        """The check finds it and names it."""
        ran = self.client.run("vault", "check", *options, "--json", expect=FAILED,
                              passphrase=passphrase)
        self.assertIn(name, ran.out, str(ran))
        return ran

    def restore(self, point, expect=None):
        """Whatever comes back is right; gives (exit code, output, what is missing or None)."""
        to = self.path("to")
        remove_tree(to)
        source = self.other_source if point == self.other else self.source
        ran = self.client.restore(f"{point}:{source}", to, expect=expect)
        self.assertIn(ran.code, (DONE, FAILED, WARNINGS), str(ran))
        if not os.path.exists(to):
            return ran, None
        expected, found = self.tree[point], describe(to)
        gone = expected.keys() - found.keys()
        for path in found:
            self.assertIn(path, expected)
            for what in ("kind", "content", "size", "target"):
                self.assertEqual(found[path].get(what), expected[path].get(what), path)
        if ran.code == DONE:
            self.assertEqual(gone, set())
            self.assertEqual(found, expected)
        return ran, gone

    def damage(self, name, how):
        self.mend()
        DAMAGES[how](os.path.join(self.vault, name))
        self.faults += 1
