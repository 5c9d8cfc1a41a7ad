#!/bin/sh
# Run a command in the unpacked root file system of an image, as a container engine does with
# `--read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --user UID`, but on the host's network: for machines without a container engine.
#   confined.sh ROOT UID MODELS NAME=VALUE… COMMAND…    as root; MODELS is mounted read-only at /models; the command has only these variables
set -eu
if [ "${CONFINED:-}" != yes ]; then
    CONFINED=yes exec unshare --mount --pid --ipc --fork --kill-child=SIGTERM "$0" "$@"
fi
root=$1 uid=$2 models=$3
shift 3
unset CONFINED
mount --bind "$root" "$root"
mount --bind "$models" "$root/models"
mount -o remount,bind,ro "$root/models"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=1777,nosuid,nodev,size=1g tmpfs "$root/tmp"
mount -t tmpfs -o mode=0755,nosuid tmpfs "$root/dev"
for device in null zero random urandom; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/shm"
mount -t tmpfs -o mode=1777,nosuid,nodev,noexec,size=256m tmpfs "$root/dev/shm"
mount -o remount,bind,ro "$root"
exec chroot "$root" /usr/bin/setpriv --reuid "$uid" --regid "$uid" --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all /usr/bin/env -i "$@"
