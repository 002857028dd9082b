# SPDX-License-Identifier: MIT
"""The checks of a machine that builds, installs and upgrades its packages, from inside, as root.

test_upgrade.py (on the host) imports this file for the list of CHECKS; guest.py has what both share. The tree has the
source in /root/hl7-inetd, what Debian's packages bring, and no network. The checks build on one another, in the order
they stand here: the first installs what the others upgrade.

Under load means: eight senders that never pause, two of each kind in KINDS, and a destination that all they send is
converted for and delivered to.
"""
import collections
import contextlib
import functools
import hashlib
import os
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request

import guest
from guest import BINARY, RECEIVED, SOCKET, WAIT, WAIT_SERVICE, output, run, show, units, until

SOURCE = pathlib.Path("/root/hl7-inetd")
README = SOURCE / "README.md"
WORK = pathlib.Path("/root/packages")       # what is built and taken apart here
ETC = pathlib.Path("/etc/hl7-inetd")
PROXIED_SOCKET = "hl7-receive-proxied.socket"
TLS_PORT = 2575
WAIT_PORT = 5124
DESTINATION = ("ris.example", 6661)         # as README.md has it
METRICS = "http://127.0.0.1:9100/metrics"   # prometheus-node-exporter, as Debian starts it

CHECK_SECONDS = 300         # for one check
COMMAND_SECONDS = 200       # for one command of README.md, and for building the packages
PACE_SECONDS = 0.01         # between two messages of a kept connection, or they would leave nothing to the others
NEXT_UNIT = "Next "         # with what the descriptions of the next version's units begin
BROKEN_SECONDS = 3          # that a version that does not work stays

CHECKS = {}


def check(function):
    CHECKS[function.__name__] = function
    return function


# -- README.md ------------------------------------------------------------------------------------

def blocks_to_copy(heading):
    """[[command, ...], ...]: the blocks of shell commands below a heading, lines that go on made one."""
    section = README.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = re.findall(r"^```sh\n(.*?)^```$", section, re.M | re.S)
    return [re.sub(r"\\\n\s*", "", text).splitlines() for text in found]


