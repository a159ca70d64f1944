"""pages.map, from docs/formats/pages-map.md."""

import struct
import zlib

from frames import CutOff, Wrong

KINDS = (
    "unknown free unaccepted cache cache-private anon hugetlb slab page-table typed hwpoison offline"
    " kernel reserved device"
).split()
GAP = 31
BLOCK = struct.Struct("<4sIIIQQII")


def name(number):
    return KINDS[number] if number < len(KINDS) else "unknown"


class PagesMap:
    """The runs, the counts of the end block, and whether the file was cut off."""

    def __init__(self, data, unzstd):
        self.data, self.unzstd = data, unzstd
        if data[:8] != b"APAGEMAP":
            raise Wrong("no pages.map")
        version, shift, zero, crc = struct.unpack_from("<HBBI", data, 8)
        if crc != zlib.crc32(data[:12]) or (version, zero) != (1, 0):
            raise Wrong("the file header")
        if shift != 12:
            raise Wrong("pages of another size")
        self.runs, self.counts, self.blocks, self.cut = [], None, [], True
        try:
            self.read()
        except CutOff:
            pass

    def read(self):
        at = 16
        while True:
            block, payload, after = self.block(at)
            magic, _, _, _, first, end, runs, _ = block
            if magic == b"END1":
                return self.end(payload, at, after, (first, end, runs))
            if magic != b"BLK1":
                raise Wrong("a block of another type at %d" % at)
            found = list(tokens(payload, first, end))
            if len(found) != runs or not found:
                raise Wrong("the block at %d has %d runs, not %d" % (at, len(found), runs))
            if found[0][0] != first or found[-1][1] != end:
                raise Wrong("the block at %d begins or ends elsewhere" % at)
            self.runs += found
            self.blocks.append((first, at))
            at = after

    def block(self, at):
        if at + BLOCK.size > len(self.data):
            raise CutOff()
        block = BLOCK.unpack_from(self.data, at)
        if block[7] != zlib.crc32(self.data[at : at + 36]):
            raise Wrong("the block header at %d" % at)
        stored = self.data[at + 40 : at + 40 + block[1]]
        if len(stored) < block[1]:
            raise CutOff()
        if zlib.crc32(stored) != block[3]:
            raise Wrong("the payload at %d" % at)
        payload = self.unzstd(stored, block[2])
        if len(payload) != block[2]:
            raise Wrong("the length of the payload at %d" % at)
        return block, payload, at + 40 + block[1]

    def end(self, payload, at, after, numbers):
        words = [word for (word,) in struct.iter_unpack("<Q", payload)]
        runs, blocks, kinds = words[:3]
        self.counts = {name(i): n for i, n in enumerate(words[3 : 3 + kinds])}
        index = list(zip(words[3 + kinds :: 2], words[4 + kinds :: 2]))
        if numbers != (0, 0, 0) or kinds != len(KINDS):
            raise Wrong("the end block")
        if (runs, blocks) != (len(self.runs), len(self.blocks)):
            raise Wrong("the end block counts %d runs in %d blocks" % (runs, blocks))
        if len(index) > 1024 or [entry for entry in index if entry not in self.blocks]:
            raise Wrong("the index names blocks that are not there")
        counted = dict.fromkeys(KINDS, 0)
        for first, last, kind in self.runs:
            counted[name(kind)] += last - first
        if counted != self.counts:
            raise Wrong("the counts of the end block")
        if after + 16 != len(self.data):
            raise Wrong("the tail does not follow the end block")
        offset, crc, magic = struct.unpack_from("<QI4s", self.data, after)
        if (offset, crc, magic) != (at, zlib.crc32(self.data[after : after + 8]), b"MAPE"):
            raise Wrong("the tail")
        self.cut = False


def tokens(payload, pfn, end):
    """Runs (first page, page after the last, number of the kind) without the gaps."""
    at, before = 0, None
    while at < len(payload):
        kind, pages = payload[at] & 31, payload[at] >> 5
        at += 1
        if pages == 0:
            shift = 0
            while True:
                if at >= len(payload):
                    raise Wrong("a token without its number")
                byte = payload[at]
                at, pages, shift = at + 1, pages | (byte & 127) << shift, shift + 7
                if byte < 128:
                    break
        if pages == 0 or kind == before or pfn + pages > end:
            raise Wrong("a token that cannot be")
        if kind != GAP:
            yield pfn, pfn + pages, kind
        pfn, before = pfn + pages, kind
