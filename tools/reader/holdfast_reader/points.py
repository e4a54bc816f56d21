"""Manifests, and which of them are recovery points: manifest.md."""

import dataclasses
import itertools

from . import audit, crypto, keys, runs
from .store import decimal, hex_id, spell
from .wire import LABEL_BYTES_MAX, MIB, PATH_BYTES_MAX, TEXT_BYTES_MAX, Cursor, Refused, refuse_if, u64

BODY_BYTES_MAX = 16 * MIB
PROBLEMS_MAX = 10_000
GAPS_NAMED_MAX = 1000


@dataclasses.dataclass
class Manifest:
    domain: bytes
    wrap: keys.Wrap
    sequence: int
    base: tuple  # sequence, hash
    previous: tuple
    time_ns: int
    incomplete: bool
    entries: int
    roots: list
    adopts: list
    labels: list
    heads: list  # (item, sequence)
    sealed_body: bytes


def decode_manifest(data, vault, item, sequence):
    """The clear part. The signature is the caller's to check, who knows the roster."""
    what = f"points/{item.hex()}/{spell(sequence)}"
    signed, _ = keys.signed_parts(data, b"HFV1MANI", what)
    c = Cursor(signed, what)
    c.take(8)
    c.expect(vault, "vault")
    domain, wrap = c.take(16), keys.read_wrap(c)
    c.refuse_if(wrap.item != item, "another item than its name says")
    c.expect(u64(sequence), "sequence than its name says")
    base, previous = (c.u64(), c.take(32)), (c.u64(), c.take(32))
    c.refuse_if(sequence == 0 or base[0] >= sequence or previous[0] >= sequence,
                "impossible sequence numbers")
    time_ns, flags, entries = c.time(), c.u8(), c.u64()
    c.refuse_if(flags > 1, "unknown flags")
    roots, adopts = c.ids(32), c.ids(16)
    labels = c.list(lambda: c.text(LABEL_BYTES_MAX), 1)
    heads = c.list(lambda: (c.take(16), c.u64()), 24)
    body = c.block(BODY_BYTES_MAX)
    c.finish()
    return Manifest(domain, wrap, sequence, base, previous, time_ns, flags == 1, entries, roots,
                    adopts, labels, heads, body)


@dataclasses.dataclass
class Body:
    item_name: bytes
    host: bytes
    paths: list
    started_ns: int
    finished_ns: int
    counts: tuple  # files, directories, others, bytes, new bytes, stored bytes
    program: bytes
    source: bytes
    problem_count: int
    problems: list  # (path, reason)


def body_associated(vault, manifest):
    return (b"HFV1MANI" + vault + manifest.domain + manifest.wrap.item + u64(manifest.sequence)
            + manifest.wrap.session)


def decode_body(data):
    c = Cursor(data, "body")
    c.refuse_if(c.u8() != 1, "an unknown version")

    def text():
        return c.text(TEXT_BYTES_MAX)

    name, host = text(), text()
    paths = c.list(lambda: c.text(PATH_BYTES_MAX), 1)
    started, finished = c.time(), c.time()
    counts = tuple(c.varint() for _ in range(6))
    program, source, problem_count = text(), text(), c.varint()
    problems = c.list(lambda: (c.text(PATH_BYTES_MAX), text()), 2, PROBLEMS_MAX)
    c.finish()
    return Body(name, host, paths, started, finished, counts, program, source, problem_count,
                problems)


@dataclasses.dataclass
class Point:
    id: bytes
    item: bytes
    manifest: Manifest
    body: Body = None  # None: damaged, its content is not to be taken for the agent's
    deleted: bool = False  # softly: it can be brought back for a while


# --- Which manifests count -------------------------------------------------------------------

def point_name(name):
    """(item, sequence) of a well-formed name below points/, else None."""
    parts = name.split("/")
    item = hex_id(parts[1], 16) if len(parts) == 3 else None
    sequence = decimal(parts[2]) if item else None
    return (item, sequence) if sequence else None


