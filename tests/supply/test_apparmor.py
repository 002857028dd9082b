# SPDX-License-Identifier: MIT
"""The AppArmor profiles compile, and allow what the programs do: nothing more of the store, and no more networks.

They are loaded, and the programs work in them, under this kernel or, where it has no AppArmor, in an emulated machine
under Debian's. And the programs are traced: each file that they open, link, lock or run, and each kind of socket, must
be in the profile as apparmor_parser expands it.
"""
import contextlib
import functools
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time

import pytest

import emulated
from supply import BUILD, need, program, run

NAMES = ("hl7-receive", "hl7-forward")
PATIENCE = 60
ABI = "/etc/apparmor.d/abi/3.0"

MESSAGE = ("MSH|^~\\&|LAB|FAC|RIS|HOSP|20260102030405+0000||ORU^R01|{id}|P|2.5||||||{charset}\r"
           "PID|1||42||M\N{LATIN SMALL LETTER U WITH DIAERESIS}ller\rOBX|1|TX|1||x\r")
TEMPLATE = "{{to {to}}}\n{{charset {charset}}}\nMSH|^~\\&|{{MSH-3}}|||{{MSH-6}}|{{MSH-7}}||{{MSH-9}}|{{MSH-10}}|P|2.5\nPID|{{PID-5}}\n"


def profile(name):
    return BUILD / "units" / name


# --- the profile, as its own compiler reads it ---------------------------------------------------------------

class Profile:
    def __init__(self, name):
        text = run(need("apparmor_parser"), "-QKT", "-p", profile(name))
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
        self.variables, self.files, self.networks, self.capabilities = {}, [], set(), {}
        for line in lines:
            if found := re.match(r"(@\{\w+\})\s*\+?=\s*(.*)", line):
                self.variables.setdefault(found[1], []).extend(w.strip('"') for w in found[2].split())
        for line in lines:
            self.take(line.rstrip(","))

    def take(self, line):
        if found := re.match(r'(?:owner )?("?[/@]\S*)\s+([rwamlkixuUpPcC]+)$', line):
            self.files.append((re.compile(self.expression(found[1].strip('"'))), set(found[2].replace("m", "mr"))))
        elif found := re.match(r"network\s+(\w+)(?:\s+(\w+))?$", line):
            self.networks |= {(found[1], kind) for kind in ([found[2]] if found[2] else ["stream", "dgram"])}
        elif found := re.match(r"(deny )?capability (\w+)$", line):
            self.capabilities[found[2]] = not found[1] and self.capabilities.get(found[2], True)

    def expression(self, glob):
        """The regular expression of a glob, variables and all."""
        while found := re.search(r"(@\{\w+\})(/?)", glob):
            # a value may end with a slash, and one more begins what follows
            values = [v.removesuffix(found[2]) if found[2] else v for v in self.variables.get(found[1], ["*"])]
            glob = glob.replace(found[0], "{" + ",".join(values) + "}" + found[2], 1)
        out, depth = "", 0
        for part in re.findall(r"\*\*|\*|\?|\{|\}|,|\[[^]]*\]|[^*?{},[]+", glob):
            depth += (part == "{") - (part == "}")
            end = out.endswith("/")
            out += {"**": ".+" if end else ".*", "*": "[^/]+" if end else "[^/]*", "?": "[^/]", "{": "(?:",
                    "}": ")"}.get(part, "|" if part == "," and depth else
                                  part if part.startswith("[") else re.escape(part))
        return out + r"\Z"

    def allows(self, path, wanted):
        have = set().union(*(perms for pattern, perms in self.files if pattern.match(path)))
        if "w" in have:
            have.add("a")
        return set(wanted) <= have


@functools.cache
def expanded(name):
    return Profile(name)


# --- what a program did, as strace tells ----------------------------------------------------------------------------

CALLS = "open,openat,creat,execve,linkat,unlinkat,unlink,mkdirat,mkdir,renameat2,renameat,rename,flock,socket,connect," \
        "memfd_create"


def quoted(text):
    return re.findall(r'"([^"]*)"', text)


