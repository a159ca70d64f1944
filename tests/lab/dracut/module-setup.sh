#!/bin/bash
# dracut module of the laboratory: what kdump-utils' module kdumpbase does for a target on a server.
# /etc/peer.conf says which target.

# Only if it is asked for.
check() { return 255; }

depends() {
    . /etc/peer.conf
    echo "base shutdown systemd-initrd systemd-networkd"
    [ "$KIND" = ssh ] && echo ssh-client
    return 0
}

install() {
    inst_multiple awk chmod cut date dd dirname head ip logger makedumpfile mkdir mount mountpoint mv nproc sed stat \
        sync tail vmcore-dmesg
    inst_simple /etc/peer.conf
    inst_simple "$moddir/capture.sh" /usr/bin/peer-capture
    inst_simple "$moddir/peer-capture.service" "$systemdsystemunitdir/peer-capture.service"
    inst_simple "$moddir/eth.network" /etc/systemd/network/10-peer.network
    $SYSTEMCTL -q --root "$initdir" add-wants initrd.target peer-capture.service
    # There is no root filesystem to go to.
    $SYSTEMCTL -q --root "$initdir" mask initrd-cleanup.service initrd-parse-etc.service
    mkdir -p "$initdir/etc/cmdline.d"
    echo rd.neednet=1 >"$initdir/etc/cmdline.d/50-peer.conf"
    dracut_no_switch_root
}
