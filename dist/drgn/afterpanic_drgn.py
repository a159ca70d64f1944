"""Debug information for drgn out of the core itself, made by `afterpanic vmlinux`: no debug package is needed.

`afterpanic drgn CORE` uses this plug-in by itself. To use it with drgn alone (0.0.31 or newer):

    export DRGN_PLUGINS=afterpanic=/usr/share/afterpanic/drgn/afterpanic_drgn.py
    drgn -c vmcore

Debug information that drgn finds on its own comes first. What was made is kept by build id in
~/.cache/afterpanic. AFTERPANIC names another afterpanic than that on PATH, AFTERPANIC_VMLINUX a file that is
there already.
"""

import logging
import os
import subprocess

import drgn

logger = logging.getLogger("drgn.plugins.afterpanic")

# Of `afterpanic vmlinux`: done, and done with warnings, which it has printed.
MADE = (0, 4)


def made(prog, module):
    """The file for the kernel of `prog`, made if it is not there yet."""
    given = os.environ.get("AFTERPANIC_VMLINUX")
    if given:
        return given
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    cache = os.path.join(cache, "afterpanic")
    path = os.path.join(cache, module.build_id.hex() + ".vmlinux")
    if not os.path.exists(path):
        os.makedirs(cache, mode=0o700, exist_ok=True)
        program = os.environ.get("AFTERPANIC", "afterpanic")
        core = prog.core_dump_path or "live"
        done = subprocess.run([program, "-q", "vmlinux", core, path], check=False)
        if done.returncode not in MADE:
            return None
    return path


def drgn_prog_set(prog):
    """Called by drgn with each program that it opens."""

    def find(modules):
        for module in modules:
            is_kernel = isinstance(module, drgn.MainModule) and module.wants_debug_file()
            if is_kernel and prog.flags & drgn.ProgramFlags.IS_LINUX_KERNEL:
                try:
                    path = made(prog, module)
                except OSError as error:
                    logger.warning("afterpanic cannot be run: %s", error)
                    continue
                if path is not None:
                    module.try_file(path)

    first = "AFTERPANIC_VMLINUX" in os.environ
    prog.register_debug_info_finder("afterpanic", find, enable_index=0 if first else -1)
