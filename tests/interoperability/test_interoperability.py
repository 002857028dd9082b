# SPDX-License-Identifier: MIT
"""Foreign clients, servers, inetds, proxies and commands, each with a version of its own, and what they are tried
with; the traffic as tshark reads it; the table of all that.

    /usr/bin/python3 -m pytest tests/interoperability

Environment, beside that of tests/integration:
  HL7_INTEROPERABILITY_DIR    where interoperability.md, .json and .pcapng are written (default: interoperability/ in
                              the build folder)
  HL7_INTEROPERABILITY_WRITE  when set, README.md's table is written anew, else it is compared
"""
import os
import platform
import re
import shutil
import subprocess

import pytest

import peers
import table as tables
import wire as wires
from forwardtest import FORWARD, NAME, QUICK, Queue
from hl7test import CR, SEND, acks, frame, need, wait_until
from messages import LARGE, N, NOTES, payload, payloads
from test_tls import Front

LATE_MSEC, ACK_TIMEOUT_MSEC = 2500, 1000

CONVERSION = r"""{to ris}
MSH|^~\&|{MSH-3}|{MSH-4}|{MSH-5}|{MSH-6}|{MSH-7}||{MSH-9}|{MSH-10}|P|2.5
PID|1||{PID-3.1:required}
"""


@pytest.fixture
def receiver(command, tmp_path):
    """The command line for a scenario."""

    def receiver(scenario, *options):
        more = [*options, "--messages=0"] if scenario in ("kept", "forward") else [*options]
        if scenario == "refused":
            (tmp_path / "convert.d").mkdir()
            (tmp_path / "convert.d" / "ris.hl7t").write_text(CONVERSION, encoding="utf-8")
            more.append(f"--convert-templates={tmp_path / 'convert.d'}")
        return command(*more)

    return receiver


def cases(role):
    return [pytest.param(peer, s, id=f"{peer.name}-{s}")
            for peer in peers.roles(role) for s in peers.scenarios(peer, role)]


def is_ack(stored):
    return stored.split(CR)[0].split(b"|")[8].startswith(b"ACK")


# --- clients --------------------------------------------------------------------------------------

def check_stored(stored, sent, scenario):
    """What arrived is what was sent; says in which way it is not the same bytes."""
    assert len(stored) == len(sent)
    for got, wanted in zip(stored, sent):
        assert got.split(b"|")[9] == wanted.split(b"|")[9]
        assert b"CANARYNAME^CANARYGIVEN" in got
        assert NOTES.get(scenario, "plain").encode() in got
    if scenario == "large":
        assert len(stored[0]) >= LARGE - 1
    if stored == sent:
        return []
    if [s.rstrip(CR) for s in stored] == [s.rstrip(CR) for s in sent]:
        return ["no CR behind a message's last segment"]
    return ["writes messages anew"]


@pytest.mark.parametrize("peer, scenario", cases("client"))
def test_client(wire, table, node, run, start, receiver, store, peer, scenario):
    """It understands each answer. It has what it needs also where we close behind the first answer, as we ship."""
    port = wire.port()
    start([*wire.enter, need("systemd-socket-activate"), "-a", "-l", f"127.0.0.1:{port}", *receiver(scenario)])
    wait_until(lambda: wire.is_listening(port), "the listener")
    sent = payloads(scenario)
    code = "AE" if scenario == "refused" else "AA"
    # what acknowledges an acknowledgement is counted as a message; the last may come too late
    most = 2 * len(sent) if peer.answers_answers else len(sent)
    with table.exchange(peer, "client", scenario, port, (len(sent), most), len(sent)) as exchange:
        done = run([*wire.enter, *peers.client(peer, port, node)], env=node.env, input=b"".join(map(frame, sent)))
        assert done.returncode == 0, done.told
        told = done.stdout.decode().splitlines()
        if peer.client == "raw":
            told = [f"{a.code} {a.control_id.decode()}" for a in acks(done.stdout)]
        assert told == [f"{code} ID{i}" for i in range(len(sent))]
        stored = store.messages()
        if scenario == "refused":
            assert [m for m in stored if not is_ack(m)] == []
            assert len(list((store.path / "rejected").glob("*.hl7"))) == 1
        else:
            exchange.facts += check_stored([m for m in stored if not is_ack(m)], sent, scenario)


# --- those that start hl7-receive -----------------------------------------------------------------

# They may leave a second copy of a pipe open: its end is seen only when the process ends
SHORT_DRAIN = "--drain-timeout=100ms"


