"""Debug information for drgn out of the core itself, made by `afterpanic vmlinux`: no debug package is needed.

`afterpanic drgn CORE` uses this plug-in by itself. To use it with drgn alone (0.0.31 or newer):

    export DRGN_PLUGINS=afterpanic=/usr/share/afterpanic/drgn/afterpanic_drgn.py
    drgn -c vmcore

Debug information that drgn finds on its own comes first. What was made is kept in ~/.cache/afterpanic.
AFTERPANIC names another afterpanic than that on PATH, AFTERPANIC_VMLINUX a file that is there already.
"""

import logging
import os
import subprocess

import drgn

logger = logging.getLogger("drgn.plugins.afterpanic")

# Of `afterpanic vmlinux`: done, and done with warnings, which it has printed.
MADE = (0, 4)


def made(prog):
    """The file for the kernel of `prog`, made if it is not there yet."""
    given = os.environ.get("AFTERPANIC_VMLINUX")
    if given:
        return given
    program = os.environ.get("AFTERPANIC", "afterpanic")
    core = prog.core_dump_path or "live"
    done = subprocess.run(
        [program, "-q", "vmlinux", core, "--modules", "--cached"],
        check=False,
        stdout=subprocess.PIPE,
    )
    if done.returncode not in MADE:
        return None
    return os.fsdecode(done.stdout.rstrip(b"\n"))


class ModuleSymbols:
    """Symbols of modules out of the core, read when one is first asked for."""

    def __init__(self, prog):
        self.prog = prog
        self.index = None

    def __call__(self, prog, name, address, one):
        if self.index is None:
            # What is read to find them may ask for a symbol.
            self.index = []
            try:
                from drgn.helpers.linux.kallsyms import load_module_kallsyms

                self.index = load_module_kallsyms(self.prog)
            except Exception as error:
                logger.warning("modules have no symbols: %s", error)
        if not self.index:
            return []
        return self.index(prog, name, address, one)


def drgn_prog_set(prog):
    """Called by drgn with each program that it opens."""
    ours = []

    def find(modules):
        modules = list(modules)
        for module in modules:
            is_kernel = isinstance(module, drgn.MainModule) and module.wants_debug_file()
            if is_kernel and prog.flags & drgn.ProgramFlags.IS_LINUX_KERNEL:
                try:
                    path = made(prog)
                except OSError as error:
                    logger.warning("afterpanic cannot be run: %s", error)
                    continue
                if path is not None:
                    module.try_file(path)
                    if not module.wants_debug_file():
                        ours.append(path)
                        symbols = ModuleSymbols(prog)
                        prog.register_symbol_finder("afterpanic", symbols, enable_index=-1)
        if ours:
            # What the core tells of a module's types is in the kernel's file.
            for module in modules:
                if isinstance(module, drgn.RelocatableModule) and module.wants_debug_file():
                    module.debug_file_status = drgn.ModuleFileStatus.DONT_NEED

    first = "AFTERPANIC_VMLINUX" in os.environ
    prog.register_debug_info_finder("afterpanic", find, enable_index=0 if first else -1)