def check_manifest(data, vault, roster, item, sequence):
    """Rules 1 to 3 of "Which manifests count"."""
    manifest = decode_manifest(data, vault, item, sequence)
    what = f"points/{item.hex()}/{spell(sequence)}"
    agent = roster.agent(manifest.wrap.agent)
    refuse_if(agent is None, f"{what}: its agent {manifest.wrap.agent.hex()} is not in the roster")
    refuse_if(not agent.is_member(manifest.domain), f"{what}: its agent is not of its domain")
    crypto.check_signature(agent.signing_key, data[-64:], data[:-64], what)
    return manifest


def open_body(manifest, vault, roster, session_keys):
    key = crypto.body_key(session_keys.of(manifest.wrap, manifest.domain))
    body = decode_body(crypto.open_with_nonce(key, manifest.sealed_body,
                                              body_associated(vault, manifest), "body"))
    secret = roster.agent(manifest.wrap.agent).item_secret
    refuse_if(keys.item_id(secret, body.item_name) != manifest.wrap.item,
              "the item is not its agent's")
    return body


def list_points(store, vault, vault_keys, roster, session_keys, report):
    """All recovery points, by item and sequence. `vault_keys`: by generation, all believed."""
    names = {}
    for name in store.list("points"):
        if point_name(name):
            names[name] = point_name(name)
        else:
            report.defect(name, "is no recovery point's name")
    # After points/: a tombstone that is missed here was put after its manifest was seen. After
    # both the log: it has every grant, and the record of every point that was gone by then.
    tombstone_names = list(runs.tombstone_names(store))
    lifecycle = audit.read_log(store, vault, vault_keys, report)
    buried = runs.tombstones(store, vault, tombstone_names, lifecycle, report)
    closings = runs.Closings(store, vault, lifecycle)
    points = []
    for name, (item, sequence) in sorted(names.items(), key=lambda n: n[1]):
        try:
            data = store.get(name)
            if data is None:
                continue
            manifest = check_manifest(data, vault, roster, item, sequence)
            row = (item, sequence, crypto.sha256(data))
            if lifecycle.is_purged(*row):
                continue
            # Every list is looked at, so that a damaged one is reported whatever the others say.
            named = [closings.names(run, row) for run in buried.get(manifest.wrap.session, ())]
        except Refused as refused:
            report.defect(name, f"is no recovery point: {refused}")
            continue
        if not all(named):
            report.remark(name, "is what an interrupted commit left")
            continue
        point = Point(row[2], item, manifest, deleted=lifecycle.is_deleted(*row))
        try:
            point.body = open_body(manifest, vault, roster, session_keys)
        except Refused as refused:
            report.defect(name, f"damaged: {refused}")
        points.append(point)
    _compare(points, set(names.values()) | set(lifecycle.purged), report)
    return points


def _gaps(line, item, numbers):
    """Numbers that must have had a point and have no object and no record. `line`: the item's points in order."""
    last = max(m.previous[0] for m in line)
    # Numbers between a point and the one before it, as its agent knew it, were never points.
    skipped = [(m.previous[0], m.sequence) for m in line]
    there = sorted(n for i, n in numbers if i == item)
    for start, end in zip([0, *there], [*there, last + 1]):
        for sequence in range(start + 1, min(end, last + 1)):
            if not any(low < sequence < high for low, high in skipped):
                yield sequence


def _compare(points, numbers, report):
    """What manifests tell of each other; nothing here removes a point."""
    highest, lines = {}, {}
    for item, sequence in numbers:
        highest[item] = max(sequence, highest.get(item, 0))
    for point in points:
        lines.setdefault(point.item, []).append(point.manifest)
    for item, line in lines.items():
        for sequence in itertools.islice(_gaps(line, item, numbers), GAPS_NAMED_MAX):
            report.defect(f"points/{item.hex()}/{spell(sequence)}", "is missing")
    for before, point in zip(points, points[1:]):
        if before.item == point.item and point.manifest.previous[0] == before.manifest.sequence \
                and point.manifest.previous[1] != before.id:
            report.defect(f"points/{point.item.hex()}/{spell(point.manifest.sequence)}",
                          "does not follow the point before it")
    heads = {}
    for point in points:
        for item, sequence in point.manifest.heads:
            heads[item] = max(sequence, heads.get(item, 0))
    for item, sequence in heads.items():
        if sequence > highest.get(item, 0):
            report.defect(f"points/{item.hex()}", f"ends before point {sequence}, which was there")
