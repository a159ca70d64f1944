#!/bin/sh
# Installs afterpanic, and undoes that.
#   ./install.sh [--root DIR]          copies the files; enables nothing
#   ./install.sh --undo [--root DIR]   removes what it copied; /usr/lib/afterpanic/uninstall does the same
# --root DIR: below this folder instead of /. Every file that is written is recorded first in
# /usr/lib/afterpanic/installed. An installation that stops halfway removes what it wrote.
set -eu

usage() {
    sed -n '2,5s/^# \{0,1\}//p' "$0"
    exit 2
}

die() {
    echo "install.sh: $*" >&2
    exit 1
}

undo=no
root=
while [ $# -gt 0 ]; do
    case "$1" in
    --undo) undo=yes ;;
    --root)
        [ $# -ge 2 ] || usage
        root=${2%/}
        shift
        ;;
    *) usage ;;
    esac
    shift
done

# The copy on the system always undoes.
case "$0" in
*/uninstall) undo=yes ;;
esac

here=$(cd "$(dirname "$0")" && pwd)
own=$root/usr/lib/afterpanic
record=$own/installed
config=etc/afterpanic.toml

# Whether the system below the root is the one that runs, with systemd.
runs_systemd() {
    [ -z "$root" ] && [ -d /run/systemd/system ]
}

# Whether OpenRC starts the services of the system below the root.
has_openrc() {
    [ -d "$root/etc/init.d" ] && [ -x "$root/sbin/openrc-run" ]
}
service=etc/init.d/afterpanic

# Removes the files of a record, then the folders that this made and that are empty now.
remove() {
    while read -r kind path; do
        case "$kind" in
        file) rm -f "$root/$path" ;;
        esac
    done <"$1"
    sort -r "$1" | while read -r kind path; do
        case "$kind" in
        dir) rmdir "$root/$path" 2>/dev/null || true ;;
        esac
    done
}

if [ "$undo" = yes ]; then
    [ -f "$record" ] || die "$record is missing: nothing to undo"
    copy=$(mktemp)
    cp "$record" "$copy"
    if runs_systemd; then
        systemctl disable --now afterpanic.service afterpanic-early.service \
            afterpanic-collect.service afterpanic-reload.path afterpanic-notify.path afterpanic-network.service \
            afterpanic-network.timer afterpanic-ship.timer || true
    elif [ -z "$root" ] && [ -x /usr/bin/afterpanic ]; then
        /usr/bin/afterpanic unload || true
    fi
    if [ -f "$root/$config" ] && ! grep -qx "file $config" "$copy"; then
        echo "kept: /$config"
    elif [ -f "$root/$config" ] && ! cmp -s "$root/$config" "$own/$(basename "$config").shipped"; then
        echo "kept, because it was changed: /$config"
        grep -vx "file $config" "$copy" >"$copy.less" || true
        mv "$copy.less" "$copy"
    fi
    if grep -qx "file $service" "$copy"; then
        rm -f "$root"/etc/runlevels/*/afterpanic
    fi
    remove "$copy"
    rm -f "$copy"
    if runs_systemd; then
        systemctl --system daemon-reload || true
    fi
    echo "removed. Crash directories and /var/lib/afterpanic stay. If memory is still reserved, take"
    echo "crashkernel= out of the boot configuration."
    exit 0
fi

[ -d "$here/files" ] || die "$here/files is missing: unpack the whole tar file"
[ ! -e "$record" ] || die "it is installed already. First: $own/uninstall${root:+ --root $root}"
if [ -e "$root/usr/bin/afterpanic" ]; then
    die "$root/usr/bin/afterpanic is there and not from this installer: remove that package first"
fi
if [ -z "$root" ] && [ "$(id -u)" != 0 ]; then
    die "run this as root"
fi

# Makes a folder with its parents, and records those that were missing.
folder() {
    [ "$1" != . ] || return 0
    if [ ! -d "$root/$1" ]; then
        folder "$(dirname "$1")"
        mkdir "$root/$1"
        echo "dir $1" >>"$new"
    fi
}

new=$(mktemp)
trap 'remove "$new"; rm -f "$new"; die "stopped; what was written is removed again"' EXIT
trap 'exit 1' INT TERM HUP

(cd "$here/files" && find . -type f | sed 's|^\./||' | sort) >"$new.list"
while read -r path; do
    if [ "$path" = "$config" ] && [ -e "$root/$path" ]; then
        echo "kept: /$path"
        continue
    fi
    [ ! -e "$root/$path" ] || die "$root/$path is there already"
    folder "$(dirname "$path")"
    echo "file $path" >>"$new"
    cp -p "$here/files/$path" "$root/$path"
done <"$new.list"
rm -f "$new.list"
if has_openrc; then
    [ ! -e "$root/$service" ] || die "$root/$service is there already"
    echo "file $service" >>"$new"
    cp "$here/openrc" "$root/$service"
    chmod 755 "$root/$service"
fi
folder usr/lib/afterpanic
for extra in uninstall installed "$(basename "$config").shipped"; do
    echo "file usr/lib/afterpanic/$extra" >>"$new"
done
cp "$0" "$own/uninstall"
chmod 755 "$own/uninstall"
cp "$here/files/$config" "$own/$(basename "$config").shipped"
cp "$new" "$record"
trap - EXIT
rm -f "$new"

if runs_systemd; then
    systemctl --system daemon-reload || true
    udevadm control --reload || true
    next="systemctl enable --now afterpanic.service"
elif has_openrc; then
    next="rc-update add afterpanic default
  rc-service afterpanic start"
else
    next="\`afterpanic load\` at each boot, after the filesystems are mounted. After a crash: afterpanic collect"
fi
cat <<TEXT
installed. Next:
  afterpanic doctor
  $next
To undo: afterpanic reserve --undo --apply (if you reserved memory with it), then
  $own/uninstall${root:+ --root $root}
TEXT