def send(run, wire, tmp_path, to, sent, *options):
    """To a port, or by a command."""
    to = [f"127.0.0.1:{to}"] if isinstance(to, int) else ["--via", to]
    files = []
    for i, text in enumerate(sent):
        files.append(tmp_path / f"{i}.hl7")
        files[-1].write_bytes(text)
    return run([*wire.enter, SEND, "--timeout=10s", *options, *to, *files])


def answered(done):
    """MSA-1 and MSA-2 of what hl7-send has printed."""
    return [tuple(line.split("|")[1:3]) for line in done.stdout.decode().splitlines() if line.startswith("MSA")]


def kept(scenario):
    return ("--keep-open",) if scenario == "kept" else ()


def check_sent(done, store, sent, scenario):
    """By hl7-send to hl7-receive, byte for byte, whatever stood between."""
    code = "AE" if scenario == "refused" else "AA"
    assert done.returncode == (1 if code == "AE" else 0), done.told
    assert answered(done) == [(code, f"ID{i}") for i in range(len(sent))]
    assert store.messages() == ([] if code == "AE" else sent)


@pytest.mark.parametrize("peer, scenario", cases("host"))
def test_host(wire, table, run, start, receiver, store, tmp_path, peer, scenario):
    port = wire.port()
    start([*wire.enter, *peers.host(peer, port, receiver(scenario, SHORT_DRAIN), tmp_path)])
    wait_until(lambda: wire.is_listening(port), "the listener")
    sent = payloads(scenario)
    with table.exchange(peer, "host", scenario, port, len(sent), len(sent)):
        done = send(run, wire, tmp_path, port, sent, *kept(scenario))
        check_sent(done, store, sent, scenario)


# --- servers --------------------------------------------------------------------------------------

def serve(wire, start, node, peer, port, *answer):
    process = start([*wire.enter, *peers.server(peer, port, node, *answer)], env=node.env, stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE)
    assert process.popen.stdout.readline() == b"ready\n", process.log_text
    return process


def forward(run, wire, queue, tmp_path, to, *options):
    """Puts nothing into the queue, and runs until it is empty. To a port, or by a command."""
    to = f"--to=mllp://127.0.0.1:{to}" if isinstance(to, int) else f"--via={to}"
    return run([*wire.enter, FORWARD, f"--store={queue.store}", f"--destinations={tmp_path}", *QUICK, *options, to,
                NAME])


def read_by(process, n):
    return [process.popen.stdout.readline().decode().strip() for _ in range(n)]


def as_read(scenario, n):
    return [f"ID{i} {NOTES.get(scenario, 'plain')}" for i in range(n)]


@pytest.mark.parametrize("peer, scenario", [c for c in cases("server") if c.values[1] in ("one", "kept", "large", "UTF-8")])
def test_server(wire, table, node, run, start, tmp_path, peer, scenario):
    """hl7-send takes its answers; it has read what was sent."""
    port = wire.port()
    sent = payloads(scenario)
    n = len(sent)
    process = serve(wire, start, node, peer, port)
    repeated = peer.repeats and scenario == "kept"
    counts = ((1, n), (2, n * n)) if repeated else (n, n)
    with table.exchange(peer, "server", scenario, port, *counts) as exchange:
        done = send(run, wire, tmp_path, port, sent, *kept(scenario))
        if repeated:
            # no answer is taken for another message's
            assert done.returncode in (0, 3)
            exchange.is_peculiar = True
            exchange.facts.append("answers earlier messages of a kept connection again: forward to it with "
                                  "`PerConnection=1`")
        else:
            assert (done.returncode, done.told) == (0, "")
            assert answered(done) == [("AA", f"ID{i}") for i in range(n)]
            assert read_by(process, n) == as_read(scenario, n)


@pytest.mark.parametrize("peer", peers.roles("server"), ids=lambda peer: peer.name)
def test_server_of_a_forwarder(wire, table, node, run, start, store, tmp_path, peer):
    queue = Queue(store.path)
    port = wire.port()
    process = serve(wire, start, node, peer, port)
    for text in payloads("forward"):
        queue.put(text)
    with table.exchange(peer, "server", "forward", port, N, N):
        done = forward(run, wire, queue, tmp_path, port, *(("--per-connection=1",) if peer.repeats else ()))
        assert done.returncode == 0, done.told
        assert (queue.names(), queue.failed_names()) == ([], [])
        assert read_by(process, N) == as_read("forward", N)


@pytest.mark.parametrize("peer", [p for p in peers.roles("server") if "AE" in peers.scenarios(p, "server")],
                         ids=lambda peer: peer.name)
