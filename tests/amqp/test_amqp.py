# SPDX-License-Identifier: MIT
"""Messages in by MLLP, out of the queue by a consumer; and what else may come or be asked for."""
import signal
import socket
import subprocess
import time

import pytest

from conftest import AMQP, FORWARD
from hl7test import (CR, EXIT_IO, EXIT_USAGE, FS, RECEIVE, SEND, VT, Connection, Process, acks,
                     check_log, environment, frame, free_port, message, wait_until)

M = message("ID1", accept="AL")


def refused(answer, control_id=b"ID1", code="CR"):
    assert (answer.code, answer.control_id) == (code, control_id)


def check_refusal(process, result, reason=""):
    """The only entry says that the message was not taken, and why."""
    entry, = process.log
    assert entry["HL7_OUTCOME"] == "storage-failed" and entry["HL7_ACK"] == "CR", entry
    assert entry["HL7_AMQP_RESULT"] == result, entry
    assert reason in entry.get("HL7_AMQP_REASON", ""), entry


# --- what a consumer gets -----------------------------------------------------------------------

@pytest.mark.parametrize("way", ["inetd", "systemd"])
def test_message(amqp, node, queue, way):
    process = amqp(way=way)
    answer = process.peer.ask(M)
    assert (answer.code, answer.control_id, answer.error()) == ("CA", b"ID1", None)
    assert process.finish() == 0
    (properties, body), = node.take_all(queue)
    assert body == M
    assert properties.delivery_mode == 2
    assert properties.content_type == "application/hl7-v2+er7"
    assert properties.app_id == "hl7-amqp"
    assert abs(properties.timestamp - time.time()) < 60
    assert properties.headers["hl7-control-id"] == "ID1"
    assert properties.headers["hl7-message-type"] == "ORU^R01"
    assert properties.headers["hl7-sending-application"] == "LAB"
    assert properties.headers["hl7-sending-facility"] == "CANARYFAC"
    assert node.queues()[queue] == ("quorum", "true")
    check_log(process.log, [("message stored: CA sent", {
        "HL7_CONTROL_ID": "ID1", "HL7_AMQP_RESULT": "confirmed",
        "HL7_AMQP_MESSAGE_ID": properties.message_id,
        "HL7_AMQP_BROKER": f"localhost:{node.port}"})])


def test_behind_a_proxy(amqp, node, queue):
    process = amqp("--proxy-protocol")
    process.peer.send(b"PROXY TCP4 10.1.2.3 10.0.0.1 41040 2575\r\n" + frame(M))
    assert [a.code for a in process.peer.read_frames(1)] == ["CA"]
    assert process.finish() == 0
    assert [(e["HL7_PEER"], e["HL7_PEER_PORT"]) for e in process.log] == [("10.1.2.3", "41040")]
    process = amqp("--proxy-protocol")
    process.peer.send(frame(M))
    assert process.peer.read_to_end() == b""
    assert process.finish() == 0
    check_log(process.log, ["connection refused: no PROXY header"])
    assert node.bodies(queue) == [M]


def test_pipes(run, node, queue):
    done = run(node.url, f"--queue={queue}", input=frame(M))
    assert [a.code for a in acks(done.stdout)] == ["CA"]
    assert done.returncode == 0
    assert node.bodies(queue) == [M]


def test_exactly_the_set_in_order(amqp, node, queue):
    """Sent without waiting for answers."""
    sent = [message(f"ID{i}") for i in range(500)]
    process = amqp()
    process.peer.send(b"".join(map(frame, sent)))
    answers = process.peer.read_frames(len(sent))
    assert [(a.code, a.control_id) for a in answers] == [("CA", b"ID%d" % i) for i in range(500)]
    assert node.bodies(queue) == sent


def test_large(amqp, node, queue):
    large = message(filler=20_000_000)
    assert amqp().peer.ask(large).code == "CA"
    assert node.bodies(queue) == [large]


def test_same_id_for_the_same_bytes_only(amqp, node, queue):
    other = message("ID1", filler=1, accept="AL")
    for payload in M, other, M:
        assert amqp().peer.ask(payload).code == "CA"
    ids = [properties.message_id for properties, _ in node.take_all(queue)]
    assert ids[0] == ids[2] != ids[1]


