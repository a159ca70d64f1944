"""Zstandard and LZ4 frames: how long they are, what they hold, and whether their checksums are right.

Facts: RFC 8878, lz4_Frame_format.md, lz4_Block_format.md, the XXH32 specification.
"""

import ctypes
import ctypes.util
import functools
import shutil
import struct
import subprocess


class Wrong(Exception):
    """The file is not as its page says."""


class CutOff(Exception):
    """The file ends inside something."""


class Missing(Exception):
    """This machine lacks what the reader needs."""


SKIPPABLE = range(0x184D2A50, 0x184D2A60)
ZSTD, LZ4 = 0xFD2FB528, 0x184D2204


def u32(data, at):
    if at + 4 > len(data):
        raise CutOff()
    return struct.unpack_from("<I", data, at)[0]


def number(data, at, length):
    if at + length > len(data):
        raise CutOff()
    return int.from_bytes(data[at : at + length], "little")


def frame_length(data, at):
    """The length of the frame at an offset, the length of its content, and the frame's own checksum."""
    magic = u32(data, at)
    if magic in SKIPPABLE:
        return 8 + u32(data, at + 4), 0, 0
    walk = {ZSTD: zstd_length, LZ4: lz4_length}.get(magic)
    if walk is None:
        raise Wrong("no frame begins at %d" % at)
    end, content = walk(data, at)
    return end - at, content, u32(data, end - 4)


def zstd_length(data, at):
    descriptor = number(data, at + 4, 1)
    single, checksum = descriptor >> 5 & 1, descriptor >> 2 & 1
    size_bytes = (single, 2, 4, 8)[descriptor >> 6]
    if not checksum or not size_bytes:
        raise Wrong("the frame at %d tells no checksum or no length" % at)
    at += 5 + (1 - single) + (0, 1, 2, 4)[descriptor & 3]
    content = number(data, at, size_bytes) + (256 if size_bytes == 2 else 0)
    at += size_bytes
    last = 0
    while not last:
        header = number(data, at, 3)
        last, kind, size = header & 1, header >> 1 & 3, header >> 3
        if kind == 3:
            raise Wrong("a block of the reserved type at %d" % at)
        at += 3 + (1 if kind == 1 else size)
    return at + 4, content


def lz4_length(data, at):
    flags = number(data, at + 4, 1)
    # Version 1, independent blocks, content length, content checksum, no dictionary.
    if flags & 0b11101101 != 0b01101100:
        raise Wrong("the LZ4 frame at %d has the flags %#x" % (at, flags))
    content = number(data, at + 6, 8)
    at += 15
    while True:
        size = u32(data, at)
        at += 4
        if size == 0:
            return at + 4, content
        at += (size & 0x7FFFFFFF) + (4 if flags & 0x10 else 0)


def lz4_content(frame):
    flags, content = frame[4], number(frame, 6, 8)
    at, out = 15, bytearray()
    while True:
        size = u32(frame, at)
        at += 4
        if size == 0:
            break
        raw, size = size >> 31, size & 0x7FFFFFFF
        block = frame[at : at + size]
        out += block if raw else lz4_block(block)
        at += size + (4 if flags & 0x10 else 0)
    out = bytes(out)
    if len(out) != content or xxh32(out) != u32(frame, at):
        raise Wrong("an LZ4 frame does not hold what it says")
    return out


# Many frames of a core hold the same.
@functools.lru_cache(maxsize=8)
def lz4_block(block):
    out, at = bytearray(), 0

    def more(length, at):
        while length >= 15:
            byte = number(block, at, 1)
            length, at = length + byte, at + 1
            if byte < 255:
                break
        return length, at

    while at < len(block):
        token = block[at]
        length, at = more(token >> 4, at + 1)
        out += block[at : at + length]
        at += length
        if at >= len(block):
            break
        offset = number(block, at, 2)
        length, at = more(token & 15, at + 2)
        length += 4
        if not 0 < offset <= len(out):
            raise Wrong("an LZ4 block refers to what is before it")
        piece = out[-offset:][:length]
        while len(piece) < length:
            piece += piece[: length - len(piece)]
        out += piece
    return bytes(out)


@functools.lru_cache(maxsize=8)
def xxh32(data):
    one, two, three, four, five = 2654435761, 2246822519, 3266489917, 668265263, 374761393
    mask = 0xFFFFFFFF

    def turn(value, by):
        return (value << by | value >> 32 - by) & mask

    whole = len(data) // 16 * 16
    if whole:
        a, b, c, d = (one + two) & mask, two, 0, -one & mask
        for w, x, y, z in struct.iter_unpack("<4I", data[:whole]):
            a = (a + w * two) & mask
            a = ((a << 13 | a >> 19) * one) & mask
            b = (b + x * two) & mask
            b = ((b << 13 | b >> 19) * one) & mask
            c = (c + y * two) & mask
            c = ((c << 13 | c >> 19) * one) & mask
            d = (d + z * two) & mask
            d = ((d << 13 | d >> 19) * one) & mask
        value = turn(a, 1) + turn(b, 7) + turn(c, 12) + turn(d, 18)
    else:
        value = five
    value = (value + len(data)) & mask
    at = whole
    while at + 4 <= len(data):
        value = (turn((value + u32(data, at) * three) & mask, 17) * four) & mask
        at += 4
    while at < len(data):
        value = (turn((value + data[at] * five) & mask, 11) * one) & mask
        at += 1
    value = ((value ^ value >> 15) * two) & mask
    value = ((value ^ value >> 13) * three) & mask
    return value ^ value >> 16


def zstd_decoder():
    """A function that unpacks one frame and checks its checksum, from what is there."""
    try:
        from compression import zstd  # Python 3.14

        return lambda frame, length: zstd.decompress(frame)
    except ImportError:
        pass
    for name in filter(None, (ctypes.util.find_library("zstd"), "libzstd.so.1")):
        try:
            return from_library(ctypes.CDLL(name))
        except (OSError, AttributeError):
            continue
    program = shutil.which("zstd")
    if program is None:
        raise Missing("zstd: no compression.zstd, libzstd.so.1 or program zstd")

    def decode(frame, length):
        done = subprocess.run([program, "-dcq"], input=frame, stdout=subprocess.PIPE)
        if done.returncode != 0:
            raise Wrong("zstd does not unpack a frame")
        return done.stdout

    return decode


def from_library(library):
    library.ZSTD_decompress.restype = ctypes.c_size_t
    library.ZSTD_decompress.argtypes = [
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_char_p,
        ctypes.c_size_t,
    ]
    library.ZSTD_isError.argtypes = [ctypes.c_size_t]

    def decode(frame, length):
        room = ctypes.create_string_buffer(max(length, 1))
        got = library.ZSTD_decompress(room, length, bytes(frame), len(frame))
        if library.ZSTD_isError(got):
            raise Wrong("libzstd does not unpack a frame")
        return room.raw[:got]

    return decode
