# SPDX-License-Identifier: MIT
"""hl7-operations(7): each command is run in the trouble that it is for, and prints what the page shows.

    HL7_BUILD_DIR=build /usr/bin/python3 -m pytest tests/documents/test_operations.py

What needs a booted systemd is run by tests/machine/operations.py; here it is seen that each command is run
by one of the two. The store, the configuration and the port are those of the test: their paths are
exchanged in the commands, and back in what they print.
"""
import contextlib
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("HL7_BUILD_DIR", SOURCE / "build"))
PAGE = (SOURCE / "src/manual/hl7-operations.7").read_text(encoding="utf-8")
sys.path.insert(0, str(SOURCE / "tests/machine"))
import operations                                                               # noqa: E402

PROGRAMS = "receive", "forward", "queue", "send", "convert", "show"
PATIENCE = 30
STEM = "20261124T041714.453957Z-11338153-12497"     # the page's example
REQUIRED = "{to ris}\nMSH|^~\\&|{MSH-3}|{MSH-4}|{MSH-5}|{MSH-6}|{MSH-7}||{MSH-9}|{MSH-10}|P|2.5\n" \
           "PID|1||{PID-3.1:required}||{PID-5}\n"

# One of another system, which answers AE, 101, to each message that has no PID-4
REFUSING = "PID|{PID-4:required}\n"


def need(*tools):
    for tool in tools:
        if not shutil.which(tool):
            (pytest.fail if os.environ.get("HL7_STRICT") else pytest.skip)(f"{tool} is not installed")


def masked(text):
    """Without what differs from run to run, and each run of blanks as one."""
    for pattern, mask in (
            (r"\b\d{8}T\d{6}\.\d{6}Z-\d+-\d+\b", "FILE"),
            (r"\b20\d\d-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{6})?\b", "TIME"),
            (r"(?<= )\d+(ms|s)(?= )", "AGE"),
            (r"\b\d+ bytes\b", "N bytes"),
            (r"notAfter=.*", "notAfter=TIME"),
            (r"[ \t]+", " ")):
        text = re.sub(pattern, mask, text)
    return [line.strip() for line in text.splitlines() if line.strip()]


