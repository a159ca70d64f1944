# Every helper of drgn.helpers.linux that takes nothing, a CPU or a task, and the stack of every task.
# Arguments: vmlinux, core. Each answer stands below a line with its name.
import importlib, inspect, itertools, pkgutil, sys
import drgn, drgn.helpers.linux

prog = drgn.Program()
prog.set_core_dump(sys.argv[2])
prog.load_debug_info([sys.argv[1]], default=False)
drgn.set_default_prog(prog)
from drgn.helpers.linux import find_task, for_each_task, for_each_online_cpu

def plain(value, depth=0):
    if isinstance(value, drgn.Object):
        try:
            type = value.type_.type_name()
        except Exception:
            type = "?"
        try:
            if value.type_.kind in (drgn.TypeKind.STRUCT, drgn.TypeKind.UNION, drgn.TypeKind.ARRAY):
                return f"{type} at {value.address_:#x}" if value.address_ is not None else f"{type} value"
            number = value.value_()
            return f"{type} {number:#x}" if isinstance(number, int) else f"{type} {number}"
        except Exception as error:
            return f"{type} {error}"
    if isinstance(value, (str, bytes, int, float, bool, type(None))):
        return repr(value)
    if isinstance(value, drgn.Symbol):
        return f"symbol {value.name} {value.address:#x}"
    if depth > 3:
        return "..."
    if isinstance(value, dict):
        return "{" + ", ".join(f"{plain(k, depth + 1)}: {plain(v, depth + 1)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)) or hasattr(value, "__next__"):
        return "[" + ", ".join(plain(v, depth + 1) for v in itertools.islice(value, 5000)) + "]"
    text = repr(value)
    return text if " at 0x" not in text else type(value).__name__

def ask(name, call):
    print("@@@", name)
    try:
        print(plain(call()))
    except Exception as error:
        print("!", type(error).__name__, str(error)[:200])

# What prints, waits or changes something.
SKIP = {"print_dmesg", "load_module_kallsyms", "load_vmlinux_kallsyms", "load_builtin_kallsyms", "proc_kallsyms"}
tasks = [("init", find_task(1)), ("kthreadd", find_task(2))]
asked = set()
for module in sorted(pkgutil.iter_modules(drgn.helpers.linux.__path__), key=lambda m: m.name):
    try:
        module = importlib.import_module("drgn.helpers.linux." + module.name)
    except Exception as error:
        print("@@@ import", module.name, error)
        continue
    for name in sorted(getattr(module, "__all__", ())):
        function = getattr(module, name)
        if name in asked or name in SKIP or not inspect.isfunction(function) and not inspect.isbuiltin(function):
            continue
        asked.add(name)
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except ValueError:
            continue
        free = [p for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        names = [p.name for p in free]
        if names in ([], ["prog"]):
            ask(name, function if not names else lambda: function(prog))
        elif names == ["task"]:
            for which, task in tasks:
                ask(f"{name} {which}", lambda: function(task))
        elif names in (["cpu"], ["prog", "cpu"]):
            ask(f"{name} 0", (lambda: function(0)) if names == ["cpu"] else (lambda: function(prog, 0)))

for task in sorted(for_each_task(prog), key=lambda t: (t.pid.value_(), t.value_())):
    print(f"@@@ stack {task.pid.value_()} {task.value_():#x}")
    try:
        for frame in prog.stack_trace(task):
            if not frame.is_inline:
                print(hex(frame.pc), hex(frame.sp), prog.symbol(frame.pc - (not frame.interrupted)).name)
    except Exception as error:
        print("!", type(error).__name__, error)