def at(text, n=0):
    """The path that the n-th folder and name of a call make."""
    folders = re.findall(r"(?:AT_FDCWD|\b\d+)(?:<([^>]*)>)?", re.sub(r'"[^"]*"', "", text))
    name = quoted(text)[n]
    folder = folders[n] if len(folders) > n and folders[n] else "/"
    return name if name.startswith("/") else os.path.normpath(f"{folder}/{name}")


def open_wants(flags):
    if "O_PATH" in flags:
        return ""
    return ("r" if "O_WRONLY" not in flags else "") + ("w" if re.search(r"O_WRONLY|O_RDWR|O_CREAT", flags) else "")


def wants(call, arguments):
    """[(path, permissions)] that AppArmor asks for in a call."""
    if call in ("open", "openat"):
        # a file without a name has its number for one; the name of a folder ends with a slash
        more = "/#1" if "O_TMPFILE" in arguments else "/" if "O_DIRECTORY" in arguments else ""
        return [(at(arguments) + more, open_wants(arguments.rpartition('"')[2]))]
    if call == "execve":
        return [(quoted(arguments)[0], "x")]
    if call == "linkat":
        return [(at(arguments, 1), "l")]
    if call.startswith("rename"):
        return [(at(arguments, 0), "rw"), (at(arguments, 1), "w")]
    if call in ("unlinkat", "unlink", "mkdirat", "mkdir"):
        return [(at(arguments) + ("/" if "mkdir" in call or "AT_REMOVEDIR" in arguments else ""), "w")]
    if call == "flock":
        return [(re.search(r"\d+<([^>]*)>", arguments)[1], "k")]
    if call == "connect" and "sun_path=\"" in arguments:
        return [(quoted(arguments.partition("sun_path=")[2])[0], "w")]
    return [(f"/memfd:{quoted(arguments)[0]}", "rw")] if call == "memfd_create" else []


FAMILIES = {"AF_UNIX": "unix", "AF_INET": "inet", "AF_INET6": "inet6", "AF_NETLINK": "netlink"}


def network(arguments):
    family, kind = re.match(r"(\w+), SOCK_(\w+)", arguments).groups()
    return FAMILIES.get(family, family), kind.lower()


class Trace:
    """A program under strace, and what its profile has to allow of what it did. `places` says where that is
    installed which is elsewhere here: {path here: installed}."""

    def __init__(self, log, places):
        self.log, self.places = log, sorted(places.items(), key=lambda p: -len(p[0]))
        self.prefix = [need("strace"), "-f", "-y", "-s", "4096", "-o", str(log), "-e", f"trace={CALLS}"]

    def installed(self, path):
        for here, there in self.places:
            if path == here or path.startswith(f"{here}/"):
                return there + path[len(here):]
        return path

    def calls(self):
        # the first execve() is by strace itself, and nobody's; so is what is looked for in vain
        text = self.log.read_text(encoding="utf-8", errors="replace")
        found = re.findall(r"^\d+ +(\w+)\((.*)\) += (.*)$", text, re.M)
        assert len(found) > 10, text
        return [(c, a) for c, a, result in found[1:] if not result.startswith("-1 ENOENT")]

    def refused(self, name):
        """What the program did that the profile does not allow."""
        rules, wrong = expanded(name), set()
        for call, arguments in self.calls():
            if call == "socket":
                if network(arguments) not in rules.networks:
                    wrong.add(f"network {' '.join(network(arguments))}")
                continue
            for path, permissions in wants(call, arguments):
                # links are followed before it is asked, and the name of a folder keeps its slash
                path = self.installed(path)
                path = os.path.join(os.path.realpath(path), "") if path.endswith("/") else os.path.realpath(path)
                if not rules.allows(path, permissions):
                    wrong.add(f"{path} {permissions}")
        return sorted(wrong)


# --- scenarios ------------------------------------------------------------------------------------------------------

def frame(control_id, charset="UNICODE UTF-8", encoding="utf-8"):
    return b"\x0b" + MESSAGE.format(id=control_id, charset=charset).encode(encoding) + b"\x1c\r"


def read_answer(peer):
    data = b""
    while not data.endswith(b"\x1c\r"):
        more = peer.recv(65536)
        assert more, data
        data += more
    return data