class World:
    """A receiver with a store and a configuration, and the commands of one section of the page."""

    def __init__(self, folder, title):
        self.folder, self.title = folder, title
        self.store, self.etc, self.backup = folder / "store", folder / "etc", folder / "backup"
        self.stem, self.port = STEM, 0
        self.prefix, self.processes = [], []
        self.left = [(c, shown) for t, c, shown in operations.commands(PAGE)
                     if t == title and not operations.needs_systemd(c)]
        for name in "convert.d", "ack.d", "tables", "destinations", "tls":
            (self.etc / name).mkdir(parents=True)
        self.store.mkdir(mode=0o750)
        self.make_programs()

    def make_programs(self):
        """The programs under their names; what is installed elsewhere is told where all is here, and this machine's
        journal, which other tests write into, is none of ours."""
        more = {"forward": f"--destinations={self.etc}/destinations"}
        before = {"queue": 'if [ "$1" = trace ]; then shift; set -- trace --no-journal "$@"; fi\n'}
        (self.folder / "bin").mkdir()
        for name in PROGRAMS:
            script = self.folder / "bin" / f"hl7-{name}"
            script.write_text(f'#!/bin/sh\n{before.get(name, "")}'
                              f'exec {BUILD}/src/{name}/hl7-{name} {more.get(name, "")} "$@"\n')
            script.chmod(0o755)
        self.environment = {"PATH": f"{self.folder}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8",
                            "TZ": "UTC", "STATE_DIRECTORY": str(self.store), "HOME": str(self.folder)}

    # --- processes and messages

    def start(self, *command):
        log = self.folder / f"log-{len(self.processes)}"
        with open(log, "wb") as out:
            process = subprocess.Popen([*self.prefix, *map(str, command)], env=self.environment,
                                       stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.processes.append(process)
        return process, log

    def listen(self, *options, store=None, templates=None):
        """A listener in systemd's place; its port."""
        with socket.create_server(("127.0.0.1", 0)) as found:
            port = found.getsockname()[1]
        _, log = self.start(
            "systemd-socket-activate", "--accept", f"--listen=127.0.0.1:{port}", self.folder / "bin/hl7-receive",
            f"--store={store or self.store}", f"--convert-templates={templates or self.etc / 'convert.d'}",
            f"--ack-templates={self.etc}/ack.d", f"--tables={self.etc}/tables", *options)
        self.until(lambda: "Listening on" in log.read_text(errors="replace"), "the listener")
        return port

    def receive(self, *options):
        self.port = self.listen(*options)

    def destination(self, template=None):
        """Another system, which takes what its template takes, all without one."""
        number = len(self.processes)
        templates = self.folder / f"there-{number}"
        templates.mkdir()
        if template:
            (templates / "there.hl7t").write_text(template)
        port = self.listen(store=self.folder / f"their-store-{number}", templates=templates)
        self.point_to(port)

    def point_to(self, port):
        (self.etc / "destinations/ris.conf").write_text(
            f"To=mllp://127.0.0.1:{port}\nRetryMin=100ms\nRetryMax=200ms\nLinger=0\n")

    def template(self, text=REQUIRED):
        (self.etc / "convert.d/ris.hl7t").write_text(text)

    def send(self, control_id="MSG00001", patient="100042"):
        """Sends the sample; its answer's code."""
        text = (SOURCE / "packaging/sample.hl7").read_text(encoding="utf-8")
        path = self.folder / f"{control_id}.hl7"
        path.write_text(text.replace("SAMPLE-0001", control_id).replace("100042", patient), encoding="utf-8")
        said = self.shell(f"hl7-send 127.0.0.1 {path}").stdout
        self.stem = sorted(p.stem for kind in ("received", "rejected") if (self.store / kind).is_dir()
                           for p in (self.store / kind).glob("2*.hl7"))[-1] if "|AR|" not in said else self.stem
        return re.search(r"^MSA\|(\w\w)\|", said, re.M)[1]

    def forward(self, status=0):
        assert self.shell("hl7-forward --once ris").returncode == status

    @contextlib.contextmanager
    def forwarder(self):
        """One that goes on, as the unit's does."""
        process, log = self.start(self.folder / "bin/hl7-forward", "ris")
        try:
            yield log
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)

    @staticmethod
    def until(condition, what):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"waited for {what}"
            time.sleep(0.02)

    # --- commands

    def here(self, command):
        """A command of the page with the places of this test."""
        for there, here in (
                (STEM, self.stem), ("/var/lib/hl7-inetd", str(self.store)), ("/etc/hl7-inetd", str(self.etc)),
                ("/backup", str(self.backup)), ("/usr/share/hl7-inetd/templates", str(SOURCE / "templates")),
                ("/tcp/127.0.0.1/5123", f"/tcp/127.0.0.1/{self.port}"), (":5123", f":{self.port}"),
                ("/usr/share/doc/hl7-inetd", str(BUILD / "packaging")),
                *((f"/usr/sbin/hl7-{name}", f"{BUILD}/src/{name}/hl7-{name}") for name in PROGRAMS)):
            command = command.replace(there, here)
        return re.sub(r"(?<=[ ])127\.0\.0\.1(?= |$)", f"127.0.0.1:{self.port}", command)

    def there(self, text):
        return text.replace(str(self.store), "/var/lib/hl7-inetd").replace(str(self.etc), "/etc/hl7-inetd")

    def shell(self, command):
        return subprocess.run([*self.prefix, "bash", "-c", self.here(command)], cwd=self.folder, text=True,
                              env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=PATIENCE, check=False)

    def next(self, count=1, status=0):
        """Runs the next commands of the section; what the last one printed."""
        for _ in range(count):
            command, shown = self.left.pop(0)
            done = self.shell(command)
            assert done.returncode == status, f"{command}: exit {done.returncode}\n{done.stdout}"
            said = self.there(done.stdout)
            assert not shown or masked("\n".join(shown)) == masked(said), f"{command}\n{said}"
        return said

    def end(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.kill()
                process.wait()


# --- the troubles -----------------------------------------------------------------------------

TROUBLES = {}


def trouble(title):
    def add(function):
        TROUBLES[title] = function
        return function
    return add


@trouble("WHERE TO LOOK FIRST")
def first_look(w):
    w.receive()
    w.send()
    assert w.next(2) == "" and "%" in w.next()


@trouble("Where message X is")
def where(w):
    w.template()
    w.receive()
    w.send()
    w.next()


@trouble("A destination is down")
def down(w):
    w.template()
    w.receive()
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        w.point_to(nobody.getsockname()[1])
    assert w.send() == "AA"
    with w.forwarder() as log:
        w.until(lambda: "destination down" in log.read_text(), "the log")
        w.next(2)
        assert len(list((w.store / "queue/ris").iterdir())) == 1
    w.destination()
    with w.forwarder():
        w.until(lambda: not list((w.store / "queue/ris").iterdir()), "the delivery")
    w.next()


@trouble("A queue grows")
def grows(w):
    w.template()
    w.receive()
    w.destination("{unknown}\n")
    w.send("MSG00001")
    first = w.stem
    w.send("MSG00002")
    w.stem = first
    w.forward(75)
    assert f"{first}.000" in w.next()
    assert "messages in front of it: 0" in w.next()
    w.next()
    for path in w.folder.glob("there-*/*"):
        path.unlink()
    w.forward()
    assert w.shell("hl7-queue status --warn-age=5m --warn-failed=0").returncode == 1
    w.shell("hl7-queue drop --yes --failed --all")
    w.next()


@trouble("A message failed")
def failed(w):
    w.template()
    w.receive()
    w.destination(REFUSING)
    w.send()
    stem = w.stem
    w.shell("hl7-forward --retry-min=10ms ris")
    assert f"{stem}.000" in w.next()
    w.next()
    assert "PID-3" in w.next()
    w.next()
    w.shell("hl7-forward --retry-min=10ms ris")
    assert w.next() == "1 message put back\n"
    w.shell("hl7-forward --retry-min=10ms ris")
    assert re.search(r"^MSA\|AA\|", w.next(), re.M)
    assert len(list((w.store / "received").glob("2*"))) == 2
    assert w.shell("hl7-queue status --crit-failed=0").returncode == 2
    w.next()
    assert not list((w.store / "failed/ris").iterdir())
    w.next()


@trouble("A destination gets messages twice")
def twice(w):
    w.template()
    w.receive()
    w.send()
    assert "waiting" in w.next()


@trouble("A message was refused")
def refused(w):
    w.template()
    w.receive()
    assert w.send(patient="") == "AE"
    w.next(2)
    explained = w.next(status=1)
    assert "PID-3.1:required" in explained, explained
    w.template(REQUIRED.replace(":required", ""))
    assert re.search(r"^MSA\|AA\|MSG00001\|", w.next(), re.M)
    assert "store: received" in w.shell("hl7-queue trace --no-journal MSG00001").stdout


@trouble("A template is wrong")
def wrong(w):
    w.template(REQUIRED.replace("PID-5", "PDI-5"))
    w.receive()
    w.destination()
    assert w.send() == "AR"
    w.next(status=78)
    assert not (w.store / "received").is_dir() or not list((w.store / "received").glob("2*"))
    (w.folder / "ris-new.hl7t").write_text(REQUIRED)
    w.next()
    assert w.shell("hl7-convert --check /etc/hl7-inetd/convert.d /etc/hl7-inetd/ack.d").stdout == ""
    assert w.send() == "AA"


@trouble("A sender gets no answer, or sends again")
def again(w):
    w.template()
    w.receive()
    w.send()
    assert re.search(r"^MSA\|AA\|MSG00001\|", w.next(), re.M)
    assert len(list((w.store / "received").glob("2*"))) == len(list((w.store / "queue/ris").iterdir())) == 1


@trouble("Nobody can connect")
def nobody(w):
    need("ss")
    w.receive()
    w.next()
    assert f"127.0.0.1:{w.port}" in w.next()
    assert not w.store.joinpath("received").exists() or not list(w.store.joinpath("received").glob("2*"))


@trouble("The disk is full")
def full(w):
    """On a disk of 80 MiB, of which something else takes what must stay free."""
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode:
        (pytest.fail if os.environ.get("HL7_STRICT") else pytest.skip)("no mount namespace can be made here")
    keeper = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c",
                               'mount -t tmpfs -o size=80m,mode=0750 disk "$0" && echo ready && read line', w.store],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    w.processes.append(keeper)
    assert keeper.stdout.readline() == "ready\n"
    w.prefix = ["nsenter", "-t", str(keeper.pid), "-m", "--"]
    w.receive()
    assert "|AA|" in w.shell(f"hl7-send --new-id 127.0.0.1 {SOURCE}/packaging/sample.hl7").stdout
    w.shell("head -c 20M /dev/zero >/var/lib/hl7-inetd/other")
    before = w.shell(f"hl7-send --new-id 127.0.0.1 {SOURCE}/packaging/sample.hl7").stdout
    assert "|AR|" in before and "|207^" in before, before
    assert "%" in w.next() and "%" in w.next()
    w.shell("mkdir -p /var/lib/hl7-inetd/queue")
    assert "received" in w.next()
    w.next()
    assert w.next().startswith("removed 0 received")
    w.shell("unlink /var/lib/hl7-inetd/other")
    assert "|AA|" in w.shell(f"hl7-send --new-id 127.0.0.1 {SOURCE}/packaging/sample.hl7").stdout
    keeper.stdin.close()


