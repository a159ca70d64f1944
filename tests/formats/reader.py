#!/usr/bin/env python3
"""Reads a core of afterpanic, its pages.map and its manifest, by docs/formats alone.

    reader.py core FILE          what is in a core, as JSON
    reader.py pages FILE         each page in a core: its number and the SHA-256 of its bytes
    reader.py read FILE AT LEN   LEN bytes of physical memory from AT on, in hex
    reader.py unpack FILE OUT    the ELF core
    reader.py kinds FILE         the runs of a pages.map, or of the one in a core
    reader.py raw DEVICE OUT     the crash directory on a raw target, made below OUT; its name
    reader.py check DIR          everything in a crash directory against its manifest

Exit code 0: as the pages say; 1: not so; 77: this machine lacks something that is named.
It shares no code with the project: a page that does not say enough shows here.
"""

import hashlib
import json
import mmap
import os
import sys
import zlib

import frames
import raw_target
from core import PAGE, Core
from frames import CutOff, Missing, Wrong
from pages_map import PagesMap, name

SMALL = 16 << 20
# Kinds that the kernel may map besides: docs/formats/pages-map.md.
MAPPED = {"cache", "cache-private", "anon", "hugetlb"}
UNREAD = (0xDEADFEEDDEADFEED).to_bytes(8, "little") * (PAGE // 8)


def load(path):
    with open(path, "rb") as file:
        return file.read()


def mapped(path):
    """A file that may be larger than memory."""
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def core(path):
    return Core(mapped(path), frames.zstd_decoder())


def describe(path):
    found = core(path)
    return {
        "codec": found.codec,
        "cut": found.cut,
        "frames": len(found.frames),
        "content": found.length,
        "loads": [[vaddr, paddr, length] for vaddr, paddr, _, length in found.loads],
        "image": [[vaddr, paddr, length] for vaddr, paddr, _, length in found.image],
        "notes": [[owner.decode(), kind, len(text)] for owner, kind, text in found.notes],
        "own": found.own(),
        "trailer": found.trailer(),
        "attached": sorted(tag.decode() for tag in found.attached),
    }


def kinds(path):
    data = load(path)
    if data[:8] == b"APAGEMAP":
        return PagesMap(data, frames.zstd_decoder())
    return core(path).map()


class Checks:
    """What a crash directory's files have to do with one another."""

    def __init__(self, path):
        self.path, self.wrong, self.lines = path, [], []
        self.manifest = json.loads(load(os.path.join(path, "manifest.json")).decode())
        self.demand(self.manifest["schema"] == 1, "schema")
        self.files()
        facts = self.manifest.get("core")
        if facts:
            self.core(facts)
        essential = os.path.join(path, "essential.elf.zst")
        if os.path.exists(essential):
            small = core(essential)
            count = sum(1 for _ in small.pages())
            self.demand(small.own().get("KEEPS") == "essential", "the essential core's own note")
            self.lines.append("essential.elf.zst: %d pages" % count)

    def demand(self, good, what):
        if not good:
            self.wrong.append(what)

    def files(self):
        there = set(os.listdir(self.path)) - {"manifest.json", "pstore"}
        self.demand(there == {f["name"] for f in self.manifest["files"]}, "the list of files")
        for facts in self.manifest["files"]:
            path = os.path.join(self.path, facts["name"])
            size = os.path.getsize(path)
            self.demand(size == facts["size"], facts["name"] + ": size")
            if facts.get("sha256"):
                self.demand(size <= SMALL, facts["name"] + ": too large for a hash")
                hashed = hashlib.sha256(load(path)).hexdigest()
                self.demand(hashed == facts["sha256"], facts["name"] + ": sha256")
            self.lines.append("%s: %d bytes" % (facts["name"], size))

    def core(self, facts):
        data = mapped(os.path.join(self.path, facts["file"]))
        self.demand(len(data) == facts["size"], "the core's size")
        if facts.get("sums"):
            piece, sums = facts["sums"]["piece"], facts["sums"]["crc32"]
            pieces = (data[at : at + piece].ljust(piece, b"\0") for at in range(0, len(data), piece))
            self.demand(sums == "".join("%08x" % zlib.crc32(p) for p in pieces), "sums")
        if facts["format"] not in ("elf-zst", "elf-lz4"):
            return
        found = Core(data, frames.zstd_decoder())
        self.demand(found.cut == (facts.get("table") is None), "a table, and none in the manifest")
        if facts.get("table"):
            at, length = facts["table"]["offset"], facts["table"]["len"]
            self.demand(found.table == (at, length), "the place of the table")
            hashed = hashlib.sha256(data[at : at + length]).hexdigest()
            self.demand(hashed == facts["table"]["sha256"], "the hash of the table")
        kept = zero = missing = 0
        for _, page in found.pages():
            kept, zero, missing = kept + 1, zero + (not any(page)), missing + (page == UNREAD)
        pages, trailer = facts["pages"], found.trailer()
        counted = (kept, zero, missing)
        self.demand(counted == tuple(pages[k] for k in ("kept", "zero", "missing")), "pages")
        self.demand(counted == tuple(trailer[k] for k in ("pages", "zero", "missing")), "trailer")
        self.lines.append("%s: %d pages in %d runs" % (facts["file"], kept, len(found.loads)))
        self.kinds(facts, found)

    def kinds(self, facts, found):
        inside, beside = found.map(), os.path.join(self.path, "pages.map")
        if os.path.exists(beside):
            self.demand(load(beside) == found.attached.get(b"APpgmap1"), "two pages.map")
        if inside is None:
            return
        self.demand(not inside.cut, "the end of pages.map")
        counts = {kind: number for kind, number in inside.counts.items() if number}
        told = {kind: f["pages"] for kind, f in facts["kinds"].items() if f["pages"]}
        self.demand(counts == told, "pages by kind: %s, %s" % (counts, told))
        kept = {kind for kind, f in facts["kinds"].items() if f["kept"]}
        runs = merged((first, end) for first, end, kind in inside.runs if name(kind) in kept)
        loads = [(p // PAGE, (p + length) // PAGE) for _, p, _, length in found.loads]
        more = without(loads, runs)
        self.demand(not without(runs, loads), "pages of kinds that are kept are not in the core")
        kinds = {name(kind) for first, end, kind in inside.runs if without([(first, end)], without([(first, end)], more))}
        self.demand(kinds <= MAPPED, "pages of %s are in the core" % ", ".join(sorted(kinds - MAPPED)))


def without(runs, others):
    """The parts of sorted runs that are in none of the sorted others."""
    out, others, at = [], list(others), 0
    for first, end in runs:
        while at < len(others) and others[at][1] <= first:
            at += 1
        n = at
        while n < len(others) and others[n][0] < end:
            start, stop = others[n]
            if start > first:
                out.append((first, start))
            first, n = max(first, stop), n + 1
        if first < end:
            out.append((first, end))
    return out


def merged(runs):
    out = []
    for first, end in runs:
        if out and out[-1][1] == first:
            out[-1] = (out[-1][0], end)
        else:
            out.append((first, end))
    return out


def main(verb, *arguments):
    if verb == "core":
        print(json.dumps(describe(*arguments)))
    elif verb == "pages":
        for number, page in core(*arguments).pages():
            print("%d %s" % (number, hashlib.sha256(page).hexdigest()))
    elif verb == "read":
        found, at, length = core(arguments[0]), int(arguments[1], 0), int(arguments[2], 0)
        place = found.find(at)
        if place is None or place[1] < length:
            raise Wrong("this memory is not in the core")
        print(found.read(place[0], length).hex())
    elif verb == "unpack":
        found = core(arguments[0])
        with open(arguments[1], "wb") as out:
            for i in range(len(found.frames)):
                out.write(found.content(i))
    elif verb == "kinds":
        for first, end, kind in kinds(*arguments).runs:
            print("%d %d %s" % (first, end, name(kind)))
    elif verb == "raw":
        print(raw_target.unpack(*arguments))
    elif verb == "check":
        found = Checks(*arguments)
        print("\n".join(found.lines))
        if found.wrong:
            raise Wrong("; ".join(found.wrong))
    else:
        raise Wrong("usage:\n" + __doc__)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:] or [""])
    except Missing as why:
        print(why, file=sys.stderr)
        sys.exit(77)
    except (CutOff, Wrong) as why:
        print(str(why) or "the file is cut off", file=sys.stderr)
        sys.exit(1)
