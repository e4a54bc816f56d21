"""From a passphrase to the keys of sessions: description.md and keys.md.

Decoders take bytes and raise Refused. unlock() and roster_in_force() look through a store, pass
over what the pages say to pass over, and raise Stop where going on would believe too little.
"""

import dataclasses

from . import crypto
from .crypto import sha256
from .store import decimal, hex_id, spell
from .wire import LABEL_BYTES_MAX, Cursor, Refused, Stop, refuse_if, u32, u64

SIGNATURE_BYTES = 64
FEATURES_MAX = 64
RECOVERY_KEYS_MAX = 1000
ROSTER_ENTRIES_MAX = 1_000_000
ROSTER_SEALED_BYTES_MAX = 4096
ENC_BYTES_MAX = 2048
SLOT_PASSPHRASE, SLOT_RECOVERY_CODE = 1, 2
SCRYPT_LOG2_N_MIN = 17


def signed_parts(data, magic, what):
    """What is signed and the signature of a signed object with this magic."""
    refuse_if(len(data) < len(magic) + SIGNATURE_BYTES, f"{what}: too short")
    refuse_if(data[:8] != magic, f"{what}: another magic")
    return data[:-SIGNATURE_BYTES], data[-SIGNATURE_BYTES:]


def digested(data, magic, what):
    """The body of an object that ends with the SHA-256 of the rest, magic included."""
    refuse_if(len(data) < len(magic) + 32, f"{what}: too short")
    refuse_if(data[:8] != magic, f"{what}: another magic")
    refuse_if(sha256(data[:-32]) != data[-32:], f"{what}: the digest is wrong")
    return data[:-32]


# --- Description -----------------------------------------------------------------------------

@dataclasses.dataclass
class Description:
    vault: bytes
    vault_key: bytes  # of generation 0
    name: bytes
    region: bytes
    features: list  # three lists: to read, to write, to collect


def decode_description(data):
    c = Cursor(data, "vault")
    c.expect(b"HFV1DESC", "magic")
    version = c.u32()
    c.refuse_if(version != 1, f"format version {version} is not known")
    signed, signature = signed_parts(data, b"HFV1DESC", "vault")
    c = Cursor(signed, "vault")
    c.take(12)
    vault, key = c.take(16), c.take(32)
    c.time()
    c.refuse_if(c.u8() > 1, "an unknown flag")
    name, region = c.text(LABEL_BYTES_MAX), c.text(LABEL_BYTES_MAX)
    features = [c.list(lambda: c.text(LABEL_BYTES_MAX), 1, FEATURES_MAX) for _ in range(3)]
    c.finish()
    crypto.check_signature(key, signature, signed, "vault")
    refuse_if(features[0], "vault: it needs features that this reader lacks: "
              + ", ".join(f.decode("utf-8", "backslashreplace") for f in features[0]))
    return Description(vault, key, name, region, features)


# --- Key slots -------------------------------------------------------------------------------

@dataclasses.dataclass
class Slot:
    kind: int
    generation: int
    label: bytes
    log2_n: int
    r: int
    p: int
    salt: bytes
    nonce: bytes
    sealed: bytes
    associated: bytes


def decode_slot(data, vault, slot):
    what = f"keys/{slot.hex()}"
    c = Cursor(digested(data, b"HFV1SLOT", what), what)
    c.take(8)
    c.expect(vault, "vault")
    c.expect(slot, "slot than its name says")
    kind = c.u8()
    c.refuse_if(kind not in (SLOT_PASSPHRASE, SLOT_RECOVERY_CODE), f"unknown kind {kind}")
    generation = c.u32()
    c.time()
    label = c.text(LABEL_BYTES_MAX)
    log2_n, r, p, salt = c.u8(), c.u32(), c.u32(), c.take(32)
    c.refuse_if(kind == SLOT_PASSPHRASE and log2_n < SCRYPT_LOG2_N_MIN, "scrypt is too cheap")
    associated = c.data[:c.at]
    nonce = c.take(crypto.NONCE_BYTES)
    sealed = c.take(c.u16())
    c.finish()
    return Slot(kind, generation, label, log2_n, r, p, salt, nonce, sealed, associated)


@dataclasses.dataclass
class VaultSecret:
    generation: int
    vault_seed: bytes
    roster_key: bytes
    recovery_keys: dict  # private keys by generation


def decode_vault_secret(data, generation):
    c = Cursor(data, "vault secret")
    c.refuse_if(c.u8() != 1, "an unknown version")
    c.refuse_if(c.u32() != generation, "another generation than the slot's")
    seed, roster_key, count = c.take(32), c.take(32), c.u32()
    c.refuse_if(not 1 <= count <= RECOVERY_KEYS_MAX, f"{count} recovery keys")
    keys = {}
    for _ in range(count):
        last = c.u32()
        keys.setdefault(last, c.take(32))  # of several of one generation the first counts
    c.finish()
    c.refuse_if(last != generation, "its last recovery key is of another generation")
    return VaultSecret(generation, seed, roster_key, keys)