@trouble("A certificate expires")
def certificate(w):
    def make(days):
        w.shell(f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days {days} "
                "-subj /CN=localhost -keyout key.pem -out cert.pem")
        w.shell("cat cert.pem key.pem >/etc/hl7-inetd/tls/server.pem")
        w.shell("cat cert.pem cert.pem >/etc/hl7-inetd/tls/clients.pem")

    need("openssl")
    make(10)
    command, _ = w.left[0]
    done = w.shell(command)
    assert done.returncode == 1 and "will expire" in done.stdout, done.stdout
    make(90)
    w.next()
    said = w.next()
    assert said.count("Not After") == 2 and said.count("CN = localhost") + said.count("CN=localhost") == 2, said


@trouble("The clock jumped")
def clock(w):
    """The last commit is told to have been an hour from now."""
    w.receive()
    w.send("MSG00001")
    ahead = time.time() + 3600
    os.utime(w.store / ".order", (ahead, ahead))
    w.send("MSG00002")
    now = w.next().strip()
    last = w.next().strip()
    assert now < last[:19] and w.stem[:15] == re.sub(r"[-:]", "", last[:19]).replace(" ", "T")
    assert ": 0 errors" in w.next()


def make_packages(w):
    """Two versions of packages with the names that the page has, the older one installed, for apt to choose from."""
    repository, root = w.folder / "repository", w.folder / "apt"
    listing = ""
    for version in "0.1.0~deb12", "0.2.0~deb12":
        for name in "hl7-inetd", "hl7-inetd-tools":
            listing += f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: x\n" \
                       f"Filename: ./{name}_{version}.deb\nSize: 1\nSHA256: {'0' * 64}\nDescription: x\n\n"
    for folder in repository, root / "lists/partial", root / "cache/archives/partial", root / "etc":
        folder.mkdir(parents=True)
    (repository / "Packages").write_text(listing)
    status = root / "status"

    def installed(version):
        status.write_text("".join(f"Package: {name}\nStatus: install ok installed\nVersion: {version}\n"
                                  "Architecture: all\nMaintainer: x\nDescription: x\n\n"
                                  for name in ("hl7-inetd", "hl7-inetd-tools")))
    (root / "sources.list").write_text(f"deb [trusted=yes] file:{repository} ./\n")
    # no cache: it is known by the seconds of the status file's time and by its size, which are the same after a change
    (root / "config").write_text(
        'Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache "";\n'
        f'Dir::State "{root}"; Dir::State::status "{status}"; Dir::State::lists "{root}/lists";\n'
        f'Dir::Cache "{root}/cache"; Dir::Etc::sourcelist "{root}/sources.list"; Dir::Etc::sourceparts "-";\n'
        f'Dir::Etc::preferencesparts "-"; Dir::Etc::preferences "-"; APT::Get::Simulate "true";\n'
        f'Dir::Log "{root}"; APT::Sandbox::User "root";\n')
    w.environment["APT_CONFIG"] = str(root / "config")
    return installed


