# SPDX-License-Identifier: MIT
"""What tests/bench/units starts inside the booted machine: a socket for each variant of a unit, the variants measured
in turn, and the exposure that systemd-analyze gives each.
"""
import json
import pathlib
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
import traceback

UNITS = pathlib.Path("/run/systemd/system")
SHIPPED = pathlib.Path("/usr/lib/systemd/system/hl7-receive@.service")
LOCKDOWN = pathlib.Path("/usr/share/hl7-inetd/lockdown.conf")
PROGRAMS = pathlib.Path("/usr/local/bin")
STORES = pathlib.Path("/var/lib")

HANDLERS = {
    "bare": str(PROGRAMS / "bench-bare"),
    "journal": str(PROGRAMS / "bench-journal"),
    "receive": "/usr/sbin/hl7-receive --store=/var/lib/bench",
}
FIRST_PORT = 6000
# Behind an answer, until systemd has cleared away what there was
PAUSE_SECONDS = 0.025

USER = "User=hl7-inetd"
NATIVE = "SystemCallArchitectures=native"


def short_filter():
    """The list of system calls that is shipped, in one line."""
    lines = re.findall(r"^SystemCallFilter=(.*)", SHIPPED.read_text(encoding="utf-8"), re.M)
    return "SystemCallErrorNumber=ENOSYS\nSystemCallFilter=" + " ".join(line for line in lines if line[0] != "~")


def directives():
    """(name, lines of [Service], note) of what is tried by itself."""
    alone = """
User=hl7-inetd
DynamicUser=yes
UMask=0077
StateDirectory=hl7-inetd
NoNewPrivileges=yes
CapabilityBoundingSet=
RestrictAddressFamilies=AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
KeyringMode=private
DevicePolicy=closed
IPAddressDeny=any
SocketBindDeny=any
RestrictNetworkInterfaces=lo
RestrictFileSystems=tmpfs
PrivateNetwork=yes
PrivateUsers=yes
ProtectClock=yes
ProtectHostname=yes
PrivateMounts=yes
PrivateTmp=yes
PrivateDevices=yes
PrivateIPC=yes
ProtectSystem=strict
ProtectSystem=full
ProtectHome=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProcSubset=pid
ReadOnlyPaths=/
NoExecPaths=/tmp
InaccessiblePaths=/home
TemporaryFileSystem=/home
RootDirectory=/
LoadCredential=machine:/etc/machine-id
AppArmorProfile=-none
LimitCORE=0
TasksMax=4
MemoryMax=64M
OOMScoreAdjust=500
Nice=5
Type=exec
LogLevelMax=notice
StandardError=null
""".split()
    for line in alone:
        yield line, [line], ""
    yield "RemoveIPC=yes", [USER, "RemoveIPC=yes"], "with " + USER
    yield "SystemCallFilter=(short)", [NATIVE, short_filter()], "with " + NATIVE
    yield "SystemCallFilter=(short), all architectures", [short_filter()], ""
    yield "SystemCallFilter=@system-service", [NATIVE, "SystemCallFilter=@system-service"], "with " + NATIVE
    yield "SystemCallFilter=@system-service, fewer", \
        [NATIVE, "SystemCallFilter=@system-service", "SystemCallFilter=~@privileged @resources"], \
        f"~@privileged @resources, with {NATIVE}"
    yield "SystemCallFilter=@system-service, all architectures", ["SystemCallFilter=@system-service"], ""
    yield "PrivateNetwork=yes, one for all", ["JoinsNamespaceOf=bench-network.service", "PrivateNetwork=yes"], \
        "JoinsNamespaceOf= a unit that stays"
    yield "NetworkNamespacePath=", ["NetworkNamespacePath=/run/bench-network"], "an empty one that stays"


LADDER = [
    ("+user, no privileges", [USER, "UMask=0027", "LimitCORE=0", "TasksMax=4", "NoNewPrivileges=yes",
                              "CapabilityBoundingSet="]),
    ("+restrictions", ["RestrictAddressFamilies=AF_UNIX", "RestrictNamespaces=yes", "RestrictRealtime=yes",
                       "RestrictSUIDSGID=yes", "LockPersonality=yes", "MemoryDenyWriteExecute=yes", NATIVE,
                       "KeyringMode=private", "RemoveIPC=yes", "DevicePolicy=closed", "IPAddressDeny=any"]),
    ("+short SystemCallFilter", [None]),
    ("+ProtectHostname", ["ProtectHostname=yes"]),
    ("+ProtectClock", ["ProtectClock=yes"]),
    ("+PrivateUsers", ["PrivateUsers=yes"]),
    ("+PrivateNetwork", ["PrivateNetwork=yes"]),
]


