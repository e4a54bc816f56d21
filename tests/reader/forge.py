"""What a forger needs: objects written as docs/formats/ say, from a vault's own keys (an insider) or
from none. Nothing here is part of the program or of the reader; of the reader it uses decoders and
primitives."""

import os
import sys

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(SOURCE, "tools/reader"))

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: E402
from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: E402

from holdfast_reader import crypto, keys, packs  # noqa: E402
from holdfast_reader.store import Directory, spell  # noqa: E402
from holdfast_reader.wire import Cursor, padme, u16, u32, u64, varint  # noqa: E402


def read_vectors():
    """{name: bytes, int or str}; names that stand more than once have a list."""
    vectors = {}
    with open(os.path.join(SOURCE, "docs/formats/vectors.txt"), encoding="utf-8") as lines:
        for line in lines:
            line = line.rstrip("\n")
            if not line or line.startswith("#"):
                continue
            name, kind, rest = line.split(" ", 1)[0], *(line.split(" ", 2)[1:] + [""])[:2]
            value = {"hex": bytes.fromhex, "number": int, "text": str}[kind](rest)
            if name == "varint.refused":
                vectors.setdefault(name, []).append(value)
            else:
                assert name not in vectors, name
                vectors[name] = value
    return vectors


def block(data):
    return varint(len(data)) + data


def listed(items):
    return varint(len(items)) + b"".join(items)


def sign(signed, seed):
    return signed + Ed25519PrivateKey.from_private_bytes(seed).sign(signed)


def seal(key, plain, associated):
    nonce = os.urandom(12)
    return nonce + AESGCM(key).encrypt(nonce, plain, associated)


def with_digest(body):
    return body + crypto.sha256(body)


# --- Sessions --------------------------------------------------------------------------------

def encode_wrap(wrap):
    return (wrap.session + wrap.agent + wrap.item + u32(wrap.generation) + u16(wrap.kem)
            + u16(len(wrap.enc)) + wrap.enc)


def new_session(vault, domain, item, agent, agent_secret, generation, recovery_public,
                session=None, ephemeral=None):
    """(wrap, session key), as a writer makes them."""
    session, ephemeral = session or os.urandom(16), ephemeral or os.urandom(32)
    enc = crypto.x25519_public(ephemeral)
    key = crypto.hpke_export(crypto.x25519(ephemeral, recovery_public), enc, recovery_public,
                             crypto.session_info(vault, domain, item, session), agent_secret, agent)
    return keys.Wrap(session, agent, item, generation, crypto.KEM_X25519, enc), key


# --- Audit log -------------------------------------------------------------------------------

DAY_NS = 86_400 * 10**9
T0 = 1_800_000_000 * 10**9  # later than everything in the vectors


def action(number, *fields):
    return bytes([number]) + b"".join(fields)


def grant(granted, key, role=1):
    return action(1, granted, key, bytes([role]), block(b"label"))


def point_list(*points):
    """Of (sequence, hash)."""
    return listed([u64(n) + digest for n, digest in points])


# --- Packs -----------------------------------------------------------------------------------

class Part:
    """A segment to be written: stored bytes and what the footer says of them."""

    def __init__(self, stored, wrap, codec, counter, chunks):
        self.stored, self.wrap, self.codec, self.counter = stored, wrap, codec, counter
        self.chunks = chunks  # (kind, id, edges)


def seal_part(vault, domain, wrap, session_key, counter, chunks, contents, padding=b"\0"):
    """A raw segment of these chunks, sealed with the session's own key."""
    payload = b"".join(contents)
    plain = u32(len(payload)) + b"".join(u32(len(c)) for c in contents) + payload
    plain += padding * (padme(len(plain) + 16) - 16 - len(plain))
    refs = packs.refs_hash(chunks)
    key = crypto.segment_key(session_key, counter, refs, packs.RAW)
    associated = packs.segment_associated(vault, domain, wrap.session, counter, packs.RAW, refs)
    return Part(AESGCM(key).encrypt(bytes(12), plain, associated), wrap, packs.RAW, counter, chunks)