@trouble("Upgrade, and back")
def upgrade(w):
    """apt works out what it would do; that it does it under load is tests/machine's."""
    need("apt-get")
    installed = make_packages(w)
    installed("0.1.0~deb12")
    w.receive()
    w.send()
    assert w.next().startswith("hl7-receive ")
    w.next()
    said = w.next()
    assert "Inst hl7-inetd [0.1.0~deb12] (0.2.0~deb12" in said and "Inst hl7-inetd-tools [0.1.0~deb12] (0.2.0~deb12" in said, said
    w.next()
    assert ": 0 errors" in w.next()
    installed("0.2.0~deb12")
    assert "0.1.0~deb12" in w.next()
    said = w.next()
    assert "Inst hl7-inetd [0.2.0~deb12] (0.1.0~deb12" in said, said


def some_state(w):
    w.template()
    w.receive()
    w.destination(REFUSING)
    w.send("MSG00001")
    w.shell("hl7-forward --retry-min=10ms ris")
    w.send("MSG00002")
    w.send("MSG00003", patient="")


def sums(said):
    return said.splitlines()[-1]


@trouble("Backup")
def backup(w):
    need("rsync")
    some_state(w)
    w.backup.joinpath("hl7-inetd").mkdir(parents=True)
    w.next(3)
    said = w.next()
    assert sums(said) == "2 received, 1 rejected, 1 waiting, 1 failed: 0 errors, 0 warnings, 0 leftovers", said
    assert (w.backup / "etc-hl7-inetd/convert.d/ris.hl7t").exists()


