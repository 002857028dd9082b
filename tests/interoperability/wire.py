# SPDX-License-Identifier: MIT
"""A network of these tests' own, with nothing but a loopback device; all that passes it is captured by dumpcap,
and read by tshark's HL7 dissector."""
import os
import pathlib
import re
import signal
import subprocess
import sys

from hl7test import PATIENCE, Process, missing, need, wait_until

# What is sent in the clear, and what is in TLS
FIRST_PORT, FIRST_TLS_PORT = 20001, 21001

# In an own user namespace nobody needs to be root, where the kernel lets everybody make one
BE_ROOT = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
STAY_ROOT = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]

# /run is hidden, as inetd writes its pid there. UDP's port 9 is for the last packet.
CAPTURE = """mount -t tmpfs tmpfs /run && ip link set lo up &&
exec dumpcap -i lo -q -B 64 -s 0 -f 'tcp or udp port 9' -w "$0" """


class Wire:
    """The network, from its beginning to end()."""

    def __init__(self, folder):
        for tool in "unshare", "nsenter", "mount", "ip", "dumpcap", "tshark":
            need(tool)
        make = [need("unshare"), *BE_ROOT, "--net", "--mount", "--propagation", "private"]
        if subprocess.run([*make, "true"], capture_output=True, check=False).returncode:
            missing("no network namespace can be made here")
        self.path = folder / "interoperability.pcapng"
        # it says what it does on standard error
        self.process = Process([*make, "sh", "-c", CAPTURE, self.path], folder / "dumpcap.log",
                               env=os.environ | {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
        wait_until(lambda: self.process.popen.poll() is not None or self.path.exists(), "the capture's start")
        assert self.process.popen.poll() is None, self.process.log_text
        self.pid = self.process.popen.pid
        self.enter = [need("nsenter"), "--target", str(self.pid), *STAY_ROOT, "--net", "--mount", "--root", "--"]
        self.ports = range(FIRST_PORT, FIRST_PORT)
        self.tls_ports = range(FIRST_TLS_PORT, FIRST_TLS_PORT)

    def port(self):
        """One for each exchange: by it the packets are told apart."""
        self.ports = range(FIRST_PORT, self.ports.stop + 1)
        return self.ports[-1]

    def tls_port(self):
        self.tls_ports = range(FIRST_TLS_PORT, self.tls_ports.stop + 1)
        return self.tls_ports[-1]

    def is_listening(self, port):
        table = pathlib.Path(f"/proc/{self.pid}/net/tcp").read_text(encoding="ascii")
        return f":{port:04X} 00000000:0000 0A" in table

    LAST = b"the last packet of the interoperability tests"
    SEND_LAST = "import socket, sys; socket.socket(type=socket.SOCK_DGRAM).sendto(sys.stdin.buffer.read(), " \
                "('127.0.0.1', 9))"

    def end(self):
        """All packets are in the file."""
        if self.process.popen.poll() is not None:
            return
        subprocess.run([*self.enter, sys.executable, "-c", self.SEND_LAST], input=self.LAST, check=True,
                       timeout=PATIENCE)
        wait_until(lambda: self.LAST in self.tail(), "the end of the capture")
        self.process.popen.send_signal(signal.SIGINT)
        self.process.wait()

    def tail(self):
        with open(self.path, "rb") as file:
            file.seek(max(0, self.path.stat().st_size - 4096))
            return file.read()

    def stop(self):
        self.process.stop()

    def counts(self):
        """(packets captured, packets dropped), as dumpcap says at its end."""
        told = re.search(r"received/dropped on interface '[^']*': (\d+)/(\d+)", self.process.log_text)
        assert told, self.process.log_text
        return int(told[1]), int(told[2])


class Frame:
    """One frame as tshark's HL7 dissector sees it."""

    def __init__(self, text, port, is_answer):
        self.port = port            # the exchange
        self.is_answer = is_answer  # it came from that port
        self.segments = text.split("\\r")
        self.is_last_ended = self.segments[-1] == ""  # a CR is behind its last segment
        if self.is_last_ended:
            self.segments.pop()

    def named(self, name):
        return [s for s in self.segments if s.split("|")[0] == name]

    def field(self, name, number):
        """Of the first segment of that name; MSH-9 is number 9."""
        segment, = self.named(name)[:1] or [""]
        fields = segment.split("|")
        number -= name == "MSH"
        return fields[number] if number < len(fields) else ""


# Between the values of one field; it is in no message
AGGREGATOR = "\x1e"
FIELDS = ("tcp.srcport", "tcp.dstport", "hl7.llp.sob", "hl7.llp.eob", "hl7.raw", "hl7.segment", "hl7.malformed",
          "_ws.malformed", "_ws.expert.severity")
EXPERT_ERROR = str(0x800000)


def tshark(path, ports, display, *fields, dissector="hl7"):
    """Rows of the packets that the filter shows: a list of values for each field."""
    line = [need("tshark"), "-r", path, "-d", f"tcp.port=={ports.start}-{ports.stop},{dissector}",
            "-o", "hl7.display_llp:TRUE", "-o", "hl7.display_raw:TRUE", "-Y", display, "-T", "fields",
            "-E", "occurrence=a", "-E", f"aggregator={AGGREGATOR}"]
    for field in fields:
        line += ["-e", field]
    # what it says of being run by root goes to standard error
    done = subprocess.run([str(word) for word in line], capture_output=True, check=True, timeout=3 * PATIENCE,
                          text=True, errors="replace")
    return [[column.split(AGGREGATOR) if column else [] for column in row.split("\t")]
            for row in done.stdout.split("\n") if row]


def frames(path, ports):
    """All of them, in the order in which they passed; what tshark finds wrong with one fails."""
    found = []
    for source, to, begins, ends, texts, dissected, malformed, ws_malformed, severities in \
            tshark(path, ports, "hl7", *FIELDS):
        is_answer = int(source[0]) in ports
        port = int(source[0] if is_answer else to[0])
        made = [Frame(text, port, is_answer) for text in texts]
        assert not malformed and not ws_malformed and EXPERT_ERROR not in severities, (port, texts)
        assert begins == ["0x0b"] * len(made), (port, begins)
        # of a segment without a CR it shows nothing but the text, and not always the end of its frame
        if all(f.is_last_ended for f in made):
            assert ends == ["0x1c0d"] * len(made), (port, ends)
            assert dissected == [s + "\\r" for f in made for s in f.segments], (port, dissected)
        found += made
    return found


def connections(path, ports):
    """How many were made to each port."""
    count = {}
    for row in tshark(path, ports, "tcp.flags.syn == 1 && tcp.flags.ack == 0", "tcp.dstport"):
        port = int(row[0][0])
        count[port] = count.get(port, 0) + 1
    return count


TLS_VERSIONS = {"0x0303": "TLS 1.2", "0x0304": "TLS 1.3"}


def tls_versions(path, ports):
    """What was agreed on: the versions that a server named, by port."""
    found = {}
    # from 1.3 on the old field says 1.2, and an extension the truth
    for source, old, new in tshark(path, ports, "tls.handshake.type == 2", "tcp.srcport", "tls.handshake.version",
                                   "tls.handshake.extensions.supported_version", dissector="tls"):
        found.setdefault(int(source[0]), set()).add(TLS_VERSIONS[(new or old)[0]])
    return found


def readable(path, ports):
    """To which of these ports something went that anybody can read as a message."""
    return {int(row[0][0]) for row in tshark(path, ports, 'tcp.payload contains "MSH|"', "tcp.dstport")} & set(ports)
