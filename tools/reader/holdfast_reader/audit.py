"""The audit log: audit.md. What its entries say, which of them count, and the state they leave.

An entry counts whole or not at all, and whether it does depends on nearly every rule of the page,
so all of them are here, although a reader of points needs only the grants and what was deleted.
"""

import types
import typing

from . import crypto, keys
from .store import decimal, spell
from .wire import LABEL_BYTES_MAX, MIB, U32_MAX, Cursor, Refused, refuse_if, u64

ENTRY_BYTES_MAX = MIB
ACTIONS_MAX = POINTS_MAX = 10_000
TEXT_BYTES_MAX = 1024
LABELS_MAX = 64
SECONDS_MAX = 200 * 366 * 86_400
DAY_NS = 86_400 * 10**9
SOFT_DELETE_DAYS = range(14, 181)
REQUEST_VALID_NS = 14 * DAY_NS
MAINTAINER, APPROVER = 1, 2
BY_POLICY, BY_HAND = 1, 2
OFF, UNLOCKED, LOCKED = range(3)
NOBODY, ALL_ITEMS = bytes(32), bytes(16)


class Policy(typing.NamedTuple):
    counts: tuple  # last, hourly, daily, weekly, monthly, yearly
    within_s: int
    minimum_age_s: int
    labels: tuple
    zone: bytes
    burst_factor: int
    shrink_percent: int

    @property
    def has_rules(self):
        return any(self.counts) or self.within_s > 0 or len(self.labels) > 0


NO_POLICY = Policy((0,) * 6, 0, 0, (), b"", 0, 0)


def keeps_less(before, after):
    def pauses_less(was, now):
        return was != 0 and (now == 0 or now > was)

    if not after.has_rules or not before.has_rules:
        return after.has_rules
    return (any(now < was for was, now in zip(before.counts, after.counts))
            or after.within_s < before.within_s or after.minimum_age_s < before.minimum_age_s
            or not set(before.labels) <= set(after.labels) or before.zone != after.zone
            or pauses_less(before.burst_factor, after.burst_factor)
            or pauses_less(before.shrink_percent, after.shrink_percent))


# --- Entries ---------------------------------------------------------------------------------

def _bytes(size):
    return lambda c: c.take(size)


def _text(most):
    return lambda c: c.text(most)


def _choice(first, last):
    def read(c):
        value = c.u8()
        c.refuse_if(not first <= value <= last, f"an unknown kind {value}")
        return value
    return read


def _policy(c):
    return Policy(tuple(c.varint(U32_MAX) for _ in range(6)), c.varint(SECONDS_MAX),
                  c.varint(SECONDS_MAX),
                  tuple(c.list(lambda: c.text(LABEL_BYTES_MAX), 1, LABELS_MAX)),
                  c.text(LABEL_BYTES_MAX), c.varint(U32_MAX), c.varint(100))


def _rising(c, items, number):
    c.refuse_if(any(number(b) <= number(a) for a, b in zip(items, items[1:])),
                "a list of points does not rise")
    return items


def _points(c):
    return _rising(c, c.list(lambda: (c.u64(), c.take(32)), 40, POINTS_MAX), lambda p: p[0])


def _sequences(c):
    return _rising(c, c.list(c.u64, 8, POINTS_MAX), lambda n: n)


def _request(c):
    inner = Cursor(c.block(ENTRY_BYTES_MAX), c.what + ", a request")
    actions = _actions(inner, in_request=True)
    inner.finish()
    return actions


_ITEM, _SEQUENCE, _NAME = ("item", _bytes(16)), ("sequence", Cursor.u64), ("name", _text(255))
_REASON = ("reason", _text(TEXT_BYTES_MAX))
ACTIONS = {
    1: ("grant", ("id", _bytes(16)), ("key", _bytes(32)), ("role", _choice(1, 2)),
        ("label", _text(LABEL_BYTES_MAX))),
    2: ("revoke", ("id", _bytes(16))),
    3: ("generation",),
    4: ("set_policy", _NAME, ("policy", _policy)),
    5: ("remove_policy", _NAME),
    6: ("assign", _ITEM, _NAME),
    7: ("soft_delete", _ITEM, ("why", _choice(1, 2)), ("points", _points)),
    8: ("undelete", _ITEM, ("sequences", _sequences)),
    9: ("purge", _ITEM, ("points", _points)),
    10: ("hold", _ITEM, _SEQUENCE, _REASON),
    11: ("release", _ITEM, _SEQUENCE),
    12: ("set_soft_delete", ("days", Cursor.u16)),
    13: ("set_immutability", _NAME, ("level", _choice(0, 2))),
    14: ("set_approval", ("required", _choice(0, 1))),
    15: ("request", ("actions", _request)),
    16: ("approve", _SEQUENCE, ("hash", _bytes(32))),
    17: ("confirm_clock",),
    18: ("confirm_item", _ITEM, _SEQUENCE),
    19: ("note", ("kind_of_note", _choice(1, 3)), ("text", _text(TEXT_BYTES_MAX))),
}