@trouble("Restore")
def restore(w):
    need("rsync")
    some_state(w)
    (w.backup / "hl7-inetd").mkdir(parents=True)
    for title, command, _ in operations.commands(PAGE):
        if title == "Backup":
            w.shell(command)
    for path in w.store, w.etc:
        shutil.rmtree(path)
        path.mkdir(mode=0o750)
    w.next(2)
    said = w.next()
    assert sums(said) == "2 received, 1 rejected, 1 waiting, 1 failed: 0 errors, 0 warnings, 0 leftovers", said
    assert "MSG00002" in w.next()
    assert "|AA|MSG00002|" in w.shell(f"hl7-send 127.0.0.1 {w.folder}/MSG00002.hl7").stdout
    assert len(list((w.store / "received").glob("2*"))) == 2, "a resend is known after the restore"


@trouble("Another machine")
def move(w):
    w.template()
    w.receive()
    w.destination()
    w.send()
    command, _ = w.left[0]
    assert w.shell(command).returncode == 1
    w.forward()
    w.next()
    assert ": 0 errors" in w.next()


@trouble("Each day")
def each_day(w):
    w.receive()
    w.send()
    assert w.next().startswith("HL7 OK")


@trouble("Each week")
def each_week(w):
    w.template()
    w.receive()
    w.destination()
    w.send()
    w.shell("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 90 -subj /CN=x "
            "-keyout key.pem -out /etc/hl7-inetd/tls/server.pem")
    assert ": 0 errors" in w.next()
    assert w.next() == ""
    w.next()


