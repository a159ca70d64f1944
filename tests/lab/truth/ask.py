"""Asks drgn what the analysis is held against; run as: python3 ask.py CORE VMLINUX OUT [MODULE.ko...]

One JSON object: a section is a map from a key to an answer. Keys and answers are those of
src/truth.rs. Types are asked for by the names in types.txt beside this file.
"""

import bisect
import json
import os
import sys

import drgn
from drgn.helpers.linux import *  # noqa: F403

prog = drgn.Program()
prog.set_core_dump(sys.argv[1])
try:
    prog.load_debug_info(sys.argv[2:3] + sys.argv[4:])
except drgn.MissingDebugInfoError:
    pass  # modules whose file was not given


def text(value):
    return value.string_().decode(errors="backslashreplace")


def tasks():
    found = {}
    for task in for_each_task(prog):
        found[hex(task)] = {
            "pid": task.pid.value_(),
            "tgid": task.tgid.value_(),
            "ppid": task.real_parent.tgid.value_(),
            "state": task_state_to_char(task),
            "cpu": task_cpu(task),
            "on_cpu": bool(task.on_cpu),
            "comm": text(task.comm),
        }
    return found


labels = {}
for symbol in prog.symbols():
    labels.setdefault(symbol.address, set()).add(symbol.name)
places = sorted(labels)


def names_at(at):
    """The symbols that cover an address, and the label before it, which the kernel itself prints."""
    names = {symbol.name for symbol in prog.symbols(at)}
    before = bisect.bisect_right(places, at) - 1
    if names and before >= 0:
        names |= labels[places[before]]
    return sorted(names)


def frames(trace):
    found = []
    for frame in trace:
        if frame.is_inline:
            continue
        try:
            pc = frame.pc
        except LookupError:
            break
        # The call itself, where pc is a return address.
        at = pc if frame.interrupted else max(pc - 1, 0)
        found.append({"pc": hex(pc), "sp": hex(frame.sp), "names": names_at(at)})
    return found


def stacks():
    found = {}
    for task in for_each_task(prog):
        try:
            found[hex(task)] = frames(prog.stack_trace(task))
        except (ValueError, drgn.FaultError) as error:
            found[hex(task)] = str(error)
    return found


def crashed():
    trace = prog.crashed_thread().stack_trace()
    registers = trace[0].registers()
    names = "rax rbx rcx rdx rsi rdi rbp rsp rip r8 r9 r10 r11 r12 r13 r14 r15".split()
    found = {name: hex(registers[name]) for name in names}
    found["cpu"] = prog["panic_cpu"].counter.value_()
    found["stack"] = frames(trace)
    return found


def modules():
    found = {}
    for module in drgn.helpers.linux.module.for_each_module(prog):
        if hasattr(module, "mem"):
            base, size = module.mem[0].base, sum(m.size.value_() for m in module.mem)
        else:
            base = module.core_layout.base
            size = module.core_layout.size.value_() + module.init_layout.size.value_()
        found[text(module.name)] = {"address": hex(module), "text": hex(base), "size": size}
    return found


def mounts():
    found = {}
    for mount in for_each_mount(prog["init_task"].nsproxy.mnt_ns):
        source, target, kind = mount_src(mount), mount_dst(mount), mount_fstype(mount)
        found[hex(mount)] = [part.decode() for part in (source, target, kind)]
    return found


def uptime():
    keepers = ("tk_core", lambda v: v.timekeeper), ("timekeeper_data", lambda v: v[0].timekeeper)
    for name, keeper in keepers:
        if name in prog:
            return {"seconds": keeper(prog[name]).ktime_sec.value_()}
    raise LookupError("no timekeeper")


def zones():
    found = {}
    names = [text(name) for name in prog["vmstat_text"]]
    count = prog.constant("NR_VM_ZONE_STAT_ITEMS").value_()
    for node in nodes():
        for index in range(node.nr_zones.value_()):
            zone = node.node_zones[index]
            if not zone.present_pages:
                continue
            values = {}
            for item in range(count):
                value = zone.vm_stat[item].counter.value_()
                for cpu in for_each_online_cpu(prog):
                    value += per_cpu_ptr(zone.per_cpu_zonestats, cpu).vm_stat_diff[item].value_()
                values[names[item]] = value
            managed = zone.managed_pages.counter.value_()
            key = f"{node.node_id.value_()}/{text(zone.name)}"
            found[key] = {
                "present": zone.present_pages.value_(),
                "managed": managed,
                "counters": values,
            }
    return found


def nodes():
    for node in for_each_online_node(prog):
        yield prog["node_data"][node]


def members(kind, base, prefix, found):
    """Offsets in bits of the named members; anonymous structs and unions are opened."""
    for member in kind.members or ():
        offset = base + member.bit_offset
        if member.name is None:
            members(member.type, offset, prefix, found)
        else:
            found[member.name] = offset


def types():
    found = {}
    names = os.path.join(os.path.dirname(os.path.abspath(__file__)), "types.txt")
    for name in open(names).read().split():
        try:
            kind = prog.type("struct " + name)
        except LookupError:
            continue
        if not kind.is_complete():
            continue
        offsets = {}
        members(kind, 0, "", offsets)
        found[name] = {"size": kind.size, "offsets": offsets}
    return found


answers = {}
for section in (tasks, stacks, crashed, modules, mounts, uptime, zones, types):
    try:
        answers[section.__name__] = section()
    except Exception as error:  # said in the comparison
        answers[section.__name__] = f"{type(error).__name__}: {error}"
with open(sys.argv[3], "w") as out:
    json.dump(answers, out, indent=1)
