"""The stream on a raw target, read as docs/formats/raw-target.md has it."""

import os
import struct
import zlib

from frames import Wrong

BLOCK = 4096
FIRST = 1 << 20
TAIL = 128 << 10


def block(device, at):
    device.seek(at)
    data = device.read(BLOCK)
    if len(data) != BLOCK or zlib.crc32(data[:-4]) != struct.unpack("<I", data[-4:])[0]:
        return None
    return data


def entries(device):
    """Kind, name, place and length of each entry, in order."""
    head = block(device, 0)
    if head is None or head[:16] != b"AFTERPANIC-RAW\n\0":
        raise Wrong("no header")
    version, state, number, size = struct.unpack("<IIQQ", head[16:40])
    if version != 1:
        raise Wrong("version %d" % version)
    if state != 1:
        return
    at, end = FIRST, min(size, device.seek(0, os.SEEK_END)) - TAIL
    while at < end:
        data = block(device, at)
        if data is None or data[:16] != b"AFTERPANIC-ENTRY":
            return
        own, length, kind, long = struct.unpack("<QQII", data[16:40])
        if own != number:
            return
        yield kind, data[40 : 40 + long].decode(), at + BLOCK, length
        at = (at + BLOCK + length + BLOCK - 1) // BLOCK * BLOCK


def unpack(path, to):
    """Makes the crash directory in `to`; answers its name."""
    name, files = None, {}
    with open(path, "rb") as device:
        for kind, text, at, length in entries(device):
            if kind == 1:
                name = text
            elif kind == 2:
                files[text] = (at, length)
        if name is None or "/" in name:
            raise Wrong("no directory")
        for text, (at, length) in files.items():
            if text.startswith("/") or ".." in text.split("/"):
                raise Wrong("a name that climbs")
            place = os.path.join(to, name, text)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            device.seek(at)
            with open(place, "wb") as out:
                out.write(device.read(length))
    return name
