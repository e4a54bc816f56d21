"""Packs, segments and index runs: pack.md, segment.md, index.md. Nothing here knows a chunk's id
to be right; chunks.py compares that."""

import dataclasses
import struct

import zstandard

from . import crypto, keys
from .wire import CHUNK_BYTES_MAX, MIB, U32_MAX, Cursor, Refused, refuse_if, u32, u64

DATA, NODE, ATTRIBUTES = 1, 2, 3  # kinds of chunks
DATA_PACK, METADATA_PACK = 1, 2
RAW, ZSTD = 0, 1

PACK_BYTES_MAX = 128 * MIB
PACK_MAGIC, END_MAGIC = b"HFV1PACK", b"HFV1FEND"
FOOTER_BYTES_MAX = 64 * MIB
SEGMENTS_MAX = 65_535
CHUNKS_MAX = 524_288
WRAPS_MAX = 4_096
EDGES_MAX = 65_535  # of a chunk
SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX = 1, 12 * MIB
SEGMENT_CHUNKS_MAX = 16_384
SEGMENT_CONTENT_MAX = 9_043_968
SEGMENT_NONCE = bytes(12)
ID_BYTES = 32


@dataclasses.dataclass
class Segment:
    offset: int  # in the pack
    stored: int
    wrap: keys.Wrap
    codec: int
    counter: int
    hash: bytes
    ids: list
    kinds: list
    edge_ranges: list  # for each chunk (first, count), numbers of edges of the pack


@dataclasses.dataclass
class Footer:
    kind: int
    domain: bytes
    segments: list
    edges_offset: int
    edges_bytes: int
    edges_hash: bytes


def decode_footer(data, vault, pack_bytes):
    """The footer of a pack of that size. Its hash is the caller's to compare with the name."""
    c = Cursor(data, "footer")
    c.expect(b"HFV1FOOT", "magic")
    kind = c.u8()
    c.refuse_if(kind not in (DATA_PACK, METADATA_PACK), f"unknown kind {kind}")
    c.reserved(3)
    c.expect(vault, "vault")
    domain = c.take(16)
    wrap_count, segment_count, chunk_count = c.u32(), c.u32(), c.u32()
    c.refuse_if(wrap_count > WRAPS_MAX or segment_count > SEGMENTS_MAX or chunk_count > CHUNKS_MAX,
                "too many key wraps, segments or chunks")
    edges_hash = c.take(32)
    wraps = [keys.read_wrap(c) for _ in range(wrap_count)]
    records = [_segment_record(c, wraps) for _ in range(segment_count)]
    c.refuse_if(sum(r[-1] for r in records) != chunk_count, "chunk counts do not add up")
    ids = [c.take(ID_BYTES) for _ in range(chunk_count)]
    if kind == METADATA_PACK:
        kinds = list(c.take(chunk_count))
        edge_counts = struct.unpack(f"<{chunk_count}I", c.take(4 * chunk_count))
        c.refuse_if(any(k not in (NODE, ATTRIBUTES) for k in kinds), "a kind that is no metadata")
        c.refuse_if(any(n > (EDGES_MAX if k == NODE else 0) for k, n in zip(kinds, edge_counts)),
                    "too many edges")
    else:
        kinds, edge_counts = [DATA] * chunk_count, [0] * chunk_count
        c.refuse_if(any(edges_hash), "a data pack with an edges hash")
    c.refuse_if(c.u32() != len(data), "another length than its own")
    c.expect(END_MAGIC, "end")
    c.finish()

    segments, offset, chunk, edge = [], len(PACK_MAGIC), 0, 0
    for stored, wrap, codec, counter, digest, count in records:
        ranges = []
        for n in edge_counts[chunk:chunk + count]:
            ranges.append((edge, n))
            edge += n
        segments.append(Segment(offset, stored, wrap, codec, counter, digest,
                                ids[chunk:chunk + count], kinds[chunk:chunk + count], ranges))
        offset, chunk = offset + stored, chunk + count
    refuse_if(pack_bytes != offset + edge * ID_BYTES + len(data),
              "footer: it does not fill the pack exactly")
    return Footer(kind, domain, segments, offset, edge * ID_BYTES, edges_hash)


def _segment_record(c, wraps):
    stored, wrap, codec = c.u32(), c.u16(), c.u8()
    c.refuse_if(not SEGMENT_BYTES_MIN <= stored <= SEGMENT_BYTES_MAX, f"a segment of {stored} bytes")
    c.refuse_if(wrap >= len(wraps), "a segment without a key wrap")
    c.refuse_if(codec not in (RAW, ZSTD), f"unknown codec {codec}")
    c.reserved(1)
    counter, count, digest = c.u64(), c.u32(), c.take(32)
    c.refuse_if(not 1 <= count <= SEGMENT_CHUNKS_MAX, f"a segment of {count} chunks")
    return stored, wraps[wrap], codec, counter, digest, count