class Site:
    """A store and a configuration, as they would be installed."""

    def __init__(self, path):
        self.store, self.etc, notify = path / "store", path / "etc", path / "notify"
        for folder in ("convert.d", "ack.d", "tables", "destinations"):
            (self.etc / folder).mkdir(parents=True)
        for to, charset in (("latin", "8859/1"), ("japan", "ISO IR87"), ("china", "GB 18030-2000")):
            (self.etc / f"convert.d/{to}.hl7t").write_text(TEMPLATE.format(to=to, charset=charset).replace(
                "PID|{PID-5}", "PID|{PID-3}" if to == "japan" else "PID|{PID-5}"), encoding="utf-8")
        (self.etc / "tables/sex.tsv").write_text("F\tW\n*\tU\n")
        self.places = {str(path): "/var/lib", str(self.store): "/var/lib/hl7-inetd", str(self.etc): "/etc/hl7-inetd",
                       str(program("receive")): "/usr/sbin/hl7-receive",
                       str(program("forward")): "/usr/sbin/hl7-forward", str(notify): "/run/systemd/notify",
                       str(path / "tmp"): "/tmp"}
        # a service manager that a program tells its status
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.manager.bind(str(notify))
        self.environment = {**os.environ, "NOTIFY_SOCKET": str(notify)}

    def receive(self, *options):
        return [str(program("receive")), f"--store={self.store}", f"--convert-templates={self.etc}/convert.d",
                f"--ack-templates={self.etc}/ack.d", f"--tables={self.etc}/tables", "--min-free=0", *options]

    def forward(self, name, *options):
        return [str(program("forward")), f"--store={self.store}", f"--destinations={self.etc}/destinations", "--once",
                *options, name]

    def told(self):
        """The service manager was told something since it was asked last."""
        lines = []
        with contextlib.suppress(BlockingIOError):
            while True:
                lines.append(self.manager.recv(4096))
        return any(line.startswith(b"STATUS=") for line in lines)

    def queued(self, name):
        return sorted((self.store / "queue" / name).glob("*.hl7"))


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.manager.close()


def converse(command, first="A"):
    """One message twice, another charset, and one that is refused, over a connection from an inetd."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as peer:
        peer.settimeout(PATIENCE)
        served, _ = listener.accept()
        with subprocess.Popen(command, stdin=served, stdout=served, stderr=subprocess.DEVNULL) as process:
            served.close()
            answers = []
            for data in (frame(first), frame(first), frame(f"{first}B", "8859/1", "latin-1"), frame("")):
                peer.sendall(data)
                answers.append(re.search(rb"\rMSA\|(\w\w)", read_answer(peer))[1])
            peer.shutdown(socket.SHUT_WR)
            process.wait(PATIENCE)
    return answers


def wait_mode(site, prefix=()):
    command = [*prefix, *site.receive("--idle-exit=1s")]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with subprocess.Popen(command, stdin=listener, stderr=subprocess.DEVNULL, env=site.environment) as process:
            for _ in range(2):
                with socket.create_connection(listener.getsockname()) as peer:
                    peer.settimeout(PATIENCE)
                    peer.sendall(frame("W"))
                    assert b"MSA|AA" in read_answer(peer)
            process.wait(PATIENCE)
    assert site.told()


def deliver(site, prefix=()):
    """To a listener by its name, to a command, and through a command; what cannot be delivered fails."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        receiver = [str(program("receive")), "--no-store", "--messages=0", "--idle-exit=60s"]
        with subprocess.Popen(receiver, stdin=listener, stderr=subprocess.DEVNULL) as process:
            for name, way in (("latin", f"To=mllp://localhost:{port}"), ("japan", "To=exec:cat >/dev/null"),
                              ("china", f"Via={need('socat')} - TCP:127.0.0.1:{port}")):
                (site.etc / f"destinations/{name}.conf").write_text(way + "\n")
                assert site.queued(name)
                done = subprocess.run([*prefix, *site.forward(name)], stderr=subprocess.PIPE, timeout=PATIENCE,
                                      env=site.environment, check=False)
                assert done.returncode == 0 and not site.queued(name), done.stderr
                assert site.told()
            process.terminate()
            process.wait(PATIENCE)


