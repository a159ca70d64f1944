#!/bin/sh
# Saves the crashed kernel's log and core, as kdump-utils' kdump.sh does, and reboots.
. /etc/peer.conf
dir=$DIR/$ADDRESS-$(date +%Y-%m-%d-%T)

remote() { ssh -q -i /root/.ssh/kdump_id -p "$PORT" -o BatchMode=yes -o StrictHostKeyChecking=yes "$SERVER" "$@"; }

to_nfs() {
    mountpoint -q "$AT" || mount "$AT" || return
    mkdir -p "$dir" || return
    vmcore-dmesg /proc/vmcore >"$dir/vmcore-dmesg-incomplete.txt" &&
        mv "$dir/vmcore-dmesg-incomplete.txt" "$dir/vmcore-dmesg.txt" && sync
    threads=$(nproc)
    [ "$threads" -gt 1 ] && WAY="$WAY --num-threads=$threads"
    makedumpfile $WAY /proc/vmcore "$dir/vmcore-incomplete" &&
        sync -f "$dir/vmcore-incomplete" &&
        mv "$dir/vmcore-incomplete" "$dir/vmcore"
}

to_ssh() {
    remote mkdir -p "$dir" || return
    vmcore-dmesg /proc/vmcore | remote "umask 0077 && dd of='$dir/vmcore-dmesg-incomplete.txt'" &&
        remote mv "$dir/vmcore-dmesg-incomplete.txt" "$dir/vmcore-dmesg.txt"
    makedumpfile $WAY -F /proc/vmcore | remote "umask 0077 && dd bs=512 of='$dir/vmcore-incomplete'" &&
        remote mv "$dir/vmcore-incomplete" "$dir/vmcore.flat"
}

echo "peer: the network is up"
if "to_$KIND"; then echo "peer: saved"; else echo "peer: not saved"; fi
systemctl reboot -f
