"""Tombstones and closing lists: session.md. Maintainers sign them; others' are not believed."""

import re

from . import crypto, keys
from .wire import Cursor, Refused, refuse_if


def check_maintainer(data, maintainer, lifecycle, what):
    key = lifecycle.maintainer_key(maintainer)
    refuse_if(key is None, f"{what}: signed by nobody who was granted a maintainer's key")
    crypto.check_signature(key, data[-64:], data[:-64], what)


def decode_tombstone(data, vault, session, run, lifecycle):
    what = f"sessions/{session.hex()}/tombstone-{run.hex()}"
    signed, _ = keys.signed_parts(data, b"HFV1TOMB", what)
    c = Cursor(signed, what)
    c.take(8)
    c.expect(vault, "vault")
    c.expect(session, "session than its name says")
    c.expect(run, "run than its name says")
    maintainer = c.take(16)
    c.time()
    c.finish()
    check_maintainer(data, maintainer, lifecycle, what)


STEPS = {"begin": b"HFV1CBEG", "vouched": b"HFV1VOUC", "condemned": b"HFV1COND",
         "waiting": b"HFV1WAIT", "closing": b"HFV1CLOS", "verdict": b"HFV1VERD",
         "abort": b"HFV1ABRT", "freed": b"HFV1FREE"}


def _content(c, step):
    def rows(row, row_bytes):
        count = c.u32()
        c.refuse_if(count * row_bytes > c.left, f"no room for {count} rows")
        return [row() for _ in range(count)]

    def claims():
        return rows(lambda: (c.u32(), c.take(16), c.take(16), c.u64()), 44)

    if step == "vouched":
        return rows(lambda: (c.take(32), c.take(16), claims()), 52)
    packs = rows(lambda: (c.take(16), c.take(32)), 48) if step in ("condemned", "closing") else ()
    if step == "closing":
        return packs, rows(lambda: (c.take(16), c.u64(), c.take(32)), 56)
    return rows(lambda: c.take(16), 16) if step == "waiting" else packs


def decode_run_object(data, vault, run, step, lifecycle):
    """What follows the common beginning. Of closing: packs (session, hash) and manifests
    (item, sequence, hash)."""
    what = f"collections/{run.hex()}/{step}"
    signed, _ = keys.signed_parts(data, STEPS[step], what)
    c = Cursor(signed, what)
    c.take(8)
    c.expect(vault, "vault")
    c.expect(run, "run than its name says")
    maintainer = c.take(16)
    c.time()
    content = _content(c, step)
    c.finish()
    check_maintainer(data, maintainer, lifecycle, what)
    return content


def tombstone_names(store):
    """(session, run) of everything that has a tombstone's name."""
    for name in store.list("sessions"):
        found = re.fullmatch(r"sessions/([0-9a-f]{32})/tombstone-([0-9a-f]{32})", name)
        if found:
            yield name, *(bytes.fromhex(g) for g in found.groups())


def tombstones(store, vault, names, lifecycle, report):
    """Runs by session."""
    runs = {}
    for name, session, run in names:
        try:
            data = store.get(name)
            if data is not None:
                decode_tombstone(data, vault, session, run, lifecycle)
                runs.setdefault(session, []).append(run)
        except Refused as refused:
            report.defect(name, f"is no tombstone: {refused}")
    return runs


class Closings:
    """What the closing lists name, each read once."""

    def __init__(self, store, vault, lifecycle):
        self.store, self.vault, self.lifecycle, self.kept = store, vault, lifecycle, {}

    def names(self, run, row):
        """Whether the run's closing list has this manifest, or there is no such list yet: then the
        manifest is undecided, and a point. Refused if the list is damaged."""
        if run not in self.kept:
            try:
                data = self.store.get(f"collections/{run.hex()}/closing")
                rows = None if data is None else frozenset(decode_run_object(
                    data, self.vault, run, "closing", self.lifecycle)[1])
                self.kept[run] = rows, None
            except Refused as refused:
                self.kept[run] = None, str(refused)
        rows, damage = self.kept[run]
        refuse_if(damage is not None, damage)
        return rows is None or row in rows