class Pack:
    """A pack whose footer was compared with its name, and its edges, read when first asked for."""

    def __init__(self, store, vault, name):
        """Refused if there is no such pack or its footer is not right."""
        self.store, self.name = store, name
        size = store.size(name)
        refuse_if(size is None, f"{name}: no such object")
        refuse_if(size > PACK_BYTES_MAX, f"{name}: too large")
        refuse_if(size < len(PACK_MAGIC) + 12, f"{name}: too short")
        self._expect(0, PACK_MAGIC)
        tail = self._read(size - 12, 12)
        refuse_if(tail[4:] != END_MAGIC, f"{name}: it does not end like a pack")
        footer_bytes = int.from_bytes(tail[:4], "little")
        refuse_if(not 12 <= footer_bytes <= min(FOOTER_BYTES_MAX, size - len(PACK_MAGIC)),
                  f"{name}: a footer of {footer_bytes} bytes")
        footer = self._read(size - footer_bytes, footer_bytes)
        refuse_if(crypto.sha256(footer).hex() != name.rsplit("/", 1)[1],
                  f"{name}: the footer is not that of the name")
        self.vault, self._edges = vault, None
        try:
            self.footer = decode_footer(footer, vault, size)
        except Refused as refused:
            raise Refused(f"{name}: {refused}") from None

    def _read(self, offset, size):
        data = self.store.read(self.name, offset, size)
        refuse_if(data is None, f"{self.name}: no such object")
        refuse_if(len(data) != size, f"{self.name}: it ends too early")
        return data

    def _expect(self, offset, expected):
        refuse_if(self._read(offset, len(expected)) != expected, f"{self.name}: another magic")

    def edges(self):
        """All edges, checked against the footer."""
        f = self.footer
        if f.kind == DATA_PACK:
            return b""
        if self._edges is None:
            edges = self._read(f.edges_offset, f.edges_bytes)
            refuse_if(crypto.sha256(edges) != f.edges_hash, f"{self.name}: the edges are not right")
            self._edges = edges
        return self._edges

    def chunk_edges(self, segment, chunk):
        first, count = segment.edge_ranges[chunk]
        edges = self.edges()[ID_BYTES * first:ID_BYTES * (first + count)]
        return [edges[i:i + ID_BYTES] for i in range(0, len(edges), ID_BYTES)]

    def open_segment(self, segment, session_keys):
        """The bytes of its chunks, in order."""
        chunks = [(kind, chunk_id, self.chunk_edges(segment, i))
                  for i, (kind, chunk_id) in enumerate(zip(segment.kinds, segment.ids))]
        stored = self._read(segment.offset, segment.stored)
        try:
            key = session_keys.of(segment.wrap, self.footer.domain)
            plain = open_segment(stored, key, self.vault, self.footer.domain, segment, chunks)
            return split_segment(plain, segment.codec, len(chunks))
        except Refused as refused:
            whole = crypto.sha256(stored) == segment.hash
            raise Refused(f"{self.name}, at {segment.offset}: {refused}"
                          + ("" if whole else " (the stored bytes are damaged)")) from None


# --- Segments --------------------------------------------------------------------------------

def refs_hash(chunks):
    """Of (kind, id, edges) of each chunk in order."""
    return crypto.sha256(b"".join(bytes([kind]) + chunk_id + u32(len(edges)) + b"".join(edges)
                                  for kind, chunk_id, edges in chunks))


def segment_associated(vault, domain, session, counter, codec, refs):
    return b"HFV1SEGM" + vault + domain + session + u64(counter) + bytes([codec]) + refs


def open_segment(stored, session_key, vault, domain, segment, chunks):
    refuse_if(len(stored) < crypto.TAG_BYTES, "segment: too short")
    refs = refs_hash(chunks)
    key = crypto.segment_key(session_key, segment.counter, refs, segment.codec)
    associated = segment_associated(vault, domain, segment.wrap.session, segment.counter,
                                    segment.codec, refs)
    return crypto.open_sealed(key, SEGMENT_NONCE, stored, associated, "segment")