def test_headers_of_any_bytes(amqp, node, queue):
    strange = message("I\x01\udce4\\", app="x" * 5000)
    assert amqp().peer.ask(strange).code == "CA"
    (properties, body), = node.take_all(queue)
    assert body == strange
    assert properties.headers["hl7-control-id"] == r"I\x01\xe4\x5c"
    assert properties.headers["hl7-sending-application"] == "x" * 255


def test_exchange(amqp, node, queue):
    """Made elsewhere; the queue is bound to it."""
    connection = node.connect()
    connection.channel().exchange_declare(queue, "topic", durable=True)
    target = node.url, f"--exchange={queue}", "--routing-key=lab.oru", f"--queue={queue}"
    assert amqp(target=target).peer.ask(M).code == "CA"
    assert node.bodies(queue) == [M]
    other = node.url, f"--exchange={queue}", "--routing-key=nobody"
    process = amqp(target=other)
    refused(process.peer.ask(M))
    process.finish()
    check_refusal(process, "unroutable", "NO_ROUTE")
    connection.close()


# --- who is not let in, and where nothing is ------------------------------------------------------

def test_unroutable(amqp, node, queue):
    process = amqp("--declare=no")
    refused(process.peer.ask(M))
    refused(process.peer.ask(message("ID2")), b"ID2")
    assert process.finish() == EXIT_IO
    assert [e["HL7_AMQP_RESULT"] for e in process.log] == ["unroutable"] * 2
    assert queue not in node.queues()


def test_no_exchange(amqp, node, queue):
    process = amqp(target=(node.url, "--exchange=missing", "--routing-key=x"))
    refused(process.peer.ask(M))
    process.finish()
    check_refusal(process, "lost", "NOT_FOUND")


def test_queue_of_another_type(amqp, node, queue):
    """A queue that would lose messages with its node is not taken for one that does not."""
    connection = node.connect()
    connection.channel().queue_declare(queue, durable=True)
    process = amqp()
    refused(process.peer.ask(M))
    process.finish()
    check_refusal(process, "unreachable", "PRECONDITION_FAILED")
    connection.close()
    assert node.bodies(queue) == []


@pytest.fixture(scope="module")
def user(started):
    started.control("add_user", "lab", "secretCANARY")
    started.control("add_vhost", "hospital")
    started.control("set_permissions", "-p", "hospital", "lab", ".*", ".*", ".*")
    return f"--url=amqp://lab@localhost:{started.port}/hospital"


@pytest.mark.parametrize("source", ["file", "variable", "credential"])
def test_password(amqp, user, queue, tmp_path, source):
    (tmp_path / "amqp-password").write_text("secretCANARY\n")
    options, env = {
        "file": ([f"--password-file={tmp_path}/amqp-password"], {}),
        "variable": ([], {"HL7_AMQP_PASSWORD": "secretCANARY"}),
        "credential": ([], {"CREDENTIALS_DIRECTORY": str(tmp_path), "HL7_AMQP_PASSWORD": "other"}),
    }[source]
    process = amqp(*options, target=(user, f"--queue={queue}"), env=env)
    assert process.peer.ask(M).code == "CA"


def test_wrong_password(amqp, user, queue):
    process = amqp(target=(user, f"--queue={queue}"), env={"HL7_AMQP_PASSWORD": "wrongCANARY"})
    refused(process.peer.ask(M))
    assert process.finish() == EXIT_IO
    check_refusal(process, "unreachable", "logging in: ACCESS_REFUSED")


@pytest.mark.parametrize("options", [[], ["--password-file=/nowhere"]])
def test_no_password(amqp, user, queue, options):
    process = amqp(*options, target=(user, f"--queue={queue}"))
    refused(process.peer.ask(M))
    process.finish()
    check_refusal(process, "no-password")
    assert "ERRNO" in process.log[0]


def test_nobody_there(amqp, queue):
    process = amqp(target=(f"--url=amqp://127.0.0.1:{free_port()}", f"--queue={queue}"))
    refused(process.peer.ask(M))
    process.finish()
    check_refusal(process, "unreachable", "connecting")


def test_next_url(amqp, node, queue):
    target = f"--url=amqp://127.0.0.1:{free_port()}", node.url, f"--queue={queue}"
    assert amqp(target=target).peer.ask(M).code == "CA"
    assert node.bodies(queue) == [M]


