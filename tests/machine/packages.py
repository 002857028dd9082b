# SPDX-License-Identifier: MIT
"""The checks of installing and removing the packages, from inside a booted machine, as root.

tests/packages/test_walk.py (on the host) imports this file for the list of CHECKS. /srv/packages has the packages of
this machine's Debian, /root/hl7-inetd the source. There is no network. The checks build on one another, in the order
they stand here.
"""
import contextlib
import os
import pathlib
import pty
import pwd
import re
import shutil
import subprocess
import sys

import guest
from guest import STORE, output, show, units, until

PACKAGES = pathlib.Path("/srv/packages")
SOURCE = pathlib.Path("/root/hl7-inetd")
ETC = pathlib.Path("/etc/hl7-inetd")
LINKS = pathlib.Path("/etc/systemd/system")
NEXT_STEP = "systemctl enable --now hl7-receive.socket"
SOCKETS = ["hl7-receive.socket", "hl7-receive-proxied.socket", "hl7-receive-wait.socket"]
PATH = "hl7-forward@ris.path"
QUESTION = "hl7-inetd/purge-store"
ENABLED = "enabled, and not running"

USER = "builder"
HOME = pathlib.Path("/home") / USER
OUT = HOME / "my packages"
FOREIGN = [OUT / name for name in ("hl7-inetd-extra_1.0_all.deb", "other_1.0_all.deb", "source/notes", "notes.changes")]

# In the place of dpkg-buildpackage, which has built them before: for what packaging/install does around it
STAND_IN = f"""\
#!/bin/sh
printf '%s\\n' "$DEB_BUILD_OPTIONS" >{HOME}/asked
cp {PACKAGES}/*.deb {PACKAGES}/*.changes {PACKAGES}/*.buildinfo ..
"""

CHECKS = {}


def check(function):
    CHECKS[function.__name__] = function
    return function


def apt(*words):
    """What it says, with nobody there to answer a question."""
    return output("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--yes", "--no-install-recommends",
                  "-o", "Dpkg::Use-Pty=0", *map(str, words))


def make_user():
    """An ordinary one, who may use sudo, and has the source."""
    output("useradd", "--create-home", USER)
    pathlib.Path(f"/etc/sudoers.d/{USER}").write_text(f"{USER} ALL=(ALL) NOPASSWD: ALL\n", encoding="ascii")
    shutil.copytree(SOURCE, HOME / "hl7-inetd", symlinks=True)
    (HOME / "bin").mkdir()
    guest.replace_file(HOME / "bin/dpkg-buildpackage", STAND_IN.encode(), 0o755)
    for path in *FOREIGN, OUT / "hl7-inetd_0.0.9_amd64.deb":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name, encoding="ascii")
    output("chown", "--recursive", f"{USER}:", HOME)
    # it would wait for a network
    pathlib.Path("/etc/apt/apt.conf.d/no-network").write_text('Acquire::Retries "0";\n', encoding="ascii")


def packaging_install(*options, exit_status=0):
    """What it says to that user, who is at home."""
    done = guest.run("runuser", "-u", USER, "--", "env", f"PATH={HOME}/bin:/usr/bin:/bin", f"HOME={HOME}",
                     HOME / "hl7-inetd/packaging/install", f"--output={OUT.name}", *options, cwd=HOME)
    assert done.returncode == exit_status, f"{options}: exit {done.returncode}: {done.stdout}"
    assert "nocheck" in (HOME / "asked").read_text().split() or "--check" in options
    return done.stdout


def debs(pattern):
    found = sorted(PACKAGES.glob(pattern))
    assert found, f"no {pattern} in {PACKAGES}"
    return found


def status(package):
    """As dpkg has it; one that it has forgotten is one that was never installed."""
    done = guest.run("dpkg-query", "--show", "--showformat=${db:Status-Status}", package)
    return done.stdout if done.returncode == 0 else "not-installed"


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
def build_only():
    """Nothing is installed; earlier packages are replaced where they go, and nothing else is."""
    make_user()
    said = packaging_install("--build-only").splitlines()
    assert said[0].endswith(f" in {OUT}/"), said
    assert said[1:] == [str(OUT / path.name) for name in ("inetd", "inetd-tools", "amqp") for path in debs(f"hl7-{name}_*.deb")]
    assert all(pathlib.Path(path).owner() == USER for path in said[1:])
    assert all(path.read_text() == path.name for path in FOREIGN)
    assert len(list(OUT.glob("hl7-inetd_*.deb"))) == 1, "an earlier package is left"
    assert not list(pathlib.Path("/tmp").glob("tmp.*/hl7-inetd")), "the copy of the source is left"
    assert {status(name) for name in ("hl7-inetd", "hl7-inetd-tools", "hl7-amqp")} == {"not-installed"}


@check
def unit_tests_need_more():
    """What only they need is not here, and cannot be fetched; the builds without --check do not ask for it."""
    said = packaging_install("--check", "--build-only", exit_status=1)
    assert "Installing: libcmocka-dev\n" in said and f"all it said is in {OUT}/install.log" in said, said


@check
def tools_alone():
    """They need nothing else of us."""
    said = packaging_install("--tools-only")
    assert NEXT_STEP not in said and "Installed: hl7-send(1), hl7-convert(1), hl7-show(1)" in said, said
    assert {status(name) for name in ("hl7-inetd", "hl7-amqp")} == {"not-installed"}
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
    """By Debian's tool, which reads what is in packaging/debian/tests."""
    tree, results = pathlib.Path("/root/tree"), pathlib.Path("/root/autopkgtest")
    shutil.copytree(SOURCE / "packaging/debian", tree / "debian")
    done = guest.run("autopkgtest", "--ignore-restrictions=isolation-container", f"--output-dir={results}", *debs("*.deb"),
                     f"{tree}/", "--", "null")
    assert done.returncode == 0, f"exit {done.returncode}: {done.stdout[-3000:]}"
    assert (results / "summary").read_text().split() == ["message", "PASS"], (results / "summary").read_text()
    assert_nothing_runs()
    return (results / "message-stdout").read_text().splitlines()[-1]


