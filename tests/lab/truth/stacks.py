"""Asks drgn for every task and the functions on its stack; run as: python3 stacks.py CORE VMLINUX OUT

One JSON object: from a task's address to its pid, its name and its functions, innermost first.
"""

import json
import sys

import drgn
from drgn.helpers.linux.pid import for_each_task

prog = drgn.Program()
prog.set_core_dump(sys.argv[1])
try:
    prog.load_debug_info(sys.argv[2:3])
except drgn.MissingDebugInfoError:
    pass  # modules, whose file was not given


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


found = {}
for task in for_each_task(prog):
    found[hex(task)] = {
        "pid": task.pid.value_(),
        "comm": task.comm.string_().decode(errors="backslashreplace"),
        "functions": functions(task),
    }
with open(sys.argv[3], "w") as out:
    json.dump(found, out)
