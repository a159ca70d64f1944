"""vmcore.elf.zst and vmcore.elf.lz4, from docs/formats/vmcore-elf-zst.md."""

import bisect
import json
import struct
import zlib

import frames
from frames import CutOff, Wrong
from pages_map import PagesMap

OURS, TABLE = 0x184D2A5A, 0x184D2A5E
MAGIC = {0x8F92EAB1: "zstd", 0x344C5041: "lz4"}
PAGE = 4096
FRAME = 256 << 10
PT_LOAD, PT_NOTE = 1, 4


class Core:
    """A core in frames. `unzstd(frame, length)` unpacks a Zstandard frame."""

    def __init__(self, data, unzstd):
        self.data, self.unzstd = data, unzstd
        # Offset in the file, length there, offset of the content, its length, its checksum.
        self.frames, self.attached, self.table = [], {}, None
        self.codec = "lz4" if frames.u32(data, 0) == frames.LZ4 else "zstd"
        self.cut = not self.by_table()
        if self.cut:
            self.by_walking()
        self.starts = [frame[2] for frame in self.frames]
        self.length = sum(frame[3] for frame in self.frames)
        self.cached = (None, b"")
        self.elf()

    def by_table(self):
        data = self.data
        if len(data) < 17:
            return False
        count, flags, magic = struct.unpack_from("<IBI", data, len(data) - 9)
        start = len(data) - 9 - 12 * count - 8
        if magic not in MAGIC or start < 0:
            return False
        if MAGIC[magic] != self.codec or flags != 0x80:
            raise Wrong("the footer")
        if struct.unpack_from("<II", data, start) != (TABLE, 12 * count + 9):
            raise Wrong("the header of the seek table")
        at = content = 0
        for packed, plain, checksum in struct.iter_unpack("<III", data[start + 8 : len(data) - 9]):
            self.frames.append((at, packed, content, plain, checksum))
            at, content = at + packed, content + plain
        if at != start:
            raise Wrong("the table begins at %d, and its frames end at %d" % (start, at))
        self.table = (start, len(data) - start)
        while self.frames and self.frames[-1][3] == 0:
            at, packed = self.frames.pop()[:2]
            self.attachment(data[at : at + packed], content, len(self.frames))
        return True

    def by_walking(self):
        at = content = 0
        try:
            while at < len(self.data):
                packed, plain, checksum = frames.frame_length(self.data, at)
                if at + packed > len(self.data):
                    break
                if plain:
                    self.frames.append((at, packed, content, plain, checksum))
                at, content = at + packed, content + plain
        except CutOff:
            pass

    def attachment(self, frame, content, number):
        magic, length = struct.unpack_from("<II", frame, 0)
        tag = bytes(frame[8:16])
        if magic != OURS or length + 8 != len(frame):
            raise Wrong("a skippable frame")
        if tag == b"APindex1":
            return self.checkpoints(frame)
        body = bytes(frame[16:-4])
        if zlib.crc32(body) != frames.u32(frame, len(frame) - 4):
            raise Wrong("the checksum of %r" % tag)
        self.attached[tag] = body

    def checkpoints(self, frame):
        stride, zero, count = struct.unpack_from("<IIQ", frame, 16)
        pairs = list(struct.iter_unpack("<QQ", frame[32:]))
        # What stands before this frame was not taken from the list yet.
        index_at = sum(entry[1] for entry in self.frames)
        content = sum(entry[3] for entry in self.frames)
        expected = [(f[0], f[2]) for f in self.frames[::stride]] + [(index_at, content)]
        if zero != 0 or count != len(self.frames) or pairs != expected:
            raise Wrong("the checkpoints")

    def content(self, number):
        """The content of a frame, checked."""
        if self.cached[0] == number:
            return self.cached[1]
        at, packed, _, plain, checksum = self.frames[number]
        length, content, own = frames.frame_length(self.data, at)
        if (length, content, own) != (packed, plain, checksum) or plain > FRAME:
            raise Wrong("the table's entry %d" % number)
        frame = self.data[at : at + packed]
        body = frames.lz4_content(frame) if self.codec == "lz4" else self.unzstd(frame, plain)
        if len(body) != plain:
            raise Wrong("the length of frame %d" % number)
        self.cached = (number, body)
        return body

    def read(self, offset, length):
        """Bytes of the content."""
        out = bytearray()
        if offset + length > self.length:
            raise CutOff()
        number = bisect.bisect_right(self.starts, offset) - 1
        while len(out) < length:
            inside = offset + len(out) - self.starts[number]
            out += self.content(number)[inside : inside + length - len(out)]
            number += 1
        return bytes(out)

    def elf(self):
        header = self.read(0, 64)
        kind, self.machine, _, _, phoff, shoff = struct.unpack_from("<HHIQQQ", header, 16)
        count = struct.unpack_from("<H", header, 56)[0]
        if header[:7] != b"\x7fELF\x02\x01\x01" or kind != 4:
            raise Wrong("no ELF64 core")
        if count == 0xFFFF:
            count = struct.unpack_from("<I", self.read(shoff, 64), 44)[0]
        table = self.read(phoff, 56 * count)
        segments = list(struct.iter_unpack("<IIQQQQQQ", table))
        notes = segments[0]
        if notes[0] != PT_NOTE or notes[7] != 0 or notes[5] != notes[6]:
            raise Wrong("the first program header")
        if [s for s in segments[1:] if s[0] != PT_LOAD or s[5] != s[6]]:
            raise Wrong("a program header")
        self.notes = list(read_notes(self.read(notes[2], notes[5])))
        pages_at = notes[2] + notes[5]
        pages_at += -pages_at % PAGE
        # Virtual address, physical address, offset, length.
        loads = [(s[3], s[4], s[2], s[5]) for s in segments[1:]]
        first = [i for i, load in enumerate(loads) if load[2] == pages_at]
        direct = first[-1] if first else len(loads)
        self.image, self.loads = loads[:direct], loads[direct:]
        self.check_loads(pages_at)

    def check_loads(self, at):
        before = 0
        for i, (vaddr, paddr, offset, length) in enumerate(self.loads):
            if offset != at or (i > 0 and paddr <= before):
                raise Wrong("run %d is not where the run before it ends" % i)
            at, before = at + length, paddr + length
        if not self.cut and at != self.length:
            raise Wrong("the pages end at %d, the content at %d" % (at, self.length))
        for _, paddr, offset, length in self.image:
            found = self.find(paddr)
            if found is None or found[0] != offset or found[1] < length:
                raise Wrong("a segment of the kernel image shows other bytes")

    def find(self, paddr):
        """The offset of a physical address in the content, and how many bytes follow in its run."""
        i = bisect.bisect_right([load[1] for load in self.loads], paddr) - 1
        if i < 0 or paddr >= self.loads[i][1] + self.loads[i][3]:
            return None
        inside = paddr - self.loads[i][1]
        return self.loads[i][2] + inside, self.loads[i][3] - inside

    def pages(self):
        """Each page in the core: its number and its bytes, as far as the file goes."""
        for _, paddr, offset, length in self.loads:
            for inside in range(0, length, PAGE):
                if offset + inside + PAGE > self.length:
                    return
                yield (paddr + inside) // PAGE, self.read(offset + inside, PAGE)

    def own(self):
        """The lines of our note."""
        for owner, kind, text in self.notes:
            if (owner, kind) == (b"AFTERPANIC", 0x41504E31):
                lines = text.decode().splitlines()
                return dict(line.split("=", 1) for line in lines if "=" in line)
        return {}

    def trailer(self):
        body = self.attached.get(b"APtrail1")
        return None if body is None else json.loads(body.decode())

    def map(self):
        body = self.attached.get(b"APpgmap1")
        return None if body is None else PagesMap(body, self.unzstd)


def read_notes(data):
    at = 0
    while at + 12 <= len(data):
        names, descs, kind = struct.unpack_from("<III", data, at)
        at += 12
        name = data[at : at + names].rstrip(b"\0")
        at += names + -names % 4
        yield name, kind, data[at : at + descs]
        at += descs + -descs % 4
