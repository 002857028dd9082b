# SPDX-License-Identifier: MIT
"""The checks of installing and removing the packages, from inside a booted machine, as root.

tests/packages/test_walk.py (on the host) imports this file for the list of CHECKS. /root/packages has the packages of
this machine's Debian, /root/tests their autopkgtest. The checks build on one another, in the order they stand here.
"""
import contextlib
import os
import pathlib
import pwd
import re
import socket
import subprocess
import sys

import guest
from guest import STORE, output, show, units, until

PACKAGES = pathlib.Path("/root/packages")
AUTOPKGTEST = pathlib.Path("/root/tests/message")
ETC = pathlib.Path("/etc/hl7-inetd")
LINKS = pathlib.Path("/etc/systemd/system")
NEXT_STEP = "systemctl enable --now hl7-receive.socket"
SOCKETS = ["hl7-receive.socket", "hl7-receive-proxied.socket", "hl7-receive-wait.socket"]
PATH = "hl7-forward@ris.path"
QUESTION = "hl7-inetd/purge-store"

CHECKS = {}


def check(function):
    CHECKS[function.__name__] = function
    return function


def apt(*words):
    """What it says, with nobody there to answer a question."""
    return output("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--yes", "--no-install-recommends",
                  "-o", "Dpkg::Use-Pty=0", *map(str, words))


def debs(pattern):
    found = sorted(PACKAGES.glob(pattern))
    assert found, f"no {pattern} in {PACKAGES}"
    return found


def status(package):
    done = guest.run("dpkg-query", "--show", "--showformat=${db:Status-Status}", package)
    return done.stdout if done.returncode == 0 else "unknown"


def listens(port=guest.PORT):
    return any(local == port and state == "0A" for local, _, state, _, _ in guest.tcp_rows())


def mode(path):
    return f"{path.owner()}:{path.group()} {path.stat().st_mode & 0o7777:o}"


def links():
    """The links by which units of ours are enabled."""
    return sorted(str(path.relative_to(LINKS)) for path in LINKS.rglob("hl7-*") if path.is_symlink())


def assert_nothing_runs():
    assert not listens(), "something listens"
    active = units("hl7-*", "--state=active,activating,deactivating,failed")
    assert not active, active


@check
def tools_alone():
    """They need nothing else of us."""
    said = apt("install", *debs("hl7-inetd-tools_*.deb"))
    assert NEXT_STEP not in said, said
    assert status("hl7-inetd") != "installed"
    for program in "hl7-send", "hl7-convert", "hl7-show":
        assert output(program, "--version").startswith(program), program
    templates = pathlib.Path("/usr/share/hl7-inetd/templates")
    output("hl7-convert", "--check", f"--tables={templates}/tables", *sorted(map(str, templates.glob("*.hl7t"))))


@check
def installing_opens_no_port():
    said = apt("install", *debs("*.deb"))
    assert said.count(NEXT_STEP) == 1, f"the next step is not told once:\n{said}"
    assert_nothing_runs()
    assert not links(), links()
    for unit in *SOCKETS, "hl7-queue-expire.timer", "hl7-queue-metrics.timer":
        state = guest.run("systemctl", "is-enabled", unit).stdout.strip()
        assert state == "disabled", f"{unit}: {state}"
    for user in "hl7-inetd", "hl7-inetd-proxy":
        assert pwd.getpwnam(user).pw_uid < 1000, user
    for name in "ack.d", "convert.d", "tables":
        assert mode(ETC / name) == "root:root 755", f"{name}: {mode(ETC / name)}"
    assert mode(ETC / "destinations") == "root:hl7-inetd 750", mode(ETC / "destinations")
    for program in "hl7-receive", "hl7-forward", "hl7-queue", "hl7-amqp":
        assert output(program, "--version").startswith(program), program
    # a preset of the distribution that enables all has no say either
    output("systemctl", "preset", *SOCKETS)
    assert not links(), links()


@check
def autopkgtest():
    told = output(AUTOPKGTEST).splitlines()[-1]
    assert_nothing_runs()
    return told