# --- tests ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", NAMES)
def test_it_compiles(name, tmp_path):
    # for a kernel that has all that this version of its rules has; then nothing is to be warned of
    done = subprocess.run([need("apparmor_parser"), "--skip-kernel-load", "--skip-cache", "--features-file", ABI,
                           profile(name)], capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if not line.startswith("Cache read/write disabled")]
    assert (done.returncode, said) == (0, [])
    broken = tmp_path / "broken"
    broken.write_text(profile(name).read_text(encoding="utf-8").replace(" rwkl,", " rwklq,"))
    with pytest.raises(AssertionError, match="syntax error"):
        run(need("apparmor_parser"), "-QKT", broken)


@pytest.mark.parametrize("name", NAMES)
def test_a_site_can_add(name, tmp_path):
    """A store elsewhere, by the file that the profile says."""
    (tmp_path / "tunables/hl7-inetd.d").mkdir(parents=True)
    (tmp_path / "tunables/hl7-inetd.d/site").write_text("@{HL7_STORE} += /srv/hl7\n")
    (tmp_path / "local").mkdir()
    (tmp_path / f"local/{name}").write_text("/opt/site/** r,\n")
    text = run(need("apparmor_parser"), "-QKT", "-p", "-I", tmp_path, profile(name))
    assert "/srv/hl7" in text and "/opt/site/** r," in text


def test_receiver_with_strace(site, tmp_path):
    trace = Trace(tmp_path / "log", site.places)
    assert converse([*trace.prefix, *site.receive("--messages=0")]) == [b"AA", b"AA", b"AA", b"AE"]
    assert len(site.queued("latin")) == 2
    assert trace.refused("hl7-receive") == []
    # what made it worth looking
    seen = {(c, p) for c, a in trace.calls() for p, _ in wants(c, a)}
    assert any(c == "linkat" for c, _ in seen) and any("gconv" in p for _, p in seen)


def test_supervisor_with_strace(site, tmp_path):
    trace = Trace(tmp_path / "log", site.places)
    wait_mode(site, trace.prefix)
    assert trace.refused("hl7-receive") == []


def test_forwarder_with_strace(site, tmp_path):
    assert converse(site.receive("--messages=0"))
    trace = Trace(tmp_path / "log", site.places)
    trace.prefix.insert(1, "-A")
    deliver(site, trace.prefix)
    assert trace.refused("hl7-forward") == []
    assert {"/bin/sh"} <= {p for c, a in trace.calls() if c == "execve" for p, _ in wants(c, a)}


# Root is let into what others are kept out of, and these commands do without
ONLY_ROOT = re.compile("/etc/shadow r|/var/lib/postgresql/.* r")


@pytest.mark.parametrize("tool, arguments", [
    ("psql", "-qX -c 'SELECT 1' archive"), ("curl", "--silent https://localhost:1/"),
    ("openssl", "s_client -connect localhost:1"), ("bash", "-c true"), ("perl", "-MEncode -e 1"),
    ("python3", "-c 'import json'")])
def test_a_command_with_strace(tmp_path, tool, arguments):
    """What it needs of the system; nobody listens. It works in /, as in the unit: python3 -c reads its folder."""
    need(tool)
    trace = Trace(tmp_path / "log", {})
    subprocess.run([*trace.prefix, "sh", "-c", f"{tool} {arguments}"], stdin=subprocess.DEVNULL, timeout=PATIENCE,
                   cwd="/", env={"PATH": os.defpath, "HOME": "/nonexistent"}, check=False)
    assert [wrong for wrong in trace.refused("hl7-forward") if not ONLY_ROOT.fullmatch(wrong)] == []


