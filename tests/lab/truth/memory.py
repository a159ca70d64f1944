"""The memory of a core that QEMU wrote, for drgn, which does not find its way in it.

drgn 0.3.0 takes segments that say no address for the kernel's virtual ones, and follows no page tables of riscv64 and
ppc64le. Both are done here, without anything of afterpanic's.
"""

import re
import struct

import drgn

TOP = 1 << 63


class Core:
    """The segments of a core and the words of VMCOREINFO."""

    def __init__(self, path, vmcoreinfo):
        self.file = open(path, "rb")
        self.text = vmcoreinfo.decode()
        head = self.file.read(64)
        self.order = {1: "<", 2: ">"}[head[5]]
        self.machine = self.words(head, 18, "H")
        start, size, count = self.words(head, 32, "Q"), self.words(head, 54, "H"), self.words(head, 56, "H")
        self.segments = []
        for n in range(count):
            self.file.seek(start + n * size)
            kind, _, offset, _, at, length = struct.unpack(self.order + "IIQQQQ", self.file.read(40))
            if kind == 1:
                self.segments.append((at, offset, length))

    def words(self, head, at, kind):
        return struct.unpack_from(self.order + kind, head, at)[0]

    def number(self, key, base=10):
        found = re.search(r"^%s=(\S+)$" % re.escape(key), self.text, re.M)
        return int(found.group(1), base) if found else None

    def physical(self, at, count):
        for start, offset, length in self.segments:
            if start <= at and at + count <= start + length:
                self.file.seek(offset + at - start)
                return self.file.read(count)
        raise drgn.FaultError("no such memory", at)

    def entry(self, table, index, order):
        return struct.unpack(order + "Q", self.physical(table + 8 * index, 8))[0]

    def riscv64(self, at):
        """A physical address, and how many bytes follow it there."""
        top = self.number("NUMBER(VA_BITS)")
        table = self.number("SYMBOL(swapper_pg_dir)", 16) - self.number("NUMBER(va_kernel_pa_offset)", 16)
        for shift in range(top - 9, 3, -9):
            entry = self.entry(table, at >> shift & 511, "<")
            base = (entry >> 10 & (1 << 44) - 1) << 12
            if not entry & 1:
                break
            if entry & 0b1110:
                inside = at & (1 << shift) - 1
                return base + inside, (1 << shift) - inside
            table = base
        raise drgn.FaultError("not mapped", at)

    def ppc64le(self, at):
        page = self.number("PAGESIZE")
        radix = self.number("NUMBER(RADIX_MMU)")
        shift = page.bit_length() - 1
        vmalloc = 0xC008 << 48 if radix or page > 4096 else 0xC0001 << 44
        if at < vmalloc:
            inside = at & page - 1
            return at & (1 << 60) - 1, page - inside
        bits = {
            (1, 12): [9, 9, 9, 13],
            (1, 16): [5, 9, 9, 13],
            (0, 12): [9, 7, 9, 9],
            (0, 16): [8, 10, 10, 8],
        }[radix, shift]
        table = self.number("SYMBOL(swapper_pg_dir)", 16) & (1 << 60) - 1
        below = shift + sum(bits)
        for width in reversed(bits):
            below -= width
            entry = self.entry(table, at >> below & (1 << width) - 1, ">")
            if not entry >> 63:
                break
            if entry >> 62 & 1:
                inside = at & (1 << below) - 1
                return (entry & 0x1F_FFFF_FFFF_F000) + inside, (1 << below) - inside
            table = entry & 0x1FFF_FFFF_FFFF_FF00
        raise drgn.FaultError("not mapped", at)

    def virtual(self, walk):
        def read(at, count, _, __):
            found = b""
            while len(found) < count:
                here, most = walk(at + len(found))
                found += self.physical(here, min(most, count - len(found)))
            return found

        return read


def program(path, vmcoreinfo):
    """drgn on a core."""
    core = Core(path, vmcoreinfo)
    platform = None
    if core.machine == 21:
        # QEMU 7.2 says big-endian of every guest of ppc64.
        flags = drgn.PlatformFlags.IS_64_BIT | drgn.PlatformFlags.IS_LITTLE_ENDIAN
        platform = drgn.Platform(drgn.Architecture.PPC64, flags)
    prog = drgn.Program(platform, vmcoreinfo=vmcoreinfo)
    prog.set_core_dump(path)
    for at, _, length in core.segments:
        prog.add_memory_segment(at, length, lambda at, count, _, __: core.physical(at, count), True)
    walk = {243: core.riscv64, 21: core.ppc64le}.get(core.machine)
    if walk:
        prog.add_memory_segment(TOP, TOP, core.virtual(walk))
    return prog