def _actions(c, in_request=False):
    def action():
        number = c.u8()
        c.refuse_if(number not in ACTIONS, f"an action of unknown type {number}")
        kind, *fields = ACTIONS[number]
        c.refuse_if(in_request and kind in ("request", "approve"), f"asks for a {kind}")
        return types.SimpleNamespace(kind=kind, **{name: read(c) for name, read in fields})
    return c.list(action, 1, ACTIONS_MAX)


class Entry(typing.NamedTuple):
    sequence: int
    previous: tuple  # sequence, hash
    time_ns: int
    generation: int  # of the vault key that signs; None: a granted key does
    signer: bytes  # id of the granted key, or None
    actions: list
    hash: bytes


def decode_entry(data, vault, sequence):
    """The signature is the caller's to check, who knows the keys."""
    what = f"audit/{spell(sequence)}"
    refuse_if(len(data) > ENTRY_BYTES_MAX, f"{what}: too large")
    signed, _ = keys.signed_parts(data, b"HFV1AUDI", what)
    c = Cursor(signed, what)
    c.take(8)
    c.expect(vault, "vault")
    c.expect(u64(sequence), "sequence than its name says")
    previous, time_ns = (c.u64(), c.take(32)), c.time()
    c.refuse_if(sequence == 0 or previous[0] >= sequence, "impossible sequence numbers")
    by = c.u8()
    c.refuse_if(by > 1, f"an unknown kind of signer {by}")
    generation, signer = (None, c.take(16)) if by else (c.u32(), None)
    actions = _actions(c)
    c.finish()
    return Entry(sequence, previous, time_ns, generation, signer, actions, crypto.sha256(data))


# --- The state and its rules -----------------------------------------------------------------

class Grant(typing.NamedTuple):
    key: bytes
    role: int
    active: bool


class State:
    """Everything is in dicts of values that do not change, so that an entry can be taken back."""

    def __init__(self):
        self.grants = {}  # by id
        self.policies = {}  # name: (policy, immutability)
        self.assigned = {}  # item, or ALL_ITEMS: name of a policy
        self.holds = {}  # (item, sequence, or 0 for the whole item): reason
        self.deleted = {}  # (item, sequence): (hash, due); soft-deleted
        self.purged = {}  # (item, sequence): hash
        self.requests = {}  # sequence of the entry: (hash, time, actions)
        self.rules = {"days": SOFT_DELETE_DAYS[0], "immutability": OFF, "approval": False,
                      "generation": 0, "head": (0, NOBODY), "time": 0}

    def maintainer_key(self, granted):
        """A key that was ever granted to a maintainer, or None."""
        grant = self.grants.get(granted)
        return grant.key if grant and grant.role == MAINTAINER else None

    def is_purged(self, item, sequence, digest):
        return self.purged.get((item, sequence)) == digest

    def is_deleted(self, item, sequence, digest):
        return self.deleted.get((item, sequence), (None,))[0] == digest

    def policy_of(self, item):
        name = self.assigned.get(item, self.assigned.get(ALL_ITEMS))
        return self.policies.get(name, (NO_POLICY, OFF))