def encode_pack(vault, domain, kind, parts):
    """(pack, footer)"""
    wraps = list(dict.fromkeys(p.wrap for p in parts))
    chunks = [c for p in parts for c in p.chunks]
    metadata = kind == packs.METADATA_PACK
    edges = b"".join(e for _, _, chunk_edges in chunks for e in chunk_edges)
    footer = (b"HFV1FOOT" + bytes([kind, 0, 0, 0]) + vault + domain + u32(len(wraps))
              + u32(len(parts)) + u32(len(chunks))
              + (crypto.sha256(edges) if metadata else bytes(32))
              + b"".join(map(encode_wrap, wraps)))
    for p in parts:
        footer += (u32(len(p.stored)) + u16(wraps.index(p.wrap)) + bytes([p.codec, 0])
                   + u64(p.counter) + u32(len(p.chunks)) + crypto.sha256(p.stored))
    footer += b"".join(chunk_id for _, chunk_id, _ in chunks)
    if metadata:
        footer += bytes(k for k, _, _ in chunks) + b"".join(u32(len(e)) for _, _, e in chunks)
    footer += u32(len(footer) + 12) + b"HFV1FEND"
    return b"HFV1PACK" + b"".join(p.stored for p in parts) + edges + footer, footer


def decode_parts(store, vault, name):
    """(domain, kind, parts) of a pack."""
    pack = packs.Pack(store, vault, name)
    parts = []
    for s in pack.footer.segments:
        chunks = [(kind, chunk_id, pack.chunk_edges(s, i))
                  for i, (kind, chunk_id) in enumerate(zip(s.kinds, s.ids))]
        parts.append(Part(store.read(name, s.offset, s.stored), s.wrap, s.codec, s.counter, chunks))
    return pack.footer.domain, pack.footer.kind, parts


# --- The small vault -------------------------------------------------------------------------