def service_lines(path):
    """The settings of [Service] of a unit, but for what starts the program and names its files."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    section = text.partition("[Service]")[2].partition("\n[")[0]
    return [line for line in section.splitlines()
            if re.match(r"\w", line) and not re.match(r"(ExecStart|EnvironmentFile|Standard\w+)=", line)]


def candidates():
    yield "empty", [], ""
    yield "empty, again", [], "what chance does"
    lines = []
    for name, more in LADDER:
        lines = lines + [line or short_filter() for line in more]
        yield name, lines, ""
    shipped = service_lines(SHIPPED)
    yield "hl7-receive@.service", shipped, "as shipped"
    yield "lockdown.conf", shipped + service_lines(LOCKDOWN), "as shipped, for sites that prefer it"


class Variant:
    """A unit with each of the handlers, and its times."""

    def __init__(self, number, kind, name, lines, note):
        self.kind, self.name, self.lines, self.note = kind, name, lines, note
        self.times = {handler: [] for handler in HANDLERS
                      if handler != "journal" or name == "empty"}
        self.units = {handler: (f"bench{number}-{handler}", FIRST_PORT + number * len(HANDLERS) + place)
                      for place, handler in enumerate(HANDLERS) if handler in self.times}

    def write(self):
        for handler, (unit, port) in self.units.items():
            (UNITS / f"{unit}.socket").write_text(
                f"[Socket]\nListenStream=127.0.0.1:{port}\nAccept=yes\nTriggerLimitIntervalSec=0\n"
                "MaxConnections=512\nMaxConnectionsPerSource=512\n")
            ahead = [line for line in self.lines if line.startswith("JoinsNamespaceOf=")]
            lines = [line for line in self.lines if line not in ahead]
            # the store of each is its own, and everybody's: under one user or another, root or a dynamic one
            command = HANDLERS[handler].replace("/var/lib/bench", f"{STORES}/{unit}")
            if handler == "receive":
                store = STORES / unit
                store.mkdir()
                store.chmod(0o777)
                if USER in lines:
                    shutil.chown(store, "hl7-inetd", "hl7-inetd")
                lines = [f"StateDirectory={unit}" if line.startswith("StateDirectory=") else line for line in lines]
                if any(line.startswith(("ProtectSystem=strict", "ReadOnlyPaths=", "DynamicUser=")) for line in lines):
                    lines = lines + [f"ReadWritePaths={store}"]
            (UNITS / f"{unit}@.service").write_text(
                "\n".join(["[Unit]", "CollectMode=inactive-or-failed", *ahead, "[Service]", f"ExecStart={command}",
                           "StandardInput=null", "StandardOutput=journal", *lines, ""]))

    def exposure(self):
        unit = self.units["bare"][0]
        said = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager",
                               f"{UNITS}/{unit}@.service"], stdout=subprocess.PIPE, text=True, check=True).stdout
        return float(re.search(r"Overall exposure level for [^:]*: ([\d.]+)", said)[1])


MESSAGE = ("\x0bMSH|^~\\&|BENCH|WARD|HOUSE|CLINIC|20250102030405||ORU^R01^ORU_R01|{}|P|2.4||||||UNICODE UTF-8\r"
           "PID|1||4711^^^HOUSE^MR||Bench^Test||19700101|F\rOBX|1|NM|8867-4^Heart rate^LN||72|/min|||||F\r\x1c\r")


def connection(port, message):
    """Seconds from connect() to the end of the answer."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), 30) as peer:
        if message:
            peer.sendall(message)
        answer = b""
        while not answer.endswith(b"\x1c\r" if message else b"\x06"):
            chunk = peer.recv(4096)
            if not chunk:
                return None
            answer += chunk
        seconds = time.monotonic() - began
        while peer.recv(4096):      # until the process has ended
            pass
    if message and b"\rMSA|AA|" not in answer:
        return None
    return seconds


def measure(variants, rounds):
    turns = [(variant, handler) for variant in variants for handler in variant.times]
    for number in range(rounds + 1):        # the first one warms up, and does not count
        random.shuffle(turns)
        for variant, handler in turns:
            message = MESSAGE.format(f"B-{number}").encode() if handler == "receive" else None
            try:
                seconds = connection(variant.units[handler][1], message)
            except OSError:
                seconds = None
            if number:
                variant.times[handler].append(seconds)
            time.sleep(PAUSE_SECONDS)


def median(times):
    """None where connections failed: the program does not work so, or the system lacks it."""
    return None if not times or None in times else statistics.median(times)


def row(variant):
    note = variant.note
    failed = [handler for handler in variant.times if None in variant.times[handler]]
    if failed:
        note = ", ".join([*([note] if note else []), f"fails with {' and '.join(failed)}"])
    return {"kind": variant.kind, "name": variant.name, "note": note, "exposure": variant.exposure(),
            **{handler: median(variant.times.get(handler)) for handler in HANDLERS}}


def prepare(shared):
    for program in "bench-bare", "bench-journal":
        shutil.copy(shared / program, PROGRAMS)
    # what the variants join that have a namespace in common
    (UNITS / "bench-network.service").write_text(
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nPrivateNetwork=yes\nExecStart=/bin/true\n")
    subprocess.run(["unshare", "--net=/run/bench-network", "true"], check=False,
                   stdin=subprocess.DEVNULL)


def bench(shared):
    wanted = json.loads((shared / "wanted.json").read_text())
    pathlib.Path("/run/bench-network").touch()
    prepare(shared)
    every = [("directive", *values) for values in directives()] + [("candidate", *values) for values in candidates()]
    chosen = [values for values in every if not wanted["only"] or values[1] == "empty"
              or any(word in values[1] for word in wanted["only"])]
    variants = [Variant(number, *values) for number, values in enumerate(chosen)]
    for variant in variants:
        variant.write()
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    subprocess.run(["systemctl", "start", "bench-network.service"], check=True)
    subprocess.run(["systemctl", "start"] + [f"{unit}.socket" for variant in variants
                                             for unit, _ in variant.units.values()], check=True)
    measure(variants, wanted["rounds"])
    rows = [row(variant) for variant in variants]
    empty = next(values for values in rows if values["name"] == "empty")
    said = subprocess.run(["systemctl", "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return {
        "systemd": said.splitlines()[0],
        "empty": empty,
        "variants": rows,
        "explained": [
            f"The static handler linked with libsystemd, one journal entry, in the empty unit: "
            f"{empty['journal'] * 1000:.1f} ms, {empty['journal'] / empty['bare']:.2f} of it without.",
            "SystemCallFilter=(short): the list of hl7-receive@.service.",
        ],
    }


def main(shared):
    try:
        results = bench(shared)
    except Exception:       # pylint: disable=broad-except
        results = {"error": traceback.format_exc()}
    (shared / "results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
