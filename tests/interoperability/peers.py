# SPDX-License-Identifier: MIT
"""The foreign programs: how each is run, which version it is, and what is known of it."""
import dataclasses
import importlib.metadata
import json
import pathlib
import re
import subprocess
import sys
import typing

from hl7test import HERE as INTEGRATION
from hl7test import PATIENCE, need

FOREIGN = INTEGRATION / "foreign"

# What each role is tried with
SCENARIOS = {
    "client": ("one", "kept", "large", "UTF-8", "refused"),
    "server": ("one", "kept", "large", "UTF-8", "forward", "AE", "late"),
    "host": ("one", "kept", "large", "UTF-8", "refused"),
    "front": ("one", "kept", "large", "UTF-8", "refused"),
    "tls": ("one", "kept", "large", "UTF-8", "refused", "forward"),
    "behind": ("one", "forward", "large", "UTF-8", "down"),
}


@dataclasses.dataclass(frozen=True)
class Peer:
    name: str
    npm: bool = False                       # else it is Debian's
    client: typing.Optional[str] = None     # "node", "python" or "raw": what it sends is made by the test
    server: typing.Optional[str] = None     # "node" or "python"
    host: bool = False                      # it starts hl7-receive
    front: bool = False                     # it ends TLS before hl7-receive
    tls: typing.Optional[str] = None        # a client with TLS: "node", or "via" as hl7-send's command
    behind: bool = False                    # the last that a message of hl7-forward comes to, by a command
    elsewhere: bool = False                 # tests/amqp tries it, and compares its row of README.md
    answers_itself: bool = False            # no user of the package chooses the answer, or its time
    repeats: bool = False                   # of a kept connection's messages it answers earlier ones again
    answers_answers: bool = False           # it acknowledges the acknowledgements that it gets
    program: typing.Optional[str] = None    # where that is not the name
    told: typing.Optional[str] = None       # a Debian program's option that prints its version


PEERS = [
    Peer("python3-hl7", client="python", server="python"),
    Peer("simple-hl7", npm=True, client="node", server="node"),
    Peer("node-hl7-client", npm=True, client="node", tls="node"),
    Peer("node-hl7-server", npm=True, server="node", repeats=True),
    Peer("nodehl7", npm=True, client="node", server="node"),
    Peer("@medplum/hl7", npm=True, client="node", server="node"),
    Peer("hl7v2-net", npm=True, client="node", server="node", answers_answers=True),
    Peer("mllp-node", npm=True, client="node", server="node", answers_itself=True),
    Peer("@i-tech-uw/mllp-server", npm=True, client="node", server="node", answers_itself=True),
    Peer("node", tls="node", told="--version"),
    Peer("ncat", client="raw", host=True, told="--version"),
    Peer("socat", client="raw", host=True, tls="via", told="-V"),
    Peer("openbsd-inetd", host=True),
    Peer("HAProxy", front=True, program="haproxy", told="-v"),
    Peer("stunnel", front=True, tls="via", program="stunnel4", told="-version"),
    Peer("openssl", tls="via", told="version"),
    Peer("psql", behind=True, told="--version"),
    Peer("curl", behind=True, told="--version"),
    Peer("RabbitMQ", behind=True, elsewhere=True),
]

# Why others that one would expect are not among them
ABSENT = "not run: Debian has no package of it"
NOT_RUN = {"HAPI": ABSENT, "dcm4che": ABSENT}


def roles(role):
    return [peer for peer in PEERS if getattr(peer, role) and not peer.elsewhere]


def tried(peer, role):
    """What such a peer is asked for: only hl7-forward's own ways are among it."""
    return tuple(s for s in SCENARIOS[role] if (role, s) != ("tls", "forward") or peer.tls == "via")


def scenarios(peer, role):
    """Those that it is able to."""
    if role == "server" and peer.answers_itself:
        return tuple(s for s in SCENARIOS[role] if s not in ("AE", "late"))
    return tried(peer, role)


def version(peer, node):
    """Of what is run, not of what was asked for."""
    if peer.npm:
        path = pathlib.Path(node.env["NODE_PATH"]) / peer.name / "package.json"
        return json.loads(path.read_text(encoding="utf-8"))["version"]
    if peer.name == "python3-hl7":
        return importlib.metadata.version("hl7")
    if peer.name == "node":
        return program_version(node.program, peer.told)
    if peer.told:
        return program_version(peer.program or peer.name, peer.told)
    # it has no option that tells: the package's, without what Debian adds
    told = subprocess.run(["dpkg-query", "--show", "--showformat=${Version}", peer.name], capture_output=True,
                          check=True, text=True, timeout=PATIENCE).stdout
    return re.sub(r"^\d+:|-[^-]*$", "", told)


def program_version(name, option):
    done = subprocess.run([need(name), option], capture_output=True, check=True, text=True, timeout=PATIENCE)
    return re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)[0]


def client(peer, port, node):
    """Reads frames, and prints what it read in the answers; "raw": prints the answers' bytes."""
    if peer.client == "node":
        return node("client.js", peer.name, port)
    if peer.client == "python":
        return [sys.executable, FOREIGN / "client.py", port]
    # both half-close behind the last message, and stay until the other end closes
    if peer.name == "ncat":
        return [need("ncat"), "127.0.0.1", port]
    return [need("socat"), "-t", PATIENCE, "-", f"TCP:127.0.0.1:{port}"]


def server(peer, port, node, *answer):
    if peer.server == "node":
        return node("server.js", peer.name, port, *answer)
    return [sys.executable, FOREIGN / "server.py", port, *answer]


def host(peer, port, command, folder):
    """Starts that command for each connection."""
    line = [str(word) for word in command]
    if peer.name == "ncat":
        return [need("ncat"), "--listen", "--keep-open", "127.0.0.1", port, "--exec", " ".join(line)]
    if peer.name == "socat":
        return [need("socat"), f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork", f"EXEC:{' '.join(line)}"]
    conf = folder / "inetd.conf"
    conf.write_text(f"127.0.0.1:{port} stream tcp nowait root {line[0]} {' '.join(line)}\n", encoding="utf-8")
    return [need("inetd"), "-i", conf]