def split_segment(plain, codec, count):
    c = Cursor(plain, "segment")
    payload_bytes = c.u32()
    lengths = struct.unpack(f"<{count}I", c.take(4 * count))
    total = sum(lengths)
    c.refuse_if(max(lengths) > CHUNK_BYTES_MAX or total > SEGMENT_CONTENT_MAX, "chunks too long")
    payload = c.take(payload_bytes)
    c.refuse_if(any(c.take(c.left)), "the padding is not zero")
    content = payload if codec == RAW else decompress(payload, total)
    c.refuse_if(len(content) != total, "another length than that of its chunks")
    chunks, at = [], 0
    for length in lengths:
        chunks.append(content[at:at + length])
        at += length
    return chunks


def decompress(frame, total):
    """One zstd frame that gives exactly so many bytes. Fed in small pieces, so that a frame which
    claims more does not eat the machine."""
    out, size, at = [], 0, 0
    try:
        stream = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
        while at < len(frame) and not stream.eof and size <= total:
            piece = stream.decompress(frame[at:at + 1024])
            out.append(piece)
            size, at = size + len(piece), at + 1024
    except zstandard.ZstdError as error:
        raise Refused(f"segment: {error}") from None
    refuse_if(size != total or not stream.eof or stream.unused_data or at < len(frame),
              "segment: it does not decompress to exactly its chunks")
    return b"".join(out)


# --- Index runs ------------------------------------------------------------------------------

INDEX_HEADER_BYTES, INDEX_PACK_BYTES, INDEX_FILTER_BYTES, INDEX_ENTRY_BYTES = 72, 64, 32, 20
FILTER_SALTS = (0x47b6137b, 0x44974d91, 0x8824ad5b, 0xa2b7289d, 0x705495c7, 0x2df1424b, 0x9efc4947,
                0x5c6bfb31)


class IndexRun:
    """A run: hints only. Kept as bytes and searched in place."""

    def __init__(self, data, vault, domain):
        c = Cursor(data[:INDEX_HEADER_BYTES], "index run")
        c.expect(b"HFV1INDX", "magic")
        c.expect(vault, "vault")
        c.expect(domain, "domain")
        self.count, pack_count, self.filter_blocks = c.u64(), c.u32(), c.u32()
        c.expect(b"\x0c", "number of id bytes")
        self.bucket_bits = c.u8()
        c.reserved(14)
        c.refuse_if(self.count > U32_MAX or self.filter_blocks == 0 or self.bucket_bits > 28,
                    "a number over its limit")
        self.data = data
        self.filter_at = INDEX_HEADER_BYTES + INDEX_PACK_BYTES * pack_count
        self.buckets_at = self.filter_at + INDEX_FILTER_BYTES * self.filter_blocks
        self.entries_at = self.buckets_at + 4 * ((1 << self.bucket_bits) + 1)
        c.refuse_if(len(data) != self.entries_at + INDEX_ENTRY_BYTES * self.count, "another length")
        c = Cursor(data[INDEX_HEADER_BYTES:self.filter_at], "index run")
        self.packs = [self._pack(c) for _ in range(pack_count)]

    @staticmethod
    def _pack(c):
        session, digest, size, footer_bytes, kind = (c.take(16), c.take(32), c.u64(), c.u32(),
                                                     c.u8())
        c.reserved(3)
        c.refuse_if(size > PACK_BYTES_MAX or footer_bytes > min(FOOTER_BYTES_MAX, size - 8)
                    or kind not in (DATA_PACK, METADATA_PACK), "a pack beyond the limits")
        return f"packs/{session.hex()}/{digest.hex()}"

    def _u32(self, at):
        return int.from_bytes(self.data[at:at + 4], "little")

    def may_have(self, chunk_id):
        a, b = struct.unpack("<II", chunk_id[4:12])
        block = self.filter_at + INDEX_FILTER_BYTES * (a * self.filter_blocks >> 32)
        return all(self._u32(block + 4 * w) >> ((b * salt & U32_MAX) >> 27) & 1
                   for w, salt in enumerate(FILTER_SALTS))

    def find(self, chunk_id):
        """Candidates: (pack's name, segment, chunk)."""
        if not self.may_have(chunk_id):
            return
        prefix = chunk_id[:12]
        bucket = int.from_bytes(chunk_id[:4], "big") >> 32 - self.bucket_bits
        low, high = (min(self._u32(self.buckets_at + 4 * (bucket + i)), self.count) for i in (0, 1))
        while low < high:
            middle = (low + high) // 2
            at = self.entries_at + INDEX_ENTRY_BYTES * middle
            if self.data[at:at + 12] < prefix:
                low = middle + 1
            else:
                high = middle
        for i in range(low, self.count):
            at = self.entries_at + INDEX_ENTRY_BYTES * i
            if self.data[at:at + 12] != prefix:
                return
            pack, segment, chunk = struct.unpack("<IHH", self.data[at + 12:at + 20])
            if pack < len(self.packs):
                yield self.packs[pack], segment, chunk