def slot_key(slot, text):
    """The wrapping key, or None where such a text is not tried on such a slot."""
    code = crypto.recovery_code_bytes(text)
    if slot.kind == SLOT_RECOVERY_CODE:
        return crypto.recovery_code_key(code, slot.salt) if code else None
    return crypto.passphrase_key(text, slot.salt, slot.log2_n, slot.r, slot.p)


def open_slot(slot, key):
    """The vault secret; Refused with "does not authenticate" where the text is wrong."""
    plain = crypto.open_sealed(key, slot.nonce, slot.sealed, slot.associated, "slot")
    return decode_vault_secret(plain, slot.generation)


# --- Successions -----------------------------------------------------------------------------

def decode_succession(data, vault, generation, old_key):
    """The vault key that follows `old_key`, which the caller believes."""
    what = f"succession/{spell(generation)}"
    c = Cursor(data, what)
    c.expect(b"HFV1SUCC", "magic")
    c.expect(vault, "vault")
    c.expect(u32(generation), "generation than its name says")
    c.expect(old_key, "vault key to begin with")
    new_key = c.take(32)
    c.take(32)  # recovery key: for agents, who have no vault secret
    c.time()
    new_signature, old_signature = c.take(64), c.take(64)
    c.finish()
    crypto.check_signature(new_key, new_signature, data[:132], what + ", by the new key")
    crypto.check_signature(old_key, old_signature, data[:196], what + ", by the old key")
    return new_key


class Successions:
    """The vault keys that successions lead to from the description's."""

    def __init__(self, store, description):
        self.store, self.vault = store, description.vault
        self.keys = [description.vault_key]

    def vault_key(self, generation):
        """None if a succession is missing. Refused if one is there and is not to be believed."""
        while len(self.keys) <= generation:
            following = len(self.keys)
            data = self.store.get(f"succession/{spell(following)}")
            if data is None:
                return None
            self.keys.append(decode_succession(data, self.vault, following, self.keys[-1]))
        return self.keys[generation]

    def has_successor(self, generation, report):
        """Junk is as good as none: whoever can put it could have removed the object as well."""
        try:
            return self.vault_key(generation + 1) is not None
        except Refused as refused:
            report.defect(f"succession/{spell(generation + 1)}", f"not believed, {refused}")
            return False


def unlock(store, description, text, report):
    """The vault secret that is taken and the vault keys up to its generation."""
    opened, damaged = [], []
    for name in store.list("keys"):
        slot_id = hex_id(name.split("/", 1)[1], 16)
        if slot_id is None:
            report.remark(name, "is no key slot's name")
            continue
        try:
            data = store.get(name)
            if data is None:
                continue
            slot = decode_slot(data, description.vault, slot_id)
            key = slot_key(slot, text)
            if key is None:
                continue
        except Refused as refused:
            damaged.append((name, str(refused)))
            continue
        try:
            opened.append((name, open_slot(slot, key)))
        except Refused as refused:
            if not str(refused).endswith("does not authenticate"):
                damaged.append((name, str(refused)))

    why = None
    successions = Successions(store, description)
    for name, secret in sorted(opened, key=lambda o: -o[1].generation):
        try:
            vault_key = successions.vault_key(secret.generation)
        except Refused as refused:
            why = str(refused)
            report.defect(name, f"passed over, {why}")
            continue
        if vault_key is None:
            report.remark(name, "is of a rotation that did not end")
            continue
        if vault_key != crypto.ed25519_public(secret.vault_seed):
            why = "the vault is not the slot's: another vault key"
        elif successions.has_successor(secret.generation, report):
            why = "the slot is out of date: its generation has a successor"
        else:
            return secret, successions.keys[:secret.generation + 1]
        report.defect(name, why)
    for name, reason in damaged:
        report.defect(name, reason)
    raise Stop(why or "the passphrase or recovery code opens no slot of this vault")


# --- Roster ----------------------------------------------------------------------------------

@dataclasses.dataclass
class Agent:
    signing_key: bytes
    state: int
    sealed: bytes
    memberships: list  # (domain, sealed), in order
    item_secret: bytes = None
    name: bytes = None
    secrets: dict = None  # agent secrets by domain

    def is_member(self, domain):
        return any(d == domain for d, _ in self.memberships)


@dataclasses.dataclass
class Roster:
    sequence: int
    recovery_key: bytes
    previous: bytes
    domains: list  # (domain, sealed)
    agents: list  # (id, Agent)
    id_keys: dict = None  # by domain

    def agent(self, agent_id):
        """Of an id that stands twice the first counts."""
        return next((a for i, a in self.agents if i == agent_id), None)