class _Replay:
    """Applies one entry, whole or not at all. Raises Refused with the rule that is against it."""

    def __init__(self, state, entry):
        self.s, self.rules, self.entry = state, state.rules, entry
        self.undo, self.marks, self.role = [], {}, None

    def run(self):
        try:
            self._look_at_signer()
            for action in self.entry.actions:
                self._apply(action, False)
            time_ns = self.entry.time_ns
            if "clock" not in self.marks:
                time_ns = max(time_ns, self.rules["time"])
            self._put(self.rules, "time", time_ns)
            self._put(self.rules, "head", (self.entry.sequence, self.entry.hash))
        except Refused:
            self._back_to(0)
            raise

    def _put(self, where, key, value):
        self.undo.append((where, key, key in where, where.get(key)))
        where[key] = value

    def _drop(self, where, key):
        self.undo.append((where, key, True, where.pop(key)))

    def _back_to(self, length):
        while len(self.undo) > length:
            where, key, was_there, value = self.undo.pop()
            if was_there:
                where[key] = value
            else:
                where.pop(key, None)

    def _look_at_signer(self):
        if self.entry.signer is None:
            refuse_if(self.entry.generation < self.rules["generation"],
                      f"signed by the vault key of generation {self.entry.generation}, which a "
                      "later one took over from")
            self._put(self.rules, "generation", self.entry.generation)
            return
        grant = self.s.grants[self.entry.signer]
        refuse_if(not grant.active, "signed by a revoked key")
        self.role = grant.role

    def _apply(self, action, approved):
        getattr(self, "_" + action.kind)(action, approved)

    def _by_owner(self, approved, destructive, what):
        """By the vault key; alone only if it destroys nothing or nobody else need agree."""
        if not approved:
            refuse_if(self.role is not None, f"{what} takes the vault key")
            refuse_if(destructive and self.rules["approval"], f"{what} needs an approval")

    def _grant(self, a, approved):
        self._by_owner(approved, True, "a grant")
        refuse_if(any(i == a.id or g.key == a.key for i, g in self.s.grants.items()),
                  "grants what was granted before")
        self._put(self.s.grants, a.id, Grant(a.key, a.role, True))

    def _revoke(self, a, approved):
        self._by_owner(approved, True, "revoking")
        grant = self.s.grants.get(a.id)
        refuse_if(grant is None or not grant.active, "revokes a key that is not in force")
        refuse_if(self.rules["approval"] and grant.role == APPROVER and self._approvers() == 1,
                  "revokes the last approver")
        self._put(self.s.grants, a.id, grant._replace(active=False))

    def _approvers(self):
        return sum(g.active and g.role == APPROVER for g in self.s.grants.values())

    def _generation(self, _, approved):
        self._by_owner(False, False, "a rotation")

    def _set_policy(self, a, approved):
        refuse_if(not a.name, "a policy without a name")
        before, level = self.s.policies.get(a.name, (NO_POLICY, OFF))
        less = a.name in self.s.policies and keeps_less(before, a.policy)
        self._by_owner(approved, less, "keeping less")
        refuse_if(less and max(level, self.rules["immutability"]) != OFF,
                  "the policy would keep less, and is immutable")
        self._put(self.s.policies, a.name, (a.policy, level))

    def _remove_policy(self, a, approved):
        self._by_owner(approved, True, "removing a policy")
        refuse_if(a.name not in self.s.policies, "removes a policy that is not there")
        refuse_if(a.name in self.s.assigned.values(), "removes a policy that is assigned")
        self._drop(self.s.policies, a.name)

    def _assign(self, a, approved):
        refuse_if(a.name and a.name not in self.s.policies, "assigns a policy that is not there")
        before, level = self.s.policy_of(a.item)
        name = a.name or (self.s.assigned.get(ALL_ITEMS) if a.item != ALL_ITEMS else None)
        after, new_level = self.s.policies.get(name, (NO_POLICY, OFF))
        less = keeps_less(before, after)
        self._by_owner(approved, less, "keeping less")
        refuse_if(less and max(level, self.rules["immutability"]) != OFF,
                  "the item would keep less, and is immutable")
        refuse_if(new_level < level, "the item would leave an immutable policy")
        if a.name:
            self._put(self.s.assigned, a.item, a.name)
        elif a.item in self.s.assigned:
            self._drop(self.s.assigned, a.item)

    def _held(self, item, sequence):
        return (item, 0) in self.s.holds or (item, sequence) in self.s.holds

    def _soft_delete(self, a, approved):
        policy, level = self.s.policy_of(a.item)
        if a.why == BY_POLICY:
            refuse_if(self.role != MAINTAINER, "expiring by policy is for maintainers")
            refuse_if(not policy.has_rules, "expires points without a policy")
        else:
            self._by_owner(approved, True, "deleting")
            refuse_if(max(level, self.rules["immutability"]) != OFF, "deletes what is immutable")
        now = max(self.rules["time"], self.entry.time_ns)
        for sequence, digest in a.points:
            refuse_if(self._held(a.item, sequence), f"deletes point {sequence}, which is held")
            refuse_if((a.item, sequence) in self.s.deleted, f"deletes point {sequence} twice")
            self._put(self.s.deleted, (a.item, sequence),
                      (digest, now + self.rules["days"] * DAY_NS))

    def _undelete(self, a, approved):
        self._by_owner(approved, False, "bringing back")
        for sequence in a.sequences:
            refuse_if((a.item, sequence) not in self.s.deleted,
                      f"brings back point {sequence}, which is not deleted")
            self._drop(self.s.deleted, (a.item, sequence))

    def _purge(self, a, approved):
        refuse_if(self.role == APPROVER, "purging is for maintainers")
        for sequence, digest in a.points:
            at = a.item, sequence
            refuse_if(not self.s.is_deleted(*at, digest),
                      f"purges point {sequence}, which is not soft-deleted")
            refuse_if(self._held(*at), f"purges point {sequence}, which is held")
            refuse_if(self.entry.time_ns < self.s.deleted[at][1],
                      f"purges point {sequence} before its time")
            self._put(self.s.purged, at, digest)
            self._drop(self.s.deleted, at)

    def _hold(self, a, approved):
        self._by_owner(approved, False, "a hold")
        self._put(self.s.holds, (a.item, a.sequence), a.reason)

    def _release(self, a, approved):
        self._by_owner(approved, True, "a release")
        refuse_if((a.item, a.sequence) not in self.s.holds, "releases a hold that is not there")
        self._drop(self.s.holds, (a.item, a.sequence))

    def _set_soft_delete(self, a, approved):
        refuse_if(a.days not in SOFT_DELETE_DAYS, f"soft delete of {a.days} days")
        less = a.days < self.rules["days"]
        self._by_owner(approved, less, "shortening soft delete")
        refuse_if(less and self.rules["immutability"] != OFF, "soft delete is immutable")
        self._put(self.rules, "days", a.days)

    def _set_immutability(self, a, approved):
        refuse_if(a.name and a.name not in self.s.policies, "of a policy that is not there")
        policy, now = self.s.policies.get(a.name, (None, self.rules["immutability"]))
        self._by_owner(approved, a.level < now, "turning immutability down")
        refuse_if(now == LOCKED and a.level != LOCKED, "immutability is locked")
        if a.name:
            self._put(self.s.policies, a.name, (policy, a.level))
        else:
            self._put(self.rules, "immutability", a.level)

    def _set_approval(self, a, approved):
        self._by_owner(approved, not a.required, "doing without approvals")
        refuse_if(a.required and not self._approvers(), "there is no approver")
        self._put(self.rules, "approval", bool(a.required))

    def _request(self, a, _):
        self._by_owner(False, False, "a request")
        refuse_if(not self.rules["approval"], "asks where no approval is needed")
        tried = len(self.undo)
        for action in a.actions:
            self._apply(action, True)
        self._back_to(tried)
        self._put(self.s.requests, self.entry.sequence,
                  (self.entry.hash, self.entry.time_ns, a.actions))

    def _approve(self, a, _):
        refuse_if(self.role != APPROVER, "approving is for approvers")
        digest, time_ns, actions = self.s.requests.get(a.sequence, (None, 0, ()))
        refuse_if(digest != a.hash, f"there is no request {a.sequence} of this hash")
        refuse_if(self.entry.time_ns - time_ns > REQUEST_VALID_NS, "the request is too old")
        self._drop(self.s.requests, a.sequence)
        for action in actions:
            self._apply(action, True)

    def _confirm_clock(self, _, approved):
        self._by_owner(approved, True, "confirming the clock")
        self._put(self.marks, "clock", True)

    def _confirm_item(self, _, approved):
        self._by_owner(approved, True, "letting expiry go on")

    def _note(self, a, approved):
        pass