def test_server_that_refuses(wire, table, node, run, start, store, tmp_path, peer):
    """hl7-send says so, hl7-forward keeps the message with the failed ones."""
    queue = Queue(store.path)
    port = wire.port()
    serve(wire, start, node, peer, port, "AE")
    with table.exchange(peer, "server", "AE", port, 2, 2):
        done = send(run, wire, tmp_path, port, payloads("one"))
        assert (done.returncode, answered(done)) == (1, [("AE", "ID0")])
        entry = queue.put(payload(0))
        done = forward(run, wire, queue, tmp_path, port, "--on-error=fail:1")
        assert "HL7_ACK=AE" in done.told
        assert queue.names() == [] and entry in queue.failed_names()


@pytest.mark.parametrize("peer", [p for p in peers.roles("server") if "late" in peers.scenarios(p, "server")],
                         ids=lambda peer: peer.name)
def test_server_that_is_late(wire, table, node, run, start, store, tmp_path, peer):
    """The first answer comes when nobody waits for it any more: the message is sent again."""
    queue = Queue(store.path)
    port = wire.port()
    process = serve(wire, start, node, peer, port, "AA", LATE_MSEC)
    queue.put(payload(0))
    # more often only where the machine has too much else to do
    with table.exchange(peer, "server", "late", port, (2, 5), (1, 5)):
        done = forward(run, wire, queue, tmp_path, port, f"--ack-timeout={ACK_TIMEOUT_MSEC}ms")
        assert done.returncode == 0, done.told
        tries = int(re.findall(r"HL7_TRIES=(\d+)", done.told)[-1])
        assert tries > 1
        assert (queue.names(), queue.failed_names()) == ([], [])
        assert read_by(process, tries) == as_read("late", 1) * tries


# --- TLS ------------------------------------------------------------------------------------------

@pytest.fixture
def open_front(wire, start, start_proxy, receiver, authority, store, tmp_path):
    """hl7-receive behind a proxy, as it ships: nobody connects without a certificate."""

    def open_front(peer, scenario):
        path, port = tmp_path / "proxied.sock", wire.tls_port()
        options = "--proxy-protocol", "--log=stderr"
        listener = start([need("systemd-socket-activate"), "-a", "-l", path, *receiver(scenario, *options)])
        wait_until(path.exists, "the listener")
        kind = peer.name.lower()
        process = start_proxy[kind](path, f"127.0.0.1:{port}", enter=wire.enter)
        wait_until(lambda: wire.is_listening(port), "the proxy")
        return Front(kind, port, authority, listener, process, store)

    return open_front


@pytest.mark.parametrize("peer, scenario", cases("front"))
def test_front(wire, table, run, open_front, store, tmp_path, peer, scenario):
    """hl7-send by OpenSSL's client."""
    front = open_front(peer, scenario)
    sent = payloads(scenario)
    with table.exchange(peer, "front", scenario, front.port):
        check_sent(send(run, wire, tmp_path, front.s_client(), sent, *kept(scenario)), store, sent, scenario)


@pytest.fixture
def way(by_stunnel):
    """The command that hl7-send or hl7-forward speak TLS by."""
    return {"openssl": lambda front: front.s_client(), "socat": lambda front: front.socat(), "stunnel": by_stunnel}


HAPROXY, = (p for p in peers.PEERS if p.name == "HAProxy")
VIA = [c for c in cases("tls") if c.values[0].tls == "via"]


@pytest.mark.parametrize("peer, scenario", [c for c in VIA if c.values[1] != "forward"])
def test_tls_by_a_command(wire, table, run, open_front, way, store, tmp_path, peer, scenario):
    front = open_front(HAPROXY, scenario)
    sent = payloads(scenario)
    with table.exchange(peer, "tls", scenario, front.port):
        done = send(run, wire, tmp_path, way[peer.name](front), sent, *kept(scenario))
        check_sent(done, store, sent, scenario)


@pytest.mark.parametrize("peer", [c.values[0] for c in VIA if c.values[1] == "forward"], ids=lambda peer: peer.name)
def test_tls_of_a_forwarder(wire, table, run, open_front, way, store, tmp_path, peer):
    front = open_front(HAPROXY, "forward")
    queue = Queue(tmp_path / "out")
    sent = payloads("forward")
    for text in sent:
        queue.put(text)
    with table.exchange(peer, "tls", "forward", front.port):
        done = forward(run, wire, queue, tmp_path / "none", way[peer.name](front))
        assert done.returncode == 0, done.told
        assert (queue.names(), queue.failed_names()) == ([], [])
        assert store.messages() == sent