@check
def installed_again():
    """Nothing is said, and what the administrator has changed stays."""
    output("systemctl", "enable", "--now", guest.SOCKET, PATH)
    (ETC / "destinations").chmod(0o700)
    (ETC / "receive.conf").write_text("HL7_RECEIVE_OPTIONS=--idle-timeout=50s\n", encoding="ascii")
    enabled, inode = links(), guest.listener()[0]
    said = apt("install", "--reinstall", *debs("*.deb"))
    assert NEXT_STEP not in said, said
    assert links() == enabled and len(enabled) == 2, enabled
    assert mode(ETC / "destinations") == "root:hl7-inetd 700", mode(ETC / "destinations")
    assert guest.listener()[0] == inode, "another socket listens"
    guest.send_good("AGAIN-1")
    guest.settle()


@check
def removal_keeps_the_store():
    """The frame in hand is answered; then nothing runs, and what is not a program is there."""
    stored = len(guest.stored_files())
    with guest.connect() as connection:
        half = guest.frame(guest.message("REMOVED-1"))
        connection.sendall(half[:20])
        guest.in_hand(connection)
        removing = subprocess.Popen(["apt-get", "remove", "--yes", "hl7-inetd"], stdin=subprocess.DEVNULL,
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        until(lambda: not listens(), "the socket is closed")
        connection.sendall(half[20:])
        guest.assert_accepted(guest.answer(connection), "REMOVED-1")
    said, _ = removing.communicate(timeout=guest.WAIT)
    assert removing.returncode == 0, said
    assert status("hl7-inetd") == "config-files", status("hl7-inetd")
    assert_nothing_runs()
    assert len(guest.stored_files()) == stored + 1, "the store has changed"
    assert (ETC / "receive.conf").exists()
    assert not pathlib.Path("/usr/sbin/hl7-receive").exists()
    assert pwd.getpwnam("hl7-inetd")


@check
def installed_after_removal():
    said = apt("install", *debs("hl7-inetd_*.deb"))
    assert NEXT_STEP not in said, said
    assert not listens(), "a port was opened"
    enabled = guest.run("systemctl", "is-enabled", guest.SOCKET, PATH).stdout.split()
    assert enabled == ["enabled", "enabled"], enabled


@check
def purge_keeps_the_store_if_nobody_answers():
    stored = guest.stored()
    apt("purge", "hl7-inetd")
    assert status("hl7-inetd") in ("not-installed", "unknown"), status("hl7-inetd")
    assert_nothing_runs()
    assert guest.stored() == stored and stored, "the store has changed"
    assert (ETC / "receive.conf").exists(), "a file of the administrator is gone"
    assert not (ETC / "convert.d").exists(), "an empty folder is left"
    assert not links(), f"units are enabled that are not there: {links()}"
    assert pwd.getpwnam("hl7-inetd"), "the store's owner is gone"
    asked = guest.run("debconf-show", "hl7-inetd").stdout
    assert not asked, f"debconf still knows: {asked}"


@check
def purge_removes_the_store_when_told_to():
    apt("install", *debs("hl7-inetd_*.deb"))
    (ETC / "receive.conf").unlink()
    output("sh", "-c", f"echo hl7-inetd {QUESTION} boolean true | debconf-set-selections")
    apt("purge", "hl7-inetd")
    assert not STORE.exists(), "the store is there"
    assert not ETC.exists(), f"left: {list(ETC.rglob('*'))}"
    left = [path for folder in ("/etc", "/run", "/var/lib", "/usr/lib")
            for path in pathlib.Path(folder).rglob("hl7-*")
            if "dpkg" not in path.parts and "hl7-amqp" not in path.name and "hl7-inetd-tools" not in path.name]
    assert not left, f"left: {left}"
    assert status("hl7-inetd-tools") == "installed"


if __name__ == "__main__":
    guest.run_wanted(pathlib.Path(sys.argv[1]),
                     lambda name: guest.run_check(CHECKS[name], lambda: None, guest.CHECK_SECONDS))