@pytest.mark.parametrize("name, path, permissions, allowed", [
    ("hl7-receive", "/var/lib/hl7-inetd/received/20260101T000000.000000Z-1-1.hl7", "rwl", True),
    ("hl7-receive", "/var/lib/hl7-inetd/queue/ris", "rw", True),
    ("hl7-receive", "/var/lib/hl7-inetd/failed/ris/x.hl7", "r", False),
    ("hl7-receive", "/etc/hl7-inetd/ack.d/a.hl7t", "r", True),
    ("hl7-receive", "/etc/hl7-inetd/ack.d/a.hl7t", "w", False),
    ("hl7-receive", "/etc/hl7-inetd/destinations/ris.conf", "r", False),
    ("hl7-receive", "/etc/hl7-inetd/tls/server.pem", "r", False),
    ("hl7-receive", "/etc/passwd", "r", False),
    ("hl7-receive", "/etc/shadow", "r", False),
    ("hl7-receive", "/bin/sh", "x", False),
    ("hl7-receive", "/usr/bin/true", "x", False),
    ("hl7-receive", "/home/somebody/.ssh/id_rsa", "r", False),
    ("hl7-receive", "/proc/1/environ", "r", False),
    ("hl7-receive", "/run/systemd/journal/socket", "w", True),
    ("hl7-receive", "/usr/lib/x86_64-linux-gnu/gconv/ISO8859-1.so", "mr", True),
    ("hl7-receive", "/run/systemd/notify", "w", True),
    ("hl7-receive", "/run/postgresql/.s.PGSQL.5432", "w", False),
    ("hl7-receive", "/tmp/x", "w", False),
    ("hl7-forward", "/", "r", True),
    ("hl7-forward", "/srv/", "r", False),
    ("hl7-forward", "/etc/shadow", "r", False),
    ("hl7-forward", "/etc/resolv.conf", "r", True),
    ("hl7-forward", "/var/lib/hl7-inetd/failed/ris/x.hl7", "rwl", True),
    ("hl7-forward", "/var/lib/hl7-inetd/rejected/x.hl7", "r", False),
    ("hl7-forward", "/usr/bin/socat", "rx", True),
    ("hl7-forward", "/usr/bin/socat", "w", False),
    ("hl7-forward", "/usr/local/bin/to-archive", "rx", True),
    ("hl7-forward", "/usr/local/bin/to-archive", "w", False),
    ("hl7-forward", "/usr/lib/postgresql/17/bin/psql", "rx", True),
    ("hl7-forward", "/usr/share/postgresql-common/pg_wrapper", "rx", True),
    ("hl7-forward", "/etc/postgresql-common/user_clusters", "r", True),
    ("hl7-forward", "/etc/postgresql/17/main/postgresql.conf", "w", False),
    ("hl7-forward", "/run/postgresql/.s.PGSQL.5432", "rw", True),
    ("hl7-forward", "/var/lib/postgresql/17/main/PG_VERSION", "r", False),
    ("hl7-forward", "/run/systemd/notify", "w", True),
    ("hl7-forward", "/run/systemd/private", "w", False),
    ("hl7-forward", "/run/dbus/system_bus_socket", "w", False),
    ("hl7-forward", "/etc/ssh/ssh_config.d/", "r", True),
    ("hl7-forward", "/etc/ssh/ssh_host_ed25519_key", "r", False),
    ("hl7-forward", "/home/somebody/.ssh/id_ed25519", "r", False),
    ("hl7-forward", "/home/somebody/bin/mine", "x", False),
    ("hl7-forward", "/etc/hl7-inetd/destinations/ris.conf", "w", False),
])
def test_rules(name, path, permissions, allowed):
    assert expanded(name).allows(path, permissions) == allowed


@pytest.mark.parametrize("name", NAMES)
def test_no_rights_of_root(name):
    assert not any(expanded(name).capabilities.values())
    assert {family for family, _ in expanded(name).networks} <= {"unix", "inet", "inet6", "netlink"}
    assert not {("inet", "raw"), ("inet6", "raw")} & expanded(name).networks


def test_what_is_not_allowed_is_found(site, tmp_path):
    """A trace of another program is no trace of the receiver."""
    trace = Trace(tmp_path / "log", site.places)
    run(*trace.prefix, "sh", "-c", "cat /etc/shadow; touch /tmp/hl7-apparmor-test; rm /tmp/hl7-apparmor-test")
    wrong = "\n".join(trace.refused("hl7-receive"))
    assert "/etc/shadow r" in wrong and "/tmp/hl7-apparmor-test w" in wrong and "cat x" in wrong


# --- in force -------------------------------------------------------------------------------------------------------