@pytest.mark.parametrize("peer, scenario", [c for c in cases("tls") if c.values[0].tls == "node"])
def test_tls_of_a_client(wire, table, node, run, open_front, store, authority, peer, scenario):
    front = open_front(HAPROXY, scenario)
    sent = payloads(scenario)
    code = "AE" if scenario == "refused" else "AA"
    with table.exchange(peer, "tls", scenario, front.port) as exchange:
        done = run([*wire.enter, *node("client.js", peer.name, front.port, authority)], env=node.env,
                   input=b"".join(map(frame, sent)))
        assert done.returncode == 0, done.told
        assert done.stdout.decode().splitlines() == [f"{code} ID{i}" for i in range(len(sent))]
        exchange.facts += check_stored(store.messages(), [] if code == "AE" else sent, scenario)


# --- commands behind hl7-forward ------------------------------------------------------------------

PSQL, CURL = peers.roles("behind")


@pytest.fixture
def waiting(store):
    """What waits for the destination in each scenario; byte for byte that is what has to arrive."""

    def waiting(scenario):
        queue, sent = Queue(store.path), payloads(scenario)
        for text in sent:
            queue.put(text)
        return queue, sent

    return waiting


@pytest.mark.parametrize("scenario", peers.SCENARIOS["behind"])
def test_psql(table, archive, database, waiting, scenario):
    """The manual's example, with a PostgreSQL of our own."""
    queue, sent = waiting(scenario)
    with table.exchange(PSQL, "behind", scenario) as exchange:
        if scenario == "down":
            database.stop()
        try:
            process = archive()
            wait_until(lambda: scenario != "down" or int(queue.state()["retries"]) > 0, "a first try")
        finally:
            if scenario == "down":
                database.start()
        assert process.wait() == 0, process.log_text
        assert (queue.names(), queue.failed_names()) == ([], [])
        rows = database.ask("SELECT encode(content, 'hex') FROM message ORDER BY stored").splitlines()
        assert rows == [text.hex() for text in sent]
        exchange.facts.append("with PostgreSQL, as `hl7-forward(8)` shows it")


@pytest.mark.parametrize("scenario", peers.SCENARIOS["behind"])
def test_curl(table, web_service, waiting, scenario):
    """The manual's example, with a web service of our own."""
    queue, sent = waiting(scenario)
    with table.exchange(CURL, "behind", scenario) as exchange:
        process, server = web_service(*((503, 201) if scenario == "down" else (201,)))
        assert process.wait() == 0, process.log_text
        assert (queue.names(), queue.failed_names()) == ([], [])
        assert [body for *_, body in server.requests] == sent * (2 if scenario == "down" else 1)
        exchange.facts.append("to a web service, as `hl7-forward(8)` shows it")


# --- the traffic ----------------------------------------------------------------------------------

@pytest.fixture(scope="session")
def capture(wire, table):
    """All frames that tshark sees of the exchanges in the clear that went well, by port."""
    wire.end()
    captured, dropped = wire.counts()
    assert captured and not dropped
    by_port = {e.port: [] for e in table.passed(tables.IN_THE_CLEAR)}
    for seen in wires.frames(wire.path, wire.ports):
        by_port.setdefault(seen.port, []).append(seen)
    return by_port


def test_tshark_sees_all_messages_and_answers(table, capture):
    if not capture:
        pytest.skip("there was no traffic: no exchange was run, or none went well")
    for e in table.passed(tables.IN_THE_CLEAR):
        seen = capture[e.port]
        messages, answers = ([f for f in seen if f.is_answer == side] for side in (False, True))
        assert e.messages[0] <= len(messages) <= e.messages[1], e
        assert e.answers[0] <= len(answers) <= e.answers[1], e
        for f in seen:
            # what comes from our programs is read to its end
            assert f.named("MSH") and (f.is_last_ended or f.is_answer == (e.role == "server")), e
        for f in answers:
            assert f.field("MSA", 1) == ("AE" if e.scenario in ("AE", "refused") else "AA"), e
            assert e.scenario != "refused" or f.named("ERR"), e
        assert {f.field("MSA", 2) for f in answers} <= {f.field("MSH", 10) for f in messages}, e
    table.is_read = True