def test_silent_broker(amqp, queue):
    """Something that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = amqp("--connect-timeout=500ms",
                       target=(f"--url=amqp://127.0.0.1:{silent.getsockname()[1]}", f"--queue={queue}"))
        began = time.monotonic()
        refused(process.peer.ask(M))
        assert time.monotonic() - began < 5
    process.finish()
    check_refusal(process, "unreachable", "logging in")


# --- judging and answering ------------------------------------------------------------------------

@pytest.mark.parametrize("payload,code,error", [
    (message(""), "CE", ("MSH^1^10", "101")),
    (message("ID1") + message("ID2"), "CE", ("MSH^2", "100")),
    (b"BHS|^~\\&|A" + CR + message("ID1"), "CE", ("MSH^1", "100")),
    (b"PID|1" + CR + message("ID1"), "CE", ("MSH^1", "100")),
    (message("ID1", filler=3000), "CR", ("", "207")),
], ids=["no control id", "two messages", "batch", "header not first", "too large"])
def test_content(amqp, node, queue, payload, code, error):
    """Judged as hl7-receive does; the next message is none the worse for it."""
    process = amqp("--max-message=2K")
    answer = process.peer.ask(payload)
    assert (answer.code, answer.error()) == (code, error)
    assert process.peer.ask(M).code == "CA"
    assert process.finish() == 0
    assert node.bodies(queue) == [M]


def test_fs_inside(amqp, node, queue):
    process = amqp()
    process.peer.send(VT + M + FS + b"OBX" + CR + FS + CR)
    assert [a.code for a in process.peer.read_frames(1)] == ["CE"]
    assert process.finish() == 0
    assert "fs-inside-data" in process.log_text and "confirmed" not in process.log_text


def test_acknowledgement(amqp, node, queue):
    """Published, and never answered."""
    ack = message("ID9", kind="ACK")
    process = amqp()
    process.peer.send(frame(ack))
    assert process.peer.ask(M).control_id == b"ID1"
    assert node.bodies(queue) == [ack, M]


@pytest.mark.parametrize("mode,code", [("auto", "AA"), ("original", "AA"), ("enhanced", "CA")])
def test_ack_mode(amqp, mode, code):
    assert amqp(f"--ack-mode={mode}").peer.ask(message("ID1")).code == code


def test_no_header(amqp):
    process = amqp()
    process.peer.send(frame(b"GET / HTTP/1.0"))
    assert process.peer.read_to_end() == b""
    assert process.finish() == 0
    assert process.log[0]["HL7_OUTCOME"] == "no-header"


def test_end_inside_a_frame(amqp):
    process = amqp()
    process.peer.send(VT + M)
    process.peer.half_close()
    assert process.peer.read_to_end() == b""
    process.finish()
    assert process.log[0]["HL7_OUTCOME"] == "frame-lost"


def test_messages(amqp, node, queue):
    process = amqp("--messages=2")
    process.peer.send(frame(message("ID1")) + frame(message("ID2")) + frame(message("ID3")))
    process.peer.half_close()
    assert [a.control_id for a in acks(process.peer.read_to_end())] == [b"ID1", b"ID2"]
    assert process.finish() == 0
    assert node.bodies(queue) == [message("ID1"), message("ID2")]


# --- waits and signals ----------------------------------------------------------------------------

def test_nothing(amqp):
    """A scan: no connection to the broker, no word."""
    process = amqp(target=("--url=amqp://192.0.2.1", "--queue=x"))
    assert process.finish() == 0
    assert process.log_text == ""


def test_idle_timeout(amqp):
    process = amqp("--idle-timeout=300ms")
    assert process.peer.read_to_end() == b""
    assert process.finish() == 0


def test_frame_timeout(amqp):
    process = amqp("--frame-timeout=300ms")
    process.peer.send(VT + M)
    answer, = acks(process.peer.read_to_end())
    refused(answer)
    assert process.finish() == 0
    assert process.log[0]["HL7_OUTCOME"] == "frame-timeout"


def test_heartbeats(amqp, node, queue):
    """A peer that is silent for longer than the broker would be."""
    process = amqp("--heartbeat=1s")
    assert process.peer.ask(M).code == "CA"
    time.sleep(4)
    assert process.peer.ask(message("ID2")).code == "CA"
    log = (node.folder / "log" / f"{node.name}.log").read_text()
    assert "missed heartbeats" not in log


def test_goodbye(amqp, node, queue):
    process = amqp()
    assert process.peer.ask(M).code == "CA"
    log = node.folder / "log" / f"{node.name}.log"
    before = log.read_text().count("client unexpectedly closed TCP connection")
    assert process.finish() == 0
    assert log.read_text().count("client unexpectedly closed TCP connection") == before


def test_term_while_idle(amqp):
    process = amqp()
    assert process.peer.ask(M).code == "CA"
    process.popen.send_signal(signal.SIGTERM)
    assert process.peer.read_to_end() == process.peer.received
    assert process.wait() == 0


# --- the command line -----------------------------------------------------------------------------

@pytest.mark.parametrize("options,told", [
    ([], "--url=amqp://HOST is needed"),
    (["--url=amqp://h"], "--queue=NAME is needed"),
    (["--url=http://h", "--queue=q"], "is expected"),
    (["--url=amqp://", "--queue=q"], "is expected"),
    (["--url=amqp://h:x", "--queue=q"], "is expected"),
    (["--url=amqp://u:CANARY@h", "--queue=q"], "a password in --url"),
    (["--url=amqps://h", "--queue=q"], "stunnel"),
    (["--url=amqp://h", "--queue=q", "--routing-key=k"], "--routing-key goes with --exchange"),
    (["--url=amqp://h", "--queue=" + "q" * 256], "not a valid value"),
    (["--url=amqp://h", "--queue=q", "--confirm-timeout=0"], "not a valid value"),
    (["--url=amqp://h", "--queue=q", "--heartbeat=1500ms"], "not a valid value"),
    (["--url=amqp://h", "--queue=q", "more"], "no arguments are taken"),
    (["--url=amqp://h"] * 17 + ["--queue=q"], "not a valid value"),
])
def test_usage(run, options, told):
    done = run(*options, input=b"")
    assert done.returncode == EXIT_USAGE and told in done.told


def test_started_by_hand(run):
    with open("/dev/null", "rb") as null:
        done = run("--url=amqp://h", "--queue=q", stdin=null)
    assert done.returncode == EXIT_USAGE and "no connection was passed" in done.told


# --- as a transport -------------------------------------------------------------------------------

def command(node, queue):
    return f"exec {AMQP} {node.url} --queue={queue}"


def test_via_send(node, queue, tmp_path, logs):
    sent = [message(f"ID{i}") for i in range(20)]
    for i, payload in enumerate(sent):
        (tmp_path / f"{i:03d}.hl7").write_bytes(payload)
    with open(logs.new("hl7-send"), "wb") as log:
        done = subprocess.run([SEND, "--keep-open", "--quiet", "--via", command(node, queue),
                               *sorted(tmp_path.glob("*.hl7"))], env=environment(), stderr=log,
                              check=False, timeout=60)
    assert done.returncode == 0
    assert node.bodies(queue) == sent


def test_via_forward(node, queue, tmp_path, logs):
    """Received, queued for a destination, delivered to the broker while it is down and up again."""
    templates, store = tmp_path / "convert.d", tmp_path / "store"
    templates.mkdir()
    (templates / "all.hl7t").write_text("{to rabbit}\n{message}\n")
    sent = [message(f"ID{i}") for i in range(20)]
    receiver = Connection([RECEIVE, f"--store={store}", f"--convert-templates={templates}",
                           f"--ack-templates={tmp_path}/none", "--messages=0"],
                          logs.new("hl7-receive"), store, env=environment())
    for payload in sent:
        assert receiver.peer.ask(payload).code == "AA"
    assert receiver.finish() == 0
    node.stop()
    forwarder = Process([FORWARD, f"--store={store}", f"--destinations={tmp_path}/none",
                         f"--via={command(node, queue)}", "--retry-min=200ms", "--retry-max=1s",
                         "--linger=0", "rabbit"], logs.new("hl7-forward"), env=environment(),
                        stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: "storage-failed" in forwarder.log_text, "a message that was not confirmed")
        node.start()
        assert forwarder.wait(60) == 0
    finally:
        forwarder.stop()
    assert node.bodies(queue) == sent
