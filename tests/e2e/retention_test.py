"""Retention, deletion and the rules of a vault, as a person uses them. Receive times are the files'
modification times, so that a year of backups can be played in a minute."""

import glob
import hashlib
import os
import time
import unittest

from support import (DONE, FAILED, PASSPHRASE, USAGE, WARNINGS, EndToEndTest, main, make_tree,
                     remove_tree, write)

DAY = 86_400


class Retention(EndToEndTest):
    def setUp(self):
        super().setUp()
        self.client = self.created()
        make_tree(self.source, 15, big=100_000)

    def backups(self, *days_ago):
        """One point for each, received so many days ago."""
        ids = []
        for days in days_ago:
            write(f"{self.source}/changing", b"%f" % days)
            ids.append(self.client.backup(self.source, "--item", "src").summary["point"])
            newest = max(glob.glob(f"{self.vault}/points/*/*"))
            when = time.time() - days * DAY - 60
            os.utime(newest, (when, when))
        return ids

    def policy(self, *rules, name="servers"):
        self.client.read("retention", "policy", "set", name, *rules)
        self.client.read("retention", "assign", name, "--item", "src")

    def refused(self, *arguments, words=()):
        ran = self.client.run(*arguments, passphrase=PASSPHRASE, expect=FAILED)
        self.assert_message(ran, *words)
        return ran

    def test_a_year_of_backups(self):
        ids = self.backups(400, 399, 330, 300, 40, 39, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
        # Without a policy nothing expires.
        ran = self.client.run("retention", "apply", "--json")
        self.assertEqual(ran.summary["soft_deleted"], 0)
        self.assertEqual(len(self.client.points()), 16)

        self.policy("--keep-daily", "3", "--keep-monthly", "12", "--keep-yearly", "all",
                    "--time-zone", "Europe/Berlin")
        listed = self.client.read("retention", "policy", "list").of("policy")
        self.assertEqual([p["name"] for p in listed], ["servers"])
        preview = self.client.run("retention", "preview", "--json")
        points = preview.of("point")
        self.assertEqual(len(points), 16)
        for p in points:
            self.assertEqual(bool(p["reasons"]), p["keep"], p)
        rules = {r["rule"] for p in points for r in p["reasons"]}
        self.assertEqual(rules, {"daily", "monthly", "yearly", "newest complete"})
        expiring = [p["id"] for p in points if not p["keep"]]
        self.assertGreater(len(expiring), 5)
        self.assertEqual(len(self.client.points()), 16)  # only a preview
        text = self.client.run("retention", "preview").out
        self.assertIn("daily 20", text)
        self.assertIn("its slot is represented by #", text)

        # No passphrase: this machine made the vault, and is its maintainer.
        ran = self.client.run("retention", "apply", "--json")
        self.assertEqual(ran.summary["soft_deleted"], len(expiring))
        left = [p["id"] for p in self.client.points()]
        self.assertEqual(left, [i for i in ids if i not in expiring])
        self.assertEqual(len(self.client.points("--deleted")), 16)
        self.assertEqual(self.client.run("retention", "apply", "--json").summary["soft_deleted"], 0)

        # Soft: what expired can be restored, and brought back.
        self.assert_restores(self.client, left[-1], self.source)
        to = self.path("restored")
        self.client.restore(expiring[0], to)
        self.client.read("points", "undelete", expiring[0])
        self.client.read("points", "hold", expiring[0], "--reason", "an audit")
        self.assertEqual(self.client.run("retention", "apply", "--json").summary["soft_deleted"], 0)
        (held,) = [p for p in self.client.points() if "hold" in p]
        self.assertEqual((held["id"], held["hold"]), (expiring[0], "an audit"))
        self.refused("points", "delete", expiring[0], words=("held", "an audit"))
        self.client.read("points", "release", expiring[0])
        self.client.check("--read-data", passphrase=PASSPHRASE)
        self.client.backup(self.source, "--item", "src")

        audit = self.client.run("vault", "audit", "--json")
        self.assertEqual(audit.summary["passed_over"], 0)
        said = " ".join(a for e in audit.of("entry") for a in e["actions"])
        for words in ("granted a key as maintainer", "set policy 'servers'", "by policy",
                      "brought back 1 point", "hold on point", "refused: deleted 1 point"):
            self.assertIn(words, said)

    def test_deleted_by_hand(self):
        ids = self.backups(3, 2, 1)
        self.client.read("points", "delete", ids[2])
        self.assertEqual([p["id"] for p in self.client.points()], ids[:2])
        # 'latest' is the newest that is there.
        ls = self.client.read("cat", f"latest:src:{self.source}/changing")
        self.assertEqual(ls.code, DONE)
        self.client.read("points", "undelete", ids[2][:12])
        self.assertEqual([p["id"] for p in self.client.points()], ids)
        self.refused("points", "undelete", ids[1], words=("not soft-deleted",))
        self.assertEqual(self.client.run("points", "delete", "latest", passphrase=PASSPHRASE,
                                         expect=FAILED).code, FAILED)

    def test_locked(self):
        ids = self.backups(30, 20, 10, 1)
        self.policy("--keep-last", "3")
        self.client.read("vault", "settings", "--soft-delete-days", "30")
        ran = self.client.run("vault", "settings", "--immutability", "locked",
                              passphrase=PASSPHRASE)
        self.assertIn("does not enforce", ran.out)  # a directory
        locked = ("immutability is locked",)
        self.refused("retention", "policy", "set", "servers", "--keep-last", "2", words=locked)
        self.refused("vault", "settings", "--soft-delete-days", "14", words=locked)
        self.refused("vault", "settings", "--immutability", "off", words=locked)
        self.refused("vault", "settings", "--immutability", "unlocked", words=locked)
        self.refused("points", "delete", ids[0], words=locked)
        self.client.read("retention", "policy", "set", "none-yet", "--keep-last", "1")
        self.refused("retention", "assign", "none-yet", "--item", "src", words=locked)
        self.refused("retention", "policy", "remove", "servers", words=("assigned",))
        audit = self.client.run("vault", "audit").out
        self.assertGreaterEqual(audit.count("refused: "), 7)
        self.client.read("retention", "policy", "set", "servers", "--keep-last", "5")  # more
        settings = self.client.run("vault", "settings", "--json").summary
        self.assertEqual((settings["immutability"], settings["store_enforces"]), ("locked", False))
        self.assertEqual(len(self.client.points()), 4)

    def test_second_person(self):
        ids = self.backups(2, 1)
        self.refused("vault", "settings", "--approval", "on", words=("approver",))
        second = self.machine("second")
        second.read("vault", "enrol", "--approver", "--name", "Second Person")
        self.client.read("vault", "settings", "--approval", "on")
        ran = self.client.read("points", "delete", ids[0], expect=WARNINGS)
        request = ran.summary["request"]
        self.assertEqual(len(self.client.points()), 2)
        self.assert_message(self.client.run("vault", "approve", str(request), expect=FAILED),
                            "approver", "enrol --approver")
        self.assertIn("is open", self.client.run("vault", "audit").out)
        self.assertIn("deleted 1 point", second.run("vault", "approve", str(request)).out)
        self.assertEqual([p["id"] for p in self.client.points()], ids[1:])
        # So does another key.
        ran = self.machine("third").read("vault", "enrol", "--maintainer", expect=WARNINGS)
        second.run("vault", "approve", str(ran.summary["request"]))
        # Turning approvals off takes one too.
        self.client.read("vault", "settings", "--approval", "off", expect=WARNINGS)
        self.assertTrue(self.client.run("vault", "settings", "--json").summary["approval_required"])

    def test_maintainers(self):
        self.backups(5, 4, 3)
        self.policy("--keep-last", "1")
        other = self.machine("other")
        self.assert_message(other.run("retention", "apply", expect=FAILED), "maintainer",
                            "vault enrol --maintainer")
        other.read("vault", "enrol", "--maintainer", "--name", "night shift")
        self.assertEqual(other.run("retention", "apply", "--json").summary["soft_deleted"], 2)
        (key,) = [k for k in self.client.run("vault", "settings", "--json").of("key")
                  if k["label"] == "night shift"]
        self.client.read("vault", "revoke", key["id"])
        self.assert_message(other.run("retention", "apply", expect=FAILED), "does not grant")
        self.client.check()

    def test_lost_files_pause_expiry(self):
        self.backups(5, 4, 3)
        self.policy("--keep-last", "1")
        for name in os.listdir(self.source):
            if name != "changing":
                remove_tree(os.path.join(self.source, name))
        self.backups(1)
        ran = self.client.run("retention", "apply", "--json", expect=WARNINGS)
        self.assertEqual(ran.summary["soft_deleted"], 0)
        self.assertIn("retention confirm", ran.warnings[0])
        self.client.read("retention", "confirm", "src")
        self.assertEqual(self.client.run("retention", "apply", "--json").summary["soft_deleted"], 3)

    def test_clock(self):
        """The store's clock is ten years off what has gone by on this machine."""
        self.backups(3, 2)
        self.policy("--keep-last", "1")
        (mark,) = glob.glob(f"{self.client.state}/vaults/*/clock")
        with open(mark, "rb") as f:
            body = bytearray(f.read()[:-32])
        ns = int.from_bytes(body[24:32], "little") + 3650 * DAY * 10**9  # audit.md
        body[24:32] = ns.to_bytes(8, "little")
        with open(mark, "wb") as f:
            f.write(bytes(body) + hashlib.sha256(body).digest())
        self.assert_message(self.client.run("retention", "apply", expect=FAILED), "in doubt",
                            "vault clock confirm")
        self.assertEqual(self.client.run("retention", "preview", "--json",
                                         expect=WARNINGS).summary["clock_trusted"], False)
        self.assertEqual(len(self.client.points()), 2)
        self.client.read("vault", "clock", "confirm")
        self.assertEqual(self.client.run("vault", "clock", "--json").summary["clock_trusted"], True)
        self.assertEqual(self.client.run("retention", "apply", "--json").summary["soft_deleted"], 1)

    def test_wrong_use(self):
        run = self.client.run
        for arguments, words in (
                (("retention", "policy", "set", "p", "--keep-last", "many"), "no number"),
                (("retention", "policy", "set", "p", "--keep-within", "soon"), "12h"),
                (("retention", "policy", "set", "p", "--time-zone", "Mars/North"), "tzdata"),
                (("retention", "assign", "p"), "--default"),
                (("vault", "revoke", "me"), "vault settings")):
            ran = run(*arguments, passphrase=PASSPHRASE, expect=USAGE)
            self.assertIn(words, ran.err)
        self.refused("retention", "assign", "p", "--default", words=("no policy 'p'",))
        self.refused("retention", "assign", "none", "--item", "nobody", words=("points",))
        for command in (("retention",), ("retention", "policy", "set"), ("points", "delete"),
                        ("vault", "settings"), ("vault", "clock"), ("vault", "approve")):
            self.assertIn("--help", run(*command, "--help").out)


if __name__ == "__main__":
    main()