@check
def installed_again():
    """Nothing is said, and what the administrator has changed stays."""
    output("systemctl", "enable", "--now", guest.SOCKET, PATH)
    (ETC / "destinations").chmod(0o700)
    (ETC / "receive.conf").write_text("HL7_RECEIVE_OPTIONS=--idle-timeout=50s\n", encoding="ascii")
    enabled, inode = links(), guest.listener()[0]
    said = apt("install", "--reinstall", *debs("*.deb"))
    assert NEXT_STEP not in said and ENABLED not in said, said
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
    assert f"hl7-inetd: {ENABLED}; to start them: systemctl start {guest.SOCKET} {PATH}\n" in said, said
    assert not listens(), "a port was opened"
    enabled = guest.run("systemctl", "is-enabled", guest.SOCKET, PATH).stdout.split()
    assert enabled == ["enabled", "enabled"], enabled


@check
def purge_keeps_the_store_if_nobody_answers():
    stored = guest.stored()
    apt("purge", "hl7-inetd")
    assert status("hl7-inetd") == "not-installed", status("hl7-inetd")
    assert_nothing_runs()
    assert guest.stored() == stored and stored, "the store has changed"
    assert (ETC / "receive.conf").exists(), "a file of the administrator is gone"
    assert not (ETC / "convert.d").exists(), "an empty folder is left"
    assert not links(), f"units are enabled that are not there: {links()}"
    assert pwd.getpwnam("hl7-inetd"), "the store's owner is gone"
    asked = guest.run("debconf-show", "hl7-inetd").stdout
    assert not asked, f"debconf still knows: {asked}"


def purge_at_a_terminal(answer):
    """What somebody sees there who gives the answer."""
    process, terminal = pty.fork()
    if process == 0:
        os.execvpe("dpkg", ["dpkg", "--purge", "hl7-inetd"],
                   {**os.environ, "DEBIAN_FRONTEND": "teletype", "TERM": "dumb", "LINES": "50", "COLUMNS": "100"})
    shown = b""
    with contextlib.suppress(OSError):      # it has ended
        while chunk := os.read(terminal, 4096):
            before, shown = shown, shown + chunk
            if b"[yes/no]" in shown and b"[yes/no]" not in before:
                os.write(terminal, f"{answer}\n".encode())
    os.close(terminal)
    _, ended = os.waitpid(process, 0)
    assert ended == 0, shown
    return shown.decode()


@check
def purge_asks_who_is_there():
    stored = guest.stored()
    for answer in "no", "yes":
        apt("install", *debs("hl7-inetd_*.deb"))
        shown = purge_at_a_terminal(answer)
        assert "Delete all HL7 messages of this machine?" in shown and str(STORE) in shown, shown
        assert answer == "yes" or guest.stored() == stored, "the store has changed"
    assert not STORE.exists(), "the store is there"


def install_and_receive(control_id):
    apt("install", *debs("hl7-inetd_*.deb"))
    output("systemctl", "start", guest.SOCKET)
    guest.send_good(control_id)
    guest.settle()


def purge_with_messages():
    """As a site does it that has decided before."""
    output("sh", "-c", f"echo hl7-inetd {QUESTION} boolean true | debconf-set-selections")
    apt("purge", "hl7-inetd")
    assert status("hl7-inetd") == "not-installed", status("hl7-inetd")


@check
def purge_empties_a_volume():
    STORE.mkdir()
    output("mount", "-t", "tmpfs", "volume", STORE)
    install_and_receive("VOLUME-1")
    purge_with_messages()
    assert STORE.is_mount() and not list(STORE.iterdir()), f"left: {list(STORE.rglob('*'))}"
    output("umount", STORE)
    STORE.rmdir()


@check
def purge_follows_a_link():
    """The units do not start with one; a store that was moved may have left it."""
    folder = pathlib.Path("/srv/messages")
    install_and_receive("LINK-1")
    shutil.move(STORE, folder)
    STORE.symlink_to(folder)
    purge_with_messages()
    assert not STORE.is_symlink() and not folder.exists(), f"left: {list(folder.rglob('*'))}"


@check
def purge_removes_the_store_when_told_to():
    install_and_receive("PURGED-1")
    (ETC / "receive.conf").unlink()
    purge_with_messages()
    assert not STORE.exists(), "the store is there"
    assert not ETC.exists(), f"left: {list(ETC.rglob('*'))}"
    left = [path for folder in ("/etc", "/run", "/var/lib", "/usr/lib")
            for path in pathlib.Path(folder).rglob("hl7-*")
            if "dpkg" not in path.parts and "hl7-amqp" not in path.name and "hl7-inetd-tools" not in path.name]
    assert not left, f"left: {left}"
    assert status("hl7-inetd-tools") == "installed"


@check
def packaging_install_installs_what_is_asked_for():
    apt("purge", "hl7-amqp")
    for options, amqp in ([], "not-installed"), (["--with-amqp"], "installed"):
        said = packaging_install(*options)
        assert said.count(NEXT_STEP) == 1, said
        assert status("hl7-inetd") == "installed" and status("hl7-amqp") == amqp, status("hl7-amqp")
    assert_nothing_runs()
    assert all(path.read_text() == path.name for path in FOREIGN)


if __name__ == "__main__":
    guest.run_wanted(pathlib.Path(sys.argv[1]),
                     lambda name: guest.run_check(CHECKS[name], lambda: None, guest.CHECK_SECONDS))
