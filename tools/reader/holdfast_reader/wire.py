"""Numbers, blocks and lists as they stand in objects: docs/formats/README.md, "Conventions"."""

import struct

KIB, MIB = 1024, 1024 * 1024
OBJECT_BYTES_MAX = 64 * MIB  # of any object that is neither a pack nor an index run
TEXT_BYTES_MAX = 64 * KIB  # of an item's name, a host, a program, a reason
LABEL_BYTES_MAX = 255
PATH_BYTES_MAX = 4 * MIB
CHUNK_BYTES_MAX = 8 * MIB
SIZE_MAX = 2**63 - 1
U32_MAX, U64_MAX = 2**32 - 1, 2**64 - 1


class Refused(Exception):
    """Some bytes break a rule of the pages. Whoever asked for them decides what else there is."""


class Stop(Exception):
    """Going on would mean to believe less than what is there: the reading ends."""


def refuse_if(broken, why):
    if broken:
        raise Refused(why)


class Cursor:
    """Takes fields from the front of some bytes. Every method raises Refused where they end too
    early; finish() does where they go on."""

    def __init__(self, data, what):
        self.data, self.at, self.what = bytes(data), 0, what

    @property
    def left(self):
        return len(self.data) - self.at

    def refuse(self, why):
        raise Refused(f"{self.what}: {why}")

    def refuse_if(self, broken, why):
        if broken:
            self.refuse(why)

    def take(self, size):
        self.refuse_if(size > self.left, "it ends too early")
        self.at += size
        return self.data[self.at - size:self.at]

    def expect(self, expected, name):
        self.refuse_if(self.take(len(expected)) != expected, f"another {name}")

    def _number(self, layout):
        return struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout)))[0]

    def u8(self):
        return self._number("B")

    def u16(self):
        return self._number("H")

    def u32(self):
        return self._number("I")

    def u64(self):
        return self._number("Q")

    def i64(self):
        return self._number("q")

    time = i64

    def reserved(self, size):
        self.refuse_if(any(self.take(size)), "a reserved field is not zero")

    def varint(self, most=U64_MAX):
        value = 0
        for i in range(10):
            byte = self.u8()
            value |= (byte & 0x7F) << 7 * i
            if byte < 0x80:
                self.refuse_if(byte == 0 and i > 0, "a number is not in its shortest form")
                self.refuse_if(value > U64_MAX, "a number is over 64 bits")
                self.refuse_if(value > most, f"{value} is over {most}")
                return value
        self.refuse("a number is longer than ten bytes")

    def svarint(self):
        n = self.varint()
        return n >> 1 ^ -(n & 1)

    def block(self, most):
        return self.take(self.varint(most))

    text = block

    def count(self, item_bytes_min, most=U64_MAX):
        """The count of a list whose items take at least so many bytes each."""
        n = self.varint(most)
        self.refuse_if(n * item_bytes_min > self.left, f"no room for {n} items")
        return n

    def list(self, item, item_bytes_min, most=U64_MAX):
        return [item() for _ in range(self.count(item_bytes_min, most))]

    def ids(self, size):
        return self.list(lambda: self.take(size), size)

    def finish(self):
        self.refuse_if(self.left, f"{self.left} bytes are left over")


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def svarint(value):
    return varint((value << 1 ^ value >> 63) & U64_MAX)


def u16(value):
    return struct.pack("<H", value)


def u32(value):
    return struct.pack("<I", value)


def u64(value):
    return struct.pack("<Q", value)


def padme(size):
    """segment.md: what a writer pads a segment's stored length to."""
    if size < 2:
        return size
    e = size.bit_length() - 1
    b = e.bit_length()  # floor(log2 e) + 1; 0 for e = 0
    step = 1 << e - b if e > b else 1
    return (size + step - 1) // step * step