@trouble("A scanner reports a vulnerability")
def scanner(w):
    need("objdump")
    w.next()
    assert w.next().split() == ["NEEDED", "libc.so.6"]
    assert sorted(w.next().split()) == sorted(["NEEDED", "libc.so.6", "NEEDED", "libsystemd.so.0"])
    said = w.next()
    assert '"hl7-receive"' in said and "rabbitmq" not in said, said
    assert (BUILD / "packaging/hl7-inetd.vex.cdx.json").exists()


@trouble("SUPPORT")
def support(w):
    w.template()
    w.receive()
    w.send()
    shutil.copy(SOURCE / "packaging/sample.hl7", w.folder / "message.hl7")
    said = ""
    while len(w.left) > 1:
        said += w.next()
    for word in "Muster", "Änne", "19700101", "100042", "0.87":
        assert word not in said, word
    w.next()
    given = (w.folder / "for-support.hl7").read_text(encoding="utf-8")
    assert given.startswith("MSH|") and "Muster" not in given and "100042" not in given


@pytest.mark.parametrize("title", TROUBLES)
def test_trouble(title, tmp_path):
    need("systemd-socket-activate")
    world = World(tmp_path, title)
    try:
        TROUBLES[title](world)
    finally:
        world.end()
    assert not world.left, f"not run: {world.left}"


# --- nothing is left out ----------------------------------------------------------------------

def test_every_command_is_run():
    """By one of the two, in the page's order; and what needs systemd is nothing else."""
    found = operations.commands(PAGE)
    assert len(found) > 60
    here, there = {}, {}
    for title, command, _ in found:
        (there if operations.needs_systemd(command) else here).setdefault(title, []).append(command)
    assert set(here) == set(TROUBLES)
    assert there == {title: [command for command, _ in steps] for title, steps in operations.SYSTEM.items()}
    assert sorted(title for titles in operations.CHECKS.values() for title in titles) == sorted(there)


def test_commands_are_those_of_the_page():
    """Nothing that looks like a command escapes the reading of the page."""
    literal = re.findall(r"^# .*", PAGE, re.M)
    assert len(literal) == len(operations.commands(PAGE))


@pytest.mark.parametrize("command", sorted({c for _, c, _ in operations.commands(PAGE)}))
def test_syntax(command):
    assert shlex.split(command)
    done = subprocess.run(["bash", "-n", "-c", command], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_message_ids():
    """Those of the log, and each beside words that the log has for it."""
    known = set()
    for path in (SOURCE / "src").rglob("*.[ch]"):
        known |= set(re.findall(r'"([0-9a-f]{32})"', path.read_text(encoding="utf-8")))
    told = set(re.findall(r"\b[0-9a-f]{32}\b", PAGE))
    assert told <= known and len(told) > 10


def test_metrics():
    source = (SOURCE / "src/queue/metrics.c").read_text(encoding="utf-8")
    names = set(re.findall(r"\bhl7_[a-z_]+", PAGE))
    assert names and all(f'"{name}"' in source for name in names)


def test_outcomes():
    source = (SOURCE / "src/ack/outcome.c").read_text(encoding="utf-8")
    names = set(re.findall(r'\.name = "([\w-]+)"', source))
    told = set(re.findall(r"outcome\n\.Li ([\w-]+)|^\.Li ([a-z]+-[a-z]+)", PAGE, re.M | re.I))
    told = {word for pair in told for word in pair if word}
    assert told and told <= names, told - names


def test_alerts():
    """Each of the rules is in its table, and no other."""
    rules = (SOURCE / "units/monitoring/hl7-inetd.rules.yml").read_text(encoding="utf-8")
    assert re.findall(r"^\.It (HL7\w+) Ta", PAGE, re.M) == re.findall(r"alert: (\w+)", rules)


def test_sections_of_the_table():
    """What the first table refers to are sections of the page."""
    titles = set(re.findall(r"^\.S[hs] (.*)", PAGE, re.M))
    for title in re.findall(r"Ta Sx (.*)|^\.Sx (.*?)(?: [.,])?$", PAGE, re.M):
        assert "".join(title) in titles, title