SECURITY = pathlib.Path("/sys/kernel/security/apparmor")


def kernel_has_it():
    """In a container the kernel's own may be there, but read-only."""
    return os.access(SECURITY / ".replace", os.W_OK)


@pytest.fixture
def loaded(site, tmp_path):
    """Both profiles, for the programs and the store of this test, under names of their own."""
    here = {there: here for here, there in site.places.items()}
    longest_first = "|".join(map(re.escape, sorted(here, key=len, reverse=True)))
    files = []
    for name in NAMES:
        text = profile(name).read_text(encoding="utf-8").replace(f"profile {name} ", f"profile {name}-test ")
        text = re.sub(longest_first, lambda found: here[found[0]], text.replace("@{run}/systemd", "/run/systemd"))
        files.append(tmp_path / name)
        files[-1].write_text(text)
        run(need("apparmor_parser"), "--replace", "--skip-cache", files[-1])
    yield {f"{name}-test (enforce)" for name in NAMES}
    for file in files:
        run(need("apparmor_parser"), "--remove", file)


class Denials:
    """What the kernel's log says that it denied these profiles, from now on: [(profile, what)]."""

    def __init__(self):
        self.log = open("/dev/kmsg", "rb", buffering=0, opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK))
        self.log.seek(0, os.SEEK_END)
        self.found = []

    def read(self):
        while record := self.log.read(8192):
            if found := re.search(rb'apparmor="DENIED" (.*profile="(hl7-\w+)-test".*)', record):
                self.found.append((found[2].decode(), found[1].decode(errors="replace")))

    def wait_for(self, names):
        deadline = time.monotonic() + PATIENCE
        while not set(names) <= {name for name, _ in self.found} and time.monotonic() < deadline:
            time.sleep(0.1)
            self.read()
        self.log.close()
        return self.found


def confinement(site):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with subprocess.Popen(site.receive(), stdin=listener, stderr=subprocess.DEVNULL) as process:
            # once it answers; while it is being started it has the profile of who starts it
            with socket.create_connection(listener.getsockname()) as peer:
                peer.settimeout(PATIENCE)
                peer.sendall(frame("C"))
                read_answer(peer)
                current = pathlib.Path(f"/proc/{process.pid}/attr/current").read_text(encoding="utf-8").strip()
            process.terminate()
            process.wait(PATIENCE)
    return current


def use_elsewhere(site, elsewhere, moved):
    """What no profile has: another store, and a command that writes beside it. What came of the two."""
    command = [a.replace(str(site.store), str(elsewhere)) for a in moved(site.receive("--messages=0"))]
    answered = b"AA" in converse(command)
    written = elsewhere.with_suffix(".written")
    (site.etc / "destinations/latin.conf").write_text(f"To=exec:cat >{written} || exit 75\n")
    subprocess.run(moved(site.forward("latin")), stderr=subprocess.DEVNULL, timeout=PATIENCE, check=False)
    return answered, written.exists()


def test_in_force(request, site, tmp_path):
    if not kernel_has_it():
        return emulated.passes("test_apparmor.py::test_in_force")
    names = request.getfixturevalue("loaded")
    assert names <= set((SECURITY / "profiles").read_text(encoding="utf-8").splitlines())
    assert confinement(site) == "hl7-receive-test (enforce)"
    denials = Denials()
    assert converse(site.receive("--messages=0")) == [b"AA", b"AA", b"AA", b"AE"]
    wait_mode(site)
    deliver(site)
    # what is not allowed is denied, and by the profiles: copies of the programs, which have none, do it
    assert converse(site.receive("--messages=0"), "C")
    copies = tmp_path / "copies"
    copies.mkdir()
    assert use_elsewhere(site, tmp_path / "denied", list) == (False, False)
    assert use_elsewhere(site, tmp_path / "done", lambda c: [shutil.copy(c[0], copies), *c[1:]]) == (True, True)
    # auditd would take it from the kernel's log
    if not shutil.which("auditd"):
        found = denials.wait_for(NAMES)
        assert {name for name, _ in found} == set(NAMES)
        assert [what for _, what in found if f'"{tmp_path}/denied' not in what] == []