# --- Which entries count ---------------------------------------------------------------------

def _take(state, data, vault, vault_keys, sequence):
    entry = decode_entry(data, vault, sequence)
    if entry.signer is not None:
        key = state.grants[entry.signer].key if entry.signer in state.grants else None
    else:
        key = vault_keys[entry.generation] if entry.generation < len(vault_keys) else None
    refuse_if(key is None, "signed by a key that nobody granted")
    crypto.check_signature(key, data[-64:], data[:-64], f"audit/{spell(sequence)}")
    refuse_if(entry.previous != state.rules["head"],
              f"follows another entry than {state.rules['head'][0]}; one before it is missing or "
              "was changed")
    _Replay(state, entry).run()


def read_log(store, vault, vault_keys, report):
    """The state that the entries which count leave. `vault_keys`: by generation, all believed."""
    state, numbers = State(), []
    for name in store.list("audit"):
        number = decimal(name.split("/", 1)[1])
        if number:
            numbers.append(number)
        else:
            report.defect(name, "is no audit entry's name")
    for number in sorted(numbers):
        name = f"audit/{spell(number)}"
        try:
            data = store.get(name, ENTRY_BYTES_MAX)
            refuse_if(data is None, "went away")
            _take(state, data, vault, vault_keys, number)
        except Refused as refused:
            report.defect(name, f"passed over: {refused}")
    return state
