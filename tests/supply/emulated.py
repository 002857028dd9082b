# SPDX-License-Identifier: MIT
"""Runs a test of this folder in an emulated machine, under Debian's own kernel: for what this machine's kernel has not.

qemu boots the kernel of linux-image-cloud-amd64, which is unpacked and not installed here. A tree of this machine's
Debian is the initramfs, so that neither a disk nor a module is needed; there is no network but the loopback. What the
test says comes over a serial line. Kernel and tree are kept where machine.py keeps its trees.
"""
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile

from supply import BUILD, SOURCE, missing, need, run

sys.path.insert(0, str(SOURCE / "tests/machine"))
import machine

PACKAGES = ["apparmor", "iproute2", "python3-pytest", "socat"]
MEGABYTES = 1024
# What of the sources and of the build the tests read, by their folders
NEEDED = [(SOURCE, "tests/supply/*.py"), (SOURCE, "tests/machine/machine.py"), (BUILD, "src/*/hl7-receive"),
          (BUILD, "src/*/hl7-forward"), (BUILD, "units/hl7-receive"), (BUILD, "units/hl7-forward")]

# All that a denial says is wanted, however many there are. A reset ends qemu, and so does a panic
INIT = """\
#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HL7_STRICT=1 HL7_BUILD_DIR=/build
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t securityfs securityfs /sys/kernel/security
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
echo 0 >/proc/sys/kernel/printk_ratelimit
ip link set lo up
echo 127.0.0.1 localhost >/etc/hosts
cd /source/tests/supply
python3 -B -m pytest -p no:cacheprovider --color=no -q {test} >/dev/ttyS1 2>&1
echo b >/proc/sysrq-trigger
"""

# $0 the archive, $@ the folders that are laid over each other in it
PACK = """\
for folder; do
    cd "$folder"
    find . \\( -path ./usr/share/doc -o -path ./usr/share/locale -o -path ./usr/share/man -o -path ./var/cache \\
        -o -path ./var/lib/apt \\) -prune -o -print0 | cpio --null --create --format=newc --quiet --owner=0:0
done >"$0"
"""


def why_not(suite):
    """The reason why none can be booted here, or None."""
    if os.geteuid() != 0:
        return "making a tree for an emulated machine needs root"
    if suite not in machine.SUITES or platform.machine() != "x86_64":
        return f"an emulated machine is made of Debian's packages for amd64, of {' or '.join(machine.SUITES)}"
    return None


def fetch(folder):
    described = run(need("apt-cache"), "show", "--no-all-versions", "linux-image-cloud-amd64")
    image, = (line.split()[1] for line in described.splitlines() if line.startswith("Depends: linux-image-"))
    run(need("apt-get"), "download", image, cwd=folder, timeout=300)


def kernel(suite):
    """The kernel of a suite, fetched now if none is cached."""
    cached = machine.CACHE / f"vmlinuz-{suite}"
    if not cached.exists():
        with tempfile.TemporaryDirectory(dir=machine.CACHE) as folder:
            try:
                fetch(folder)
            except AssertionError:      # no lists of packages, or old ones
                run("apt-get", "update", timeout=300)
                fetch(folder)
            package, = pathlib.Path(folder).glob("*.deb")
            run("dpkg-deb", "--extract", package, folder)
            found, = pathlib.Path(folder).glob("boot/vmlinuz-*")
            found.rename(cached)
    return cached


def initramfs(tree, test, work):
    stage = work / "stage"
    for top, pattern in NEEDED:
        for file in top.glob(pattern):
            copy = stage / ("build" if top == BUILD else "source") / file.relative_to(top)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
    (stage / "init").write_text(INIT.format(test=test))
    (stage / "init").chmod(0o755)
    run("sh", "-euc", PACK, work / "initramfs", tree, stage)
    return work / "initramfs"


def boot(image, initial, work):
    """How it ended; what was said is in the files `console` and `said`. It ends when we do, or its time is over."""
    command = ["setpriv", "--pdeathsig", "KILL", need("qemu-system-x86_64"), "-accel", "tcg",
               "-m", str(MEGABYTES), "-nodefaults", "-display", "none", "-no-reboot", "-kernel", image,
               "-initrd", initial, "-append", "console=ttyS0 panic=-1", "-serial", f"file:{work}/console",
               "-serial", f"file:{work}/said"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=machine.SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"killed after {machine.SECONDS} s"
    return f"exit status {done.returncode} of qemu\n{done.stderr}"


def passes(test):
    """Fails where the test, FILE::NAME, does not pass there."""
    suite = platform.freedesktop_os_release().get("VERSION_CODENAME")
    if reason := why_not(suite):
        missing(reason)
    for tool in ("qemu-system-x86_64", "debootstrap", "cpio"):
        need(tool)
    tree = machine.pristine(suite, "emulated", PACKAGES)
    with tempfile.TemporaryDirectory(prefix="hl7-emulated-") as folder:
        work = pathlib.Path(folder)
        ended = boot(kernel(suite), initramfs(tree, test, work), work)
        console, said = ((work / name).read_text(errors="replace") if (work / name).exists() else ""
                         for name in ("console", "said"))
    print(said)
    assert said.strip().startswith(".") and "1 passed" in said, f"{ended}\n{console[-6000:]}\n{said}"