def decode_roster(data, vault, sequence, generation, vault_key):
    what = f"roster/{spell(sequence)}"
    signed, signature = signed_parts(data, b"HFV1ROST", what)
    crypto.check_signature(vault_key, signature, signed, what)
    c = Cursor(signed, what)
    c.take(8)
    c.expect(vault, "vault")
    c.expect(u64(sequence), "sequence than its name says")
    c.expect(u32(generation), "generation")
    c.expect(vault_key, "vault key")
    recovery_key, previous = c.take(32), c.take(32)
    c.time()

    def sealed():
        return c.block(ROSTER_SEALED_BYTES_MAX)

    def domain():
        return c.take(16), sealed()

    def agent():
        agent_id, signing_key, state = c.take(16), c.take(32), c.u8()
        c.refuse_if(state not in (1, 2), f"unknown state {state}")
        c.time()
        own = sealed()
        memberships = c.list(domain, 17, ROSTER_ENTRIES_MAX)
        c.refuse_if(not memberships, "an agent without a membership")
        return agent_id, Agent(signing_key, state, own, memberships)

    domains = c.list(domain, 17, ROSTER_ENTRIES_MAX)
    agents = c.list(agent, 76, ROSTER_ENTRIES_MAX)
    c.finish()
    return Roster(sequence, recovery_key, previous, domains, agents)


def domain_associated(vault, domain):
    return b"holdfast v1 roster domain" + vault + domain


def agent_associated(vault, agent_id, signing_key):
    return b"holdfast v1 roster agent" + vault + agent_id + signing_key


def membership_associated(vault, agent_id, signing_key, domain):
    return b"holdfast v1 roster membership" + vault + agent_id + signing_key + domain


def open_roster(roster, vault, roster_key):
    """Opens every sealed field; Refused if one does not open."""
    what = f"roster/{spell(roster.sequence)}"
    roster.id_keys = {}
    for domain, sealed in roster.domains:
        plain = crypto.open_with_nonce(roster_key, sealed, domain_associated(vault, domain), what)
        refuse_if(len(plain) != 64, f"{what}: a domain's field has another length")
        roster.id_keys.setdefault(domain, plain[:32])
    for agent_id, agent in roster.agents:
        plain = crypto.open_with_nonce(roster_key, agent.sealed,
                                       agent_associated(vault, agent_id, agent.signing_key), what)
        refuse_if(len(plain) < 32, f"{what}: an agent's field is too short")
        agent.item_secret, agent.name, agent.secrets = plain[:32], plain[32:], {}
        for domain, sealed in agent.memberships:
            plain = crypto.open_with_nonce(
                roster_key, sealed,
                membership_associated(vault, agent_id, agent.signing_key, domain), what)
            refuse_if(len(plain) != 32, f"{what}: a membership's field has another length")
            agent.secrets.setdefault(domain, plain)


def roster_in_force(store, vault, secret, vault_key, report):
    numbers = []
    for name in store.list("roster"):
        number = decimal(name.split("/", 1)[1])
        if number:
            numbers.append(number)
        else:
            report.remark(name, "is no roster's name")
    for number in sorted(numbers, reverse=True):
        name = f"roster/{spell(number)}"
        try:
            data = store.get(name)
            if data is None:
                continue
            roster = decode_roster(data, vault, number, secret.generation, vault_key)
        except Refused as refused:
            report.remark(name, f"passed over, {refused}")
            continue
        own = crypto.x25519_public(secret.recovery_keys[secret.generation])
        if roster.recovery_key != own:
            raise Stop(f"{name}: its recovery key is not the vault's")
        try:
            open_roster(roster, vault, secret.roster_key)
        except Refused as refused:
            raise Stop(str(refused)) from None
        return roster
    raise Stop("no roster verifies")


# --- Key wraps -------------------------------------------------------------------------------

@dataclasses.dataclass(frozen=True)
class Wrap:
    session: bytes
    agent: bytes
    item: bytes
    generation: int
    kem: int
    enc: bytes


def read_wrap(c):
    session, agent, item = c.take(16), c.take(16), c.take(16)
    generation, kem, size = c.u32(), c.u16(), c.u16()
    c.refuse_if(size > ENC_BYTES_MAX, f"a key encapsulation of {size} bytes")
    return Wrap(session, agent, item, generation, kem, c.take(size))


class SessionKeys:
    """Session keys, kept by the whole wrap and the domain: anybody can write a wrap with any
    session's id."""

    def __init__(self, vault, secret, roster):
        self.vault, self.secret, self.roster = vault, secret, roster
        self.kept = {}

    def of(self, wrap, domain):
        if (wrap, domain) not in self.kept:
            self.kept[wrap, domain] = self._derive(wrap, domain)
        return self.kept[wrap, domain]

    def _derive(self, wrap, domain):
        agent = self.roster.agent(wrap.agent)
        refuse_if(agent is None, f"agent {wrap.agent.hex()} is not in the roster")
        refuse_if(domain not in agent.secrets, f"agent {wrap.agent.hex()} is not of the domain")
        private = self.secret.recovery_keys.get(wrap.generation)
        refuse_if(private is None, f"no recovery key of generation {wrap.generation}")
        refuse_if(wrap.kem != crypto.KEM_X25519, f"unknown key encapsulation {wrap.kem:#x}")
        refuse_if(len(wrap.enc) != crypto.KEM_X25519_BYTES, "an encapsulated key of another length")
        info = crypto.session_info(self.vault, domain, wrap.item, wrap.session)
        return crypto.session_key(private, wrap.enc, info, agent.secrets[domain], wrap.agent)


def item_id(item_secret, name):
    return crypto.hmac(item_secret, b"holdfast v1 item" + name)[:16]
