"""The algorithms of docs/formats/README.md and what keys.md builds from them."""

import hashlib
import hmac as _hmac

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .wire import Refused, refuse_if, u64

NONCE_BYTES, TAG_BYTES = 12, 16
KEM_X25519 = 0x0020
KEM_X25519_BYTES = 32
SCRYPT_LOG2_N, SCRYPT_R, SCRYPT_P = range(17, 23), 8, 1


def sha256(data):
    return hashlib.sha256(data).digest()


def hmac(key, message):
    return _hmac.digest(key, message, "sha256")


def extract(salt, ikm):
    return hmac(salt, ikm)


def expand(prk, info, size=32):
    out, block = b"", b""
    for i in range((size + 31) // 32):
        block = hmac(prk, block + info + bytes([i + 1]))
        out += block
    return out[:size]


def open_sealed(key, nonce, sealed, associated, what):
    try:
        return AESGCM(key).decrypt(nonce, bytes(sealed), associated)
    except (InvalidTag, ValueError):
        raise Refused(f"{what}: does not authenticate") from None


def open_with_nonce(key, sealed, associated, what):
    """The usual form: nonce || ciphertext || tag."""
    refuse_if(len(sealed) < NONCE_BYTES + TAG_BYTES, f"{what}: too short to be sealed")
    return open_sealed(key, sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], associated, what)


def verifies(public_key, signature, message):
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def check_signature(public_key, signature, message, what):
    refuse_if(not verifies(public_key, signature, message), f"{what}: the signature does not verify")


def _raw(public_key):
    return public_key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def ed25519_public(seed):
    return _raw(Ed25519PrivateKey.from_private_bytes(seed).public_key())


def x25519_public(private):
    return _raw(X25519PrivateKey.from_private_bytes(private).public_key())


def x25519(private, public):
    try:
        return X25519PrivateKey.from_private_bytes(private).exchange(
            X25519PublicKey.from_public_bytes(public))
    except ValueError:  # a shared secret of zeros, or another length
        raise Refused("the encapsulated key is not usable") from None


# --- Key slots -------------------------------------------------------------------------------

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def recovery_code_bytes(text):
    """The 20 bytes of a recovery code, or None if the text (bytes) is no code."""
    value, digits = 0, 0
    for c in text.decode("latin-1"):
        if c in " \t\n\v\f\r-":
            continue
        # Not upper(): it would make ASCII of other letters.
        c = chr(ord(c) - 32) if "a" <= c <= "z" else c
        digit = CROCKFORD.find({"O": "0", "I": "1", "L": "1"}.get(c, c))
        if digit < 0:
            return None
        value, digits = value << 5 | digit, digits + 1
    return value.to_bytes(20, "big") if digits == 32 else None


def recovery_code_key(code, salt):
    return expand(extract(salt, code), b"holdfast v1 recovery code")


def passphrase_key(passphrase, salt, log2_n, r, p):
    """The cost comes from the vault, so it is checked before anything is spent."""
    refuse_if(log2_n not in SCRYPT_LOG2_N or r != SCRYPT_R or p != SCRYPT_P,
              f"scrypt with 2^{log2_n}, {r}, {p} is not allowed")
    # Not hashlib's: that one stops at 2 GiB, which is less than 2^21 needs.
    return Scrypt(salt=salt, length=32, n=1 << log2_n, r=r, p=p).derive(passphrase)


# --- Session keys: HPKE in mode PSK, export only (keys.md, "Session key") --------------------

_KEM_SUITE = b"KEM\x00\x20"
_HPKE_SUITE = b"HPKE\x00\x20\x00\x01\xff\xff"


def _labeled_extract(suite, salt, label, ikm):
    return extract(salt, b"HPKE-v1" + suite + label + ikm)


def _labeled_expand(suite, prk, label, info):
    return expand(prk, b"\x00\x20HPKE-v1" + suite + label + info)


def hpke_export(dh, enc, recovery_public, info, psk, psk_id):
    """What both sides compute from the result of X25519."""
    eae_prk = _labeled_extract(_KEM_SUITE, b"", b"eae_prk", dh)
    shared_secret = _labeled_expand(_KEM_SUITE, eae_prk, b"shared_secret", enc + recovery_public)
    context = (b"\x01" + _labeled_extract(_HPKE_SUITE, b"", b"psk_id_hash", psk_id)
               + _labeled_extract(_HPKE_SUITE, b"", b"info_hash", info))
    secret = _labeled_extract(_HPKE_SUITE, shared_secret, b"secret", psk)
    exporter = _labeled_expand(_HPKE_SUITE, secret, b"exp", context)
    return _labeled_expand(_HPKE_SUITE, exporter, b"sec", b"holdfast v1 session key")


def session_info(vault, domain, item, session):
    return b"holdfast v1 session" + vault + domain + item + session


def session_key(recovery_private, enc, info, agent_secret, agent):
    return hpke_export(x25519(recovery_private, enc), enc, x25519_public(recovery_private), info,
                       agent_secret, agent)


def body_key(session_key_):
    return expand(session_key_, b"holdfast v1 point body")


def segment_key(session_key_, counter, refs_hash, codec):
    return expand(session_key_, b"holdfast v1 segment" + u64(counter) + refs_hash + bytes([codec]))