class SmallVault:
    """The vault of the vectors in a directory, with all its keys."""

    def __init__(self, path):
        self.vectors = read_vectors()
        self.path, self.store = path, Directory(path)
        for name, data in self.vectors.items():
            if name.startswith("object."):
                self.put(name[len("object."):], data)
        v = self.vectors
        self.id, self.domain, self.agent = v["keys.vault"], v["keys.domain"], v["keys.agent"]
        self.item, self.agent_secret = v["keys.item"], v["keys.agent_secret"]
        self.signing_seed = v["keys.signing_seed"]
        self.passphrase, self.recovery_code = v["slot.passphrase"], v["slot.recovery_code"]
        self.roster_key = v["roster2.roster_key"]
        self.vault_seed = v["slot.vault_secret"][5:37]
        self.recovery_public = crypto.x25519_public(v["session2.recovery_private_key"])
        self.maintainer, self.maintainer_seed = v["maintainer.id"], v["maintainer.private_key"]

    def at(self, name):
        return os.path.join(self.path, name)

    def put(self, name, data):
        os.makedirs(os.path.dirname(self.at(name)), exist_ok=True)
        with open(self.at(name), "wb") as file:
            file.write(data)

    def get(self, name):
        with open(self.at(name), "rb") as file:
            return file.read()

    def remove(self, name):
        os.unlink(self.at(name))

    def point_name(self, sequence, item=None):
        return f"points/{(item or self.item).hex()}/{spell(sequence)}"

    def pack(self, vector):
        """Name of the pack whose footer this vector is."""
        digest = self.vectors[vector + ".footer_sha256"].hex()
        return next(n for n in self.store.list("packs") if n.endswith(digest))

    def session(self, number):
        """(wrap, session key) of the vectors' session."""
        wrap = keys.read_wrap(Cursor(self.vectors[f"session{number}.wrap"], "wrap"))
        return wrap, self.vectors[f"session{number}.session_key"]

    def new_session(self, item=None, domain=None, **more):
        return new_session(self.id, domain or self.domain, item or self.item,
                           more.pop("agent", self.agent), more.pop("agent_secret", self.agent_secret),
                           1, self.recovery_public, **more)

    def entry(self, *actions, seed=None, granted=None, generation=1, time_ns=T0, previous=None,
              sequence=None, vault=None, tail=b""):
        """Puts an audit entry behind the last one, by the vault key unless told otherwise. Returns
        its name."""
        there = self.store.list("audit")
        if previous is None:
            previous = int(there[-1][-10:]), crypto.sha256(self.get(there[-1]))
        sequence = sequence or int(there[-1][-10:]) + 1
        name = f"audit/{spell(sequence)}"
        signer = b"\1" + granted if granted else b"\0" + u32(generation)
        self.put(name, sign(b"HFV1AUDI" + (vault or self.id) + u64(sequence) + u64(previous[0])
                            + previous[1] + u64(time_ns) + signer + listed(actions) + tail,
                            seed or (self.maintainer_seed if granted else self.vault_seed)))
        return name

    def tombstone(self, session, run, maintainer=None, seed=None, vault=None):
        name = f"sessions/{session.hex()}/tombstone-{run.hex()}"
        self.put(name, sign(b"HFV1TOMB" + (vault or self.id) + session + run
                            + (maintainer or self.maintainer) + u64(1),
                            seed or self.maintainer_seed))
        return name

    def closing(self, run, rows, maintainer=None, seed=None, vault=None, magic=b"HFV1CLOS"):
        name = f"collections/{run.hex()}/closing"
        self.put(name, sign(magic + (vault or self.id) + run + (maintainer or self.maintainer)
                            + u64(1) + u32(0) + u32(len(rows)) + b"".join(rows),
                            seed or self.maintainer_seed))
        return name

    def replace_pack(self, name, change, vault=None, domain=None):
        """Takes a pack apart, lets change(parts) at it, and puts the result in its place, with every
        hash that needs no key made right: footer, name, edges, index runs. Returns the new name."""
        own_domain, kind, parts = decode_parts(self.store, self.id, name)
        parts = change(parts) or parts
        data, footer = encode_pack(vault or self.id, domain or own_domain, kind, parts)
        old, new = bytes.fromhex(name[-64:]), crypto.sha256(footer)
        self.remove(name)
        new_name = name[:-64] + new.hex()
        self.put(new_name, data)
        for run in self.store.list("index"):
            content = self.get(run)
            if old in content:
                content = content.replace(old, new)
                self.remove(run)
                self.put(run[:-64] + crypto.sha256(content).hex(), content)
        return new_name

    def manifest(self, sequence, wrap, session_key, seed=None, domain=None, vault=None,
                 name=b"documents", root=None, previous=(0, bytes(32))):
        """A manifest with everything right unless told otherwise."""
        domain, vault = domain or self.domain, vault or self.id
        body = (b"\x01" + block(name) + block(b"host") + listed([block(b"/etc")]) + u64(1) + u64(2)
                + bytes(6) + block(b"forge") + block(b"files") + bytes(2))
        associated = b"HFV1MANI" + vault + domain + wrap.item + u64(sequence) + wrap.session
        signed = (b"HFV1MANI" + vault + domain + encode_wrap(wrap) + u64(sequence) + u64(0)
                  + bytes(32) + u64(previous[0]) + previous[1] + u64(1_800_000_000 * 10**9) + b"\0"
                  + u64(17) + listed([root or self.vectors["map.root.id"]]) + b"\0" + b"\0" + b"\0"
                  + block(seal(crypto.body_key(session_key), body, associated)))
        return sign(signed, seed or self.signing_seed)

    def roster(self, sequence, seed=None, recovery_key=None, extra_domain=None, roster_key=None):
        """A roster of generation 1, of the vault's agent."""
        seed, key = seed or self.vault_seed, roster_key or self.roster_key
        signing_key = crypto.ed25519_public(self.signing_seed)
        v, k = self.vectors, keys
        domains = [(self.domain, v["keys.id_key"] + v["keys.chunker_secret"])]
        if extra_domain:
            domains.append((extra_domain, bytes(64)))
        signed = (b"HFV1ROST" + self.id + u64(sequence) + u32(1) + crypto.ed25519_public(seed)
                  + (recovery_key or self.recovery_public)
                  + crypto.sha256(self.get("roster/0000000002")) + u64(0)
                  + listed([d + block(seal(key, plain, k.domain_associated(self.id, d)))
                            for d, plain in domains])
                  + listed([self.agent + signing_key + b"\x01" + u64(0)
                            + block(seal(key, v["keys.item_secret"] + b"host1",
                                         k.agent_associated(self.id, self.agent, signing_key)))
                            + listed([self.domain + block(seal(
                                key, self.agent_secret,
                                k.membership_associated(self.id, self.agent, signing_key,
                                                        self.domain)))])]))
        return sign(signed, seed)