def test_what_the_traffic_shows(wire, table, capture):
    """The peers' habits, as they stand in the table."""
    if not capture:
        pytest.skip("there was no traffic: no exchange was run, or none went well")
    made = wires.connections(wire.path, wire.ports)
    for e in table.passed(tables.IN_THE_CLEAR):
        seen = capture[e.port]
        if e.role == "client":
            if e.scenario == "kept" and made[e.port] == N:
                e.facts.append("a connection for each message")
            if any(f.named("MSA") for f in seen if not f.is_answer):
                e.facts.append("acknowledges acknowledgements: they are stored, and not answered")
        if e.role == "server" and e.scenario == "one":
            if any(f.field("MSH", 9).split("^")[0] != "ACK" for f in seen if f.is_answer):
                e.facts.append("its answers are not of type ACK")
            if not any(f.is_last_ended for f in seen if f.is_answer):
                e.facts.append("no CR behind an answer's last segment")
        peer, = [p for p in peers.PEERS if p.name == e.peer]
        if peer.answers_itself and e.role == "server":
            e.facts.append("answers AA to all, at once")
        if peer.repeats and e.scenario == "kept":
            messages = sum(not f.is_answer for f in seen)
            assert len(seen) - messages > messages, f"{e}: it no longer answers messages again"


def test_tls_is_all_that_passes(wire, table, capture):
    """Nobody reads a message there, and both ends have agreed on one version of TLS."""
    in_tls = table.passed(tables.IN_TLS)
    if not in_tls or not capture:
        pytest.skip("there was no traffic: no exchange was run, or none went well")
    assert wires.readable(wire.path, wire.ports) >= set(capture), "what is in the clear would be seen"
    assert not wires.readable(wire.path, wire.tls_ports)
    agreed = wires.tls_versions(wire.path, wire.tls_ports)
    for e in in_tls:
        version, = agreed[e.port]
        e.facts.append(version)


# --- the table ------------------------------------------------------------------------------------

@pytest.fixture(scope="session")
def rows(table, node, capture):
    if not table.complete():
        pytest.skip("not all exchanges were run, so there is no table")
    made = [tables.row_in_readme(peer.name) if peer.elsewhere else table.row(peer, peers.version(peer, node))
            for peer in peers.PEERS]
    read = "reads" if table.is_read else "does not read"
    made.append(tables.other_row("tshark", peers.program_version("tshark", "--version"),
                                 f"{read} as HL7 all that is in the clear"))
    return made + [tables.other_row(name, "", why) for name, why in peers.NOT_RUN.items()]


def test_table_is_written(rows, wire, node, capture):
    system = platform.freedesktop_os_release()["PRETTY_NAME"]
    version = subprocess.run([node.program, "--version"], capture_output=True, check=True, text=True).stdout.strip()
    tables.write(rows, {"system": system, "node": version, "frames": sum(map(len, capture.values()))})
    shutil.copy(wire.path, tables.FOLDER)
    if os.environ.get("HL7_INTEROPERABILITY_WRITE"):
        tables.write_readme(rows)


def test_table_of_readme(rows):
    """All but the versions of Debian's packages is the same, and those of npm's are."""
    npm = {p.name for p in peers.PEERS if p.npm}
    shown = tables.in_readme()
    assert shown is not None, "README.md has no place for the table"
    assert tables.without_versions(tables.parsed(shown), npm) == tables.without_versions(rows, npm), \
        "write it anew: HL7_INTEROPERABILITY_WRITE=1 packaging/test interoperability"


def test_versions_of_debian_in_readme(rows):
    # node is not always Debian's
    other = tables.other_versions([r for r in rows if r["peer"] != "node"])
    if other:
        pytest.skip(f"not the versions of README.md, which are those of Debian 12: {', '.join(other)}")


def packages(pattern):
    """Those of apt's own lists on this machine that have it in their name or description: {name: record}"""
    # neither with what is installed, nor with its cache, which it would write
    options = [f"-oDir::{key}" for key in ("State::status=/dev/null", "Cache::pkgcache=", "Cache::srcpkgcache=")]
    done = subprocess.run([need("apt-cache"), *options, "search", "--full", pattern], capture_output=True, check=True,
                          text=True)
    return {record.split("\n")[0].partition(": ")[2]: record for record in done.stdout.split("\n\n") if record}


@pytest.mark.parametrize("name", peers.NOT_RUN)
def test_not_run_as_there_is_no_package(name):
    """Some have a word in common with it: those that have to do with health care would be it."""
    if "python3-hl7" not in packages("hl7"):
        pytest.skip("this machine has no lists of Debian's packages (apt-get update)")
    found = packages(f"(^|[^a-z])(lib)?{name}([^a-z]|$)".lower())
    assert not [p for p, record in found.items() if re.search("HL7|FHIR|DICOM|health", record, re.I)]
