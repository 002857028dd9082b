# SPDX-License-Identifier: MIT
"""Packages as they are built for Debian 12 and 13, by packaging/install, and what is in them.

Those for the Debian that this machine is are built here, with their unit tests, those for the other in a tree of it, by
an ordinary user.
"""
import concurrent.futures
import contextlib
import functools
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import machine

SOURCE = machine.SOURCE
BUILD = machine.BUILD
PACKAGES = ["hl7-inetd", "hl7-inetd-tools", "hl7-amqp"]

# $SOURCE the tree, $OUT where the packages go
IN_A_TREE = machine.OVERLAY + """\
mkdir "$top/root/source" "$top/root/out"
mount --bind -o ro "$SOURCE" "$top/root/source"
mount --bind "$OUT" "$top/root/out"
mount --bind /proc "$top/root/proc"
chroot "$top/root" useradd --create-home builder
chroot "$top/root" chown builder: /out
exec chroot "$top/root" runuser -u builder -- /source/packaging/install --build-only --output=/out
"""


def output(*argv, **options):
    done = subprocess.run([str(word) for word in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, **options)
    assert done.returncode == 0, f"{argv}: exit {done.returncode}:\n{done.stdout[-4000:]}"
    return done.stdout


def this_suite():
    text = pathlib.Path("/etc/os-release").read_text(encoding="utf-8")
    found = re.search(r"^VERSION_CODENAME=(\w+)", text, re.M)
    return found and found[1]


def why_not(suite):
    """The reason why packages of a suite cannot be built here, or None."""
    if suite != this_suite():
        return machine.why_not()
    return None if shutil.which("dpkg-buildpackage") else "dpkg-buildpackage is not installed"


def tree(suite):
    return machine.pristine(suite, "install", machine.INSTALLER + machine.SYSTEMD_PC[suite])


def build(suite, folder):
    """Builds all packages of a suite into the folder."""
    out = folder / suite
    out.mkdir()
    if suite == this_suite():
        return output(SOURCE / "packaging/install", "--build-only", "--check", f"--output={out}", timeout=500)
    top = folder / f"{suite}-top"
    top.mkdir()
    return output(*machine.script(IN_A_TREE, tree(suite), top, SOURCE=SOURCE, OUT=out), timeout=900)


# $FOLDER is seen as /made, and is where the command is run
COMMAND = machine.OVERLAY + """\
mkdir "$top/root/made"
mount --bind "$FOLDER" "$top/root/made"
mount --bind /proc "$top/root/proc"
shift 2
exec chroot "$top/root" sh -euc 'cd /made && exec "$@"' sh "$@"
"""


def in_a_tree(suite, folder, *command):
    """What a command of a suite prints, of files in the folder; on this machine if it is of that suite."""
    if suite == this_suite():
        return output(*command, cwd=folder, timeout=300)
    with tempfile.TemporaryDirectory() as top:
        return output(*machine.script(COMMAND, tree(suite), top, FOLDER=folder), *command, timeout=300)


def build_all(folder):
    """{suite: why its packages could not be built, or None}; all suites at once"""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        jobs = {suite: pool.submit(build, suite, folder) for suite in machine.SUITES if not why_not(suite)}
    failed = {suite: str(job.exception()) for suite, job in jobs.items() if job.exception()}
    return {suite: failed.get(suite) for suite in machine.SUITES}


def usual(path):
    """A path as a distribution without merged folders and compressed pages would have it."""
    path = re.sub(r"^\.?/(lib|bin|sbin)/", r"/usr/\1/", path.removeprefix("."))
    return re.sub(r"(/man/.*)\.gz$", r"\1", path)


def files(folder):
    """{path: file} of all files below a folder that is an installation's root."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_symlink() or not path.is_dir():
            found[usual("/" + str(path.relative_to(folder)))] = path
    return found