def shell(command, folder=SOURCE, seconds=COMMAND_SECONDS):
    """Nobody sits there to answer a question."""
    began = time.monotonic()
    done = subprocess.run(["bash", "-c", command], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, f"{command}: exit {done.returncode}:\n{done.stdout[-4000:]}"
    print(f"{time.monotonic() - began:5.1f} s  {command}", flush=True)
    return done.stdout


def listens(port):
    return any(local == port and state == "0A" for local, _, state, _, _ in guest.tcp_rows())


class Sink(guest.Sink):
    """The destination. What it is sent has a control id of its own; the order's number is the sender's."""

    def __init__(self):
        super().__init__(DESTINATION[1])
        self.applications = collections.Counter()

    def known_by(self, payload):
        segments = [line.split(b"|") for line in payload.strip(b"\x0b").split(b"\r")]
        order, = [fields[2].decode() for fields in segments if fields[0] == b"OBR"]
        self.applications[segments[0][2].decode()] += 1
        return order


def metrics():
    with urllib.request.urlopen(METRICS, timeout=WAIT) as page:
        return dict(re.findall(r"^(hl7_\w+(?:\{.*?\})?) (\S+)$", page.read().decode(), re.M))


@check
def ten_commands_of_the_readme():
    """They give a listener that is protected by TLS, converts, delivers, and is monitored. Nothing else is done."""
    with open("/etc/hosts", "a", encoding="ascii") as hosts:
        hosts.write(f"127.0.0.1 localhost {socket.gethostname()} {DESTINATION[0]}\n")
    assert not run("dpkg-query", "-W", "hl7-inetd").stdout.strip().startswith("hl7-inetd\t"), "it is there already"
    commands, tries = blocks_to_copy("In ten commands")
    assert len(commands) < 10, f"{len(commands)} commands"
    for command in commands:
        shell(command)
    until(lambda: listens(TLS_PORT), "the TLS port")
    assert show(PROXIED_SOCKET, "ActiveState")["ActiveState"] == "active"
    again = run(guest.EXAMPLES / "try-certificates", cwd=SOURCE)
    assert again.returncode == 1 and "is there already" in again.stdout, f"certificates are overwritten: {again.stdout}"
    output("openssl", "verify", "-x509_strict", "-CAfile", SOURCE / "ca.pem", "/etc/hl7-inetd/tls/server.pem",
           SOURCE / "client.pem")
    assert not listens(guest.PORT), "a port without TLS is open, which nobody asked for"
    state = run("systemctl", "is-enabled", PROXIED_SOCKET, "stunnel@hl7", "hl7-forward@ris.path",
                "hl7-queue-metrics.timer").stdout.split()
    assert state == ["enabled"] * 4, state
    sink = Sink()
    for command in tries:
        told = shell(command)
        assert "MSA|AA|SAMPLE-0001" in told, told
    stored = [path.read_bytes() for path in guest.stored_files()]
    sample = (SOURCE / "packaging/sample.hl7").read_bytes().replace(b"\n", b"\r")
    assert stored == [sample], f"{len(stored)} messages are stored"
    until(lambda: "Subject: A message was taken" in output("journalctl", "-x", "-t", "hl7-receive"),
          "the journal's catalog has been brought up to date")
    until(lambda: sink.got == ["ORD-7"], f"the order at the destination: {sink.got}")
    sink.stop()
    until(lambda: not pathlib.Path("/var/lib/hl7-inetd/queue/ris").exists()
          or not list(guest.QUEUE.iterdir()), "nothing waits any more")
    with contextlib.suppress(OSError, ssl.SSLError), dial_tls(None) as stranger:
        stranger.sendall(guest.frame(guest.message("STRANGER")))
        assert not guest.answer(stranger), "an answer to a client without a certificate"
    second()    # built while the timer is waited for
    until(pathlib.Path("/run/hl7-queue/hl7-inetd.prom").exists, "the timer has written the figures", 90)
    figures = metrics()
    assert figures, f"no hl7_ figures at {METRICS}"
    assert not units("--failed"), units("--failed")
    return f"{len(commands)} commands; {len(figures)} figures at node_exporter's /metrics"


# -- versions -------------------------------------------------------------------------------------

def version_of(program):
    return re.search(r" (\d+(?:\.\d+)+)\b", output(program, "--version").splitlines()[0])[1]


def packages_in(folder):
    """The two for an installed listener."""
    found = [path for path in (folder / "build-deb").glob("*.deb") if not path.name.startswith("hl7-amqp_")]
    assert sorted(path.name.split("_")[0] for path in found) == ["hl7-inetd", "hl7-inetd-tools"], found
    return sorted(found)


@functools.cache
def first():
    """Those that README.md's first command has built and installed."""
    return packages_in(SOURCE)


@functools.cache
def second():
    """The same tree with the next version number, and other units."""
    tree, old = WORK / "next", version_of(BINARY)
    new = re.sub(r"\d+$", lambda digits: str(int(digits[0]) + 1), old)
    shutil.copytree(SOURCE, tree, ignore=shutil.ignore_patterns("build-deb"))
    for names, was, will in ((("meson.build", "packaging/debian/changelog"), old, new),
                             (("units/hl7-receive.socket.in", "units/hl7-receive@.service.in",
                               "units/hl7-receive-wait.service.in"), "Description=", f"Description={NEXT_UNIT}")):
        for name in names:
            text = (tree / name).read_text(encoding="utf-8")
            assert was in text, f"{name} has no {was}"
            (tree / name).write_text(text.replace(was, will, 1), encoding="utf-8")
    shell("./packaging/install --build-only", tree)
    return packages_in(tree)


def with_another_receiver(name, program):
    """The next version, as packages whose hl7-receive is another program."""
    made = []
    for package in second():
        tree = WORK / name / package.name.split("_")[0]
        tree.parent.mkdir(parents=True, exist_ok=True)
        output("dpkg-deb", "--raw-extract", package, tree)
        if (tree / "usr/sbin/hl7-receive").exists():
            guest.replace_file(tree / "usr/sbin/hl7-receive", program, 0o755)
        control = tree / "DEBIAN/control"
        version = re.search(r"^Version: (.*)$", control.read_text(), re.M)[1]
        control.write_text(control.read_text().replace(version, f"{version}+{name}"))
        target = tree.with_suffix(".deb")
        output("dpkg-deb", "--build", "--root-owner-group", "-Znone", tree, target)
        made.append(target)
    return made


def apt_install(packages):
    """As an administrator does it, with local files; the seconds it took."""
    began = time.monotonic()
    shell("DEBIAN_FRONTEND=noninteractive apt-get install --yes --allow-downgrades "
          + " ".join(map(str, packages)), "/")
    return time.monotonic() - began


# -- a site ---------------------------------------------------------------------------------------

SITE = {
    # one process for each connection, however many messages it brings
    ETC / "receive.conf": 'HL7_RECEIVE_OPTIONS="--messages=0 --idle-timeout=1h"\n',
    ETC / "ack.d/10-site.hl7t": "MSH|^~\\&|OF-THE-SITE|H|{MSH-3}|{MSH-4}|{now}||ACK|{id}|P|2.4\n"
                                "MSA|{ack.code}|{MSH-10}\n",
    ETC / "tables/site.tsv": "BEDSIDE\tBED-OF-THE-SITE\n*\tOTHER\n",
    ETC / "destinations/ris.conf": f"# changed\nTo=mllp://{DESTINATION[0]}:{DESTINATION[1]}\n"
                                 "RetryMin=200ms\nRetryMax=1s\n",
    pathlib.Path("/etc/systemd/system/hl7-receive@.service.d/site.conf"): "[Service]\nNice=1\n",
    pathlib.Path("/etc/systemd/system/hl7-receive.socket.d/site.conf"): "[Socket]\nMaxConnectionsPerSource=100\n",
}


def configure_site():
    """What an administrator may have changed: each kind of file, drop-ins, a unit, and what is enabled."""
    for path, text in SITE.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
    template = ETC / "convert.d/oru-to-ris.hl7t"
    text = template.read_text(encoding="utf-8")
    assert "|BROKER|" in text, text
    template.write_text(text.replace("|BROKER|", "|{MSH-3.1:map(site)}|"), encoding="utf-8")
    # Both ways to accept at once, each on a port of its own: a unit of the site in place of the one that conflicts
    wait = (guest.UNITS / guest.WAIT_SOCKET).read_text(encoding="utf-8")
    wait = re.sub(r"^Conflicts=.*\n", "", wait, flags=re.M).replace("ListenStream=5123", f"ListenStream={WAIT_PORT}")
    (pathlib.Path("/etc/systemd/system") / guest.WAIT_SOCKET).write_text(wait, encoding="utf-8")
    output("systemctl", "daemon-reload")
    output("systemctl", "enable", "--now", SOCKET, guest.WAIT_SOCKET)


def site():
    """All of it: the contents of each file, and the state of each unit."""
    files = {str(path): os.readlink(path) if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest()
             for folder in (ETC, pathlib.Path("/etc/systemd/system"), pathlib.Path("/etc/stunnel"))
             for path in folder.rglob("*") if path.is_symlink() or path.is_file()}
    owners = {str(path): (path.stat().st_mode, path.owner(), path.group()) for path in ETC.rglob("*")}
    enabled = output("systemctl", "list-unit-files", "--no-legend", "hl7-*", "stunnel@*")
    return files, owners, [line.split()[:2] for line in enabled.splitlines()]


def sockets():
    """{what is listened at: the inode of the socket}"""
    found = {port: inode for port, _, state, _, inode in guest.tcp_rows()
             if state == "0A" and port in (guest.PORT, WAIT_PORT)}
    for line in pathlib.Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[-1] == str(guest.PROXIED) and int(fields[3], 16) & 0x10000:      # it listens
            found[fields[-1]] = int(fields[6])
    assert len(found) == 3, f"listened at: {found}"
    return found


# -- load -----------------------------------------------------------------------------------------

def dial(port):
    return socket.create_connection(("127.0.0.1", port), WAIT)


def dial_tls(certificate=SOURCE / "client.pem"):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(ETC / "tls/clients.pem")
    if certificate:
        context.load_cert_chain(certificate)
    return context.wrap_socket(dial(TLS_PORT))


KINDS = {   # how to connect, and whether the connection is kept for all messages
    "single": (functools.partial(dial, guest.PORT), False),
    "kept": (functools.partial(dial, guest.PORT), True),
    "tls": (dial_tls, False),
    "tls-kept": (dial_tls, True),
    "wait": (functools.partial(dial, WAIT_PORT), False),
    "wait-kept": (functools.partial(dial, WAIT_PORT), True),
}
SENDERS = ["single", "single", "kept", "kept", "tls", "tls-kept", "wait", "wait-kept"]


def order(control_id):
    """The number of its order, which goes on to the destination, is the control id."""
    return guest.message(control_id).replace(b"OBR|1||88-1|", f"OBR|1|{control_id}|88-1|".encode())


class Sender(threading.Thread):
    """Sends without pause until told to stop; each message until it is acknowledged."""

    def __init__(self, prefix, number, kind):
        super().__init__(daemon=True)
        self.prefix, self.kind = f"{prefix}-{number}-{kind}", kind
        self.dial, self.kept = KINDS[kind]
        self.connection = None
        self.opened = 0
        self.counts = collections.Counter()
        self.taken = []         # (control id, when its connection was asked for, when it was acknowledged)
        self.wrong = []         # answers that are no acceptance of what was sent
        self.moments = []       # (when, what went wrong, how long the connection was there)
        self.stop, self.abandon = threading.Event(), threading.Event()

    def run(self):
        while not self.stop.is_set():
            if not self.deliver(f"{self.prefix}-{self.counts['messages']}"):
                break
            self.counts["messages"] += 1
            if self.kept:
                time.sleep(PACE_SECONDS)
        if self.connection:
            self.connection.close()

    def deliver(self, control_id):
        """Tries until it is answered; whether it was."""
        while not (raw := self.attempt(control_id)):
            self.connection = None
            if self.abandon.wait(0.1):
                return False
        self.taken.append((control_id, self.opened, time.monotonic()))
        segments = guest.parse_ack(raw)
        if segments[1][1:3] != ["AA", control_id] or segments[0][2] != "OF-THE-SITE":
            self.wrong.append(raw)
        if not self.kept:
            self.connection.close()
            self.connection = None
        return True

    def fault(self, what):
        self.counts[what] += 1
        self.moments.append(f"{time.strftime('%H:%M:%S')}.{int(time.time() * 1000) % 1000:03} {self.prefix} {what} "
                            f"after {time.monotonic() - self.opened:.3f} s")

    def attempt(self, control_id):
        """The answer; None, and why is counted."""
        try:
            if not self.connection:
                self.opened = time.monotonic()
                self.connection = self.dial()
                self.counts["connections"] += 1
            self.connection.sendall(guest.frame(order(control_id)))
            raw = b""
            while not raw.endswith(b"\x1c\r"):
                if not (chunk := self.connection.recv(65536)):
                    break
                raw += chunk
            else:
                return raw
            self.fault("closed")
        except ConnectionRefusedError:
            self.fault("refused")
        except TimeoutError:
            self.fault("timed out")
        except OSError:     # TLS also has errors of its own
            self.fault("reset" if self.connection else "no handshake")
        return None

    def pid(self):
        """The process that serves its connection."""
        _, inode = guest.server_side(self.connection)
        pid, = guest.holders(inode)
        return pid


FAULTS = "closed", "refused", "reset", "timed out", "no handshake"


class Load:
    """The senders and the destination for as long as the block runs; then all that must hold of messages."""

    def __init__(self, prefix):
        self.prefix = prefix
        self.senders = [Sender(prefix, number, kind) for number, kind in enumerate(SENDERS)]

    def __enter__(self):
        # one that still lingers has a connection to the destination of the load before
        until(lambda: guest.forwarder_is("inactive"), "no forwarder runs")
        self.sink = Sink()
        for sender in self.senders:
            sender.start()
        self.more(5)
        return self

    def __exit__(self, kind, *_):
        for sender in self.senders:
            sender.stop.set()
            if kind:
                sender.abandon.set()
        try:
            until(lambda: not any(sender.is_alive() for sender in self.senders), "the senders have finished")
            if not kind:
                self.judge()
        finally:
            self.sink.stop()

    def more(self, count, kinds=KINDS):
        """Waits until each sender of these kinds has so many answers more."""
        for sender in self.senders:
            if sender.kind in kinds:
                target = len(sender.taken) + count
                until(lambda s=sender, t=target: len(s.taken) >= t or not s.is_alive(),
                      f"{count} more messages of {sender.prefix}: {dict(sender.counts)}")
                assert sender.is_alive(), f"{sender.prefix} has ended"

    def faults(self, kinds=KINDS):
        total = collections.Counter()
        for sender in self.senders:
            if sender.kind in kinds:
                total += collections.Counter({fault: sender.counts[fault] for fault in FAULTS})
        return dict(total)

    def taken(self):
        return [control_id for sender in self.senders for control_id, _, _ in list(sender.taken)]

    def stored(self):
        """How many files there are of each control id of this load."""
        return collections.Counter(
            control_id for path in guest.stored_files()
            if (control_id := path.read_bytes().split(b"|", 10)[9].decode()).startswith(f"{self.prefix}-"))

    def assert_none_falsely(self):
        """Each message that was acknowledged so far is stored."""
        taken = self.taken()
        lost = set(taken) - set(self.stored())
        assert not lost, f"{len(lost)} messages are acknowledged and not stored: {sorted(lost)[:5]}"
        return len(taken)

    def judge(self):
        """Each message was taken, is stored, and came to the destination: once."""
        wrong = [raw for sender in self.senders for raw in sender.wrong]
        assert not wrong, f"{len(wrong)} answers are not what they should be: {wrong[:3]}"
        taken = collections.Counter(self.taken())
        assert sum(sender.counts["messages"] for sender in self.senders) == len(taken) == taken.total()
        assert self.stored() == taken, f"not once in {RECEIVED}: {differing(self.stored(), taken)}"
        while (before := len(self.sink.got)) < len(taken):
            until(lambda b=before: len(self.sink.got) > b, f"{len(taken)} at the destination: {before}")
        until(lambda: not list(guest.QUEUE.iterdir()), "nothing waits any more")
        got = collections.Counter(self.sink.got)
        assert got == taken, f"not once at the destination: {differing(got, taken)}"
        assert set(self.sink.applications) == {"BED-OF-THE-SITE"}, self.sink.applications

    def told(self):
        """What went wrong and when, with what the journal has of wait mode."""
        journal = output("journalctl", "-q", "-o", "short-precise", "-n", "60", "-u", WAIT_SERVICE, "--grep",
                         "^(?!message stored)")
        moments = sorted(moment for sender in self.senders for moment in sender.moments)
        return "\n".join([str(self), *moments[:40], journal])

    def __str__(self):
        def told(kind):
            counts = sum((sender.counts for sender in self.senders if sender.kind == kind), collections.Counter())
            faults = ", ".join(f"{counts[fault]} {fault}" for fault in FAULTS if counts[fault])
            return f"{kind} {counts['messages']}/{counts['connections']}" + (f" ({faults})" if faults else "")
        return "messages/connections: " + ", ".join(map(told, KINDS)) + \
            f"; {len(self.sink.got)} delivered over {self.sink.connections} connections"


def differing(one, other):
    return {key: (one[key], other[key]) for key in [*one, *other] if one[key] != other[key]}


# -- which program a process runs -----------------------------------------------------------------

def started(pid):
    """When it was started, as time.monotonic() has it."""
    ticks = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return ticks / os.sysconf("SC_CLK_TCK")


def unit_of(pid):
    name = pathlib.Path(f"/proc/{pid}/cgroup").read_text().strip().rpartition("/")[2]
    return re.sub(r"@.*", "@", name).removesuffix(".service")


def new_ones_run(since, version):
    """Each process that was started behind that moment runs the installed program; there are some of each kind."""
    seen = collections.Counter()
    installed = BINARY.stat().st_ino
    assert version_of(BINARY) == version

    def looked_at():
        for pid in guest.receivers():
            with contextlib.suppress(OSError):      # it has ended
                began, unit, program = started(pid), unit_of(pid), os.stat(f"/proc/{pid}/exe").st_ino
                if began > since + 0.02:            # a tick of that clock, twice
                    assert program == installed, f"{pid} of {unit} was started behind and runs another program"
                    seen[unit] += 1
        return {"hl7-receive@", "hl7-receive-proxied@", "hl7-receive-wait"} <= set(seen)
    until(looked_at, f"new processes of each kind; seen: {seen}")


def forwarder_runs_the_installed():
    pid = int(show(guest.FORWARD, "MainPID")["MainPID"])
    with contextlib.suppress(OSError):
        return pid and os.stat(f"/proc/{pid}/exe").st_ino == pathlib.Path("/usr/sbin/hl7-forward").stat().st_ino
    return False


# -- the upgrades ---------------------------------------------------------------------------------

# Whose connections a restart of wait mode's supervisor ends, at the end of a message; the others are let alone
LET_ALONE = [kind for kind in KINDS if kind != "wait-kept"]


def outdated():
    """The processes that run a program which is no longer installed."""
    found = []
    for pid in guest.receivers():
        with contextlib.suppress(OSError):      # it has ended
            if os.stat(f"/proc/{pid}/exe").st_ino != BINARY.stat().st_ino:
                found.append(pid)
    return found


def change_version(load, packages, version, kept):
    """Under load: what must hold of processes and sockets whenever another version is installed."""
    before, listening = site(), sockets()
    answers = len(load.taken())
    seconds = apt_install(packages)
    answers, done = len(load.taken()) - answers, time.monotonic()
    assert answers, "no message was answered while it was installed"
    # its postinst waits for the supervisor, and not for the forwarder, which may wait for its destination
    new_ones_run(done, version)
    until(forwarder_runs_the_installed, "the forwarder is of the version that is installed")
    load.more(10)
    assert sockets() == listening, f"other sockets: {listening}, {sockets()}"
    assert site() == before, "what the administrator has changed is not what it was"
    for sender, (pid, old) in kept.items():
        assert sender.pid() == pid, f"another process serves {sender.prefix}"
        assert version_of(f"/proc/{pid}/exe") == old, f"{pid} runs another program"
    assert not units("--failed"), units("--failed")
    return f"{version} installed in {seconds:.1f} s, {answers} answers meanwhile"


@check
def upgrade_under_load_and_back():
    """No connection is refused or cut off, no message lost or doubled, no socket closed."""
    configure_site()
    old, new = first(), second()
    versions = [packages[0].name.split("_")[1].partition("~")[0] for packages in (old, new)]
    assert versions[0] != versions[1] and version_of(BINARY) == versions[0]
    with Load("UP") as load:
        kept = {sender: (sender.pid(), versions[0]) for sender in load.senders if sender.kind == "kept"}
        told = [change_version(load, new, versions[1], kept)]
        for unit in SOCKET, WAIT_SERVICE:
            assert show(unit, "Description")["Description"].startswith(NEXT_UNIT), f"{unit} is not the next version's"
        assert all("(deleted)" in os.readlink(f"/proc/{pid}/exe") for pid, _ in kept.values())
        told.append(change_version(load, old, versions[0], kept))
        assert all(sender.counts["connections"] == 1 for sender in kept)
    assert not load.faults(LET_ALONE), load.told()
    faults = load.faults(["wait-kept"])
    # a message that crosses the end of its connection is answered by a reset, and is not taken
    assert set(faults) <= {"closed", "reset"} and sum(faults.values()) <= 2, f"more than one for each restart: {load.told()}"
    until(lambda: not outdated(), f"processes of the version before have finished: {outdated()}")
    return "; ".join([*told, str(load)])


def broken_version_under_load(name, program):
    """Nothing is acknowledged that is not stored, and with the version before all goes on by itself."""
    version = version_of(BINARY)
    packages = with_another_receiver(name, program)
    with contextlib.ExitStack() as stack, Load(name.upper()) as load:
        kept = {sender: sender.pid() for sender in load.senders if sender.kind == "kept"}
        before, listening = site(), sockets()
        stack.callback(apt_install, first())    # should this check fail
        apt_install(packages)
        until(lambda: guest.supervisor() == 0, "wait mode's supervisor has ended")
        began = time.monotonic()
        time.sleep(BROKEN_SECONDS)
        ended = time.monotonic()
        attempts = load.faults()
        falsely = [control_id for sender in load.senders for control_id, opened, _ in list(sender.taken)
                   if began < opened < ended]
        assert not falsely, f"answered by a program that does not start: {falsely[:5]}"
        acknowledged = load.assert_none_falsely()
        for kind in "single", "tls":    # a connection of wait mode is not accepted, and waits
            assert sum(load.faults([kind]).values()), f"{kind}: nobody was left without an answer"
        load.more(10, ["kept"])     # those that were connected before are served as ever
        assert all(sender.pid() == pid for sender, pid in kept.items())
        assert sockets() == listening, f"other sockets: {listening}, {sockets()}"
        for unit in SOCKET, guest.WAIT_SOCKET, PROXIED_SOCKET:
            assert show(unit, "ActiveState", "Result") == {"ActiveState": "active", "Result": "success"}, unit
        # an instance that has just failed is about to be forgotten
        failed = [line for line in units("--failed") if "@" not in line.split()[0]]
        assert not failed, failed
        apt_install(first())
        stack.pop_all()
        back = time.monotonic()
        load.more(10)
        back = time.monotonic() - back
        assert version_of(BINARY) == version
        assert sockets() == listening and site() == before
    assert "refused" not in load.faults(), load.told()
    until(lambda: not units("--failed"), f"nothing has failed: {units('--failed')}")
    return f"{sum(attempts.values())} attempts without an answer while it was there, all {acknowledged} that were " \
           f"acknowledged up to its end are stored; with the version before all were served within {back:.1f} s; {load}"


@check
def version_that_crashes_under_load():
    source, program = WORK / "abort.c", WORK / "abort"
    source.write_text("#include <stdlib.h>\nint main(void) { abort(); }\n", encoding="ascii")
    output("gcc", "-o", program, source)
    return broken_version_under_load("crash", program.read_bytes())


@check
def version_that_cannot_be_executed_under_load():
    """It is for another machine: the kernel refuses it."""
    program = bytearray(BINARY.read_bytes())
    program[18:20] = b"\xed\xfe"    # e_machine
    return broken_version_under_load("noexec", bytes(program))


if __name__ == "__main__":
    guest.run_wanted(pathlib.Path(sys.argv[1]), lambda name: guest.run_check(CHECKS[name], lambda: None, CHECK_SECONDS))
