"""Asks drgn for tasks with their stacks, modules and types; run as: python3 stacks.py CORE VMLINUX OUT [VMCOREINFO]

One JSON object. tasks: from an address to pid, name and functions, innermost first; modules: from a name to where
its text begins; types: from a name in types.txt to its size and the bit that each of its members begins at. Where
drgn cannot follow a stack, `functions` is null.
"""

import json
import os
import sys

import drgn
from drgn.helpers.linux.list import list_for_each_entry
from drgn.helpers.linux.pid import for_each_task

if len(sys.argv) > 4:
    import memory

    with open(sys.argv[4], "rb") as file:
        prog = memory.program(sys.argv[1], file.read())
else:
    prog = drgn.Program()
    prog.set_core_dump(sys.argv[1])
try:
    prog.load_debug_info(sys.argv[2:3])
except drgn.MissingDebugInfoError:
    pass  # modules, whose file was not given


def text(value):
    return value.string_().decode(errors="backslashreplace")


def functions(task):
    found = []
    for frame in prog.stack_trace(task):
        if frame.is_inline:
            continue
        try:
            found.append(frame.symbol().name)
        except LookupError:
            found.append(hex(frame.pc))
    return found


def types():
    found = {}
    with open(os.path.join(os.path.dirname(__file__), "types.txt")) as names:
        for name in names.read().split():
            try:
                type = prog.type("struct " + name)
            except LookupError:
                continue
            if type.is_complete():
                members = {m.name: m.bit_offset for m in type.members if m.name}
                found[name] = {"size": type.size, "members": members}
    return found


tasks = {}
for task in for_each_task(prog):
    tasks[hex(task)] = {"pid": task.pid.value_(), "comm": text(task.comm), "functions": None}
    try:
        tasks[hex(task)]["functions"] = functions(task)
    except (NotImplementedError, LookupError):
        pass  # no unwinder of this architecture; no registers of a task that ran
modules = list_for_each_entry("struct module", prog["modules"].address_of_(), "list")
with open(sys.argv[3], "w") as out:
    json.dump(
        {
            "tasks": tasks,
            "modules": {text(m.name): hex(m.mem[0].base) for m in modules},
            "types": types(),
        },
        out,
    )
