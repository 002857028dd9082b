# SPDX-License-Identifier: MIT
"""TLS in front of hl7-receive: the distribution's stunnel and HAProxy, with the configurations that ship.

The files of units/tls are what runs here, but for ports and paths, which are replaced in the text. The
certificates are made for the tests.
"""
import contextlib
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest

from hl7test import (BUILD, PATIENCE, SEND, SOURCE, Peer, frame, free_port, message, need,
                     wait_until)
from test_foreign import node  # pylint: disable=unused-import

SHIPPED = SOURCE / "units" / "tls"
RECEIVER_SOCKET = "/run/hl7-inetd/proxied.sock"
PORT = "2575"
FOLDER = "/etc/hl7-inetd/tls"

M, N, O = message("ID1"), message("ID2"), message("ID3")

ACCEPTED, UNANSWERED = 0, 3


# --- certificates ---------------------------------------------------------------------------------

class Authority:
    """One that is trusted, and certificates of it and of others, in PEM files of their own."""

    def __init__(self, folder):
        self.folder = folder
        self.authority("clients", "Hospital CA")
        self.authority("other", "Another CA")
        self.certificate("server", "clients", "/CN=localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        self.certificate("analyzer", "clients", "/CN=analyzer01")
        self.certificate("umlaut", "clients", "/CN=Ger\u00e4t 7 HL7_PEER=1.1.1.1")
        self.certificate("expired", "clients", "/CN=analyzer01", when="-5d")
        self.certificate("stranger", "other", "/CN=analyzer01")
        self.certificate("revoked", "clients", "/CN=analyzer02")
        self.authority("self-signed", "analyzer01")
        self.revoke("revoked", "clients")

    def __truediv__(self, name):
        return self.folder / name

    def __str__(self):
        return str(self.folder)

    def run(self, *arguments, when="+0"):
        """Some time ago, or now: openssl of Debian 13 makes no certificate that ends before it begins."""
        subprocess.run([need("faketime"), "-f", when, "openssl", *map(str, arguments)], cwd=self.folder, check=True,
                       capture_output=True, timeout=PATIENCE)

    NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-utf8")

    def authority(self, name, subject):
        """With the extensions that RFC 5280 demands of it, as Python does from 3.13 on."""
        self.run("req", "-x509", *self.NEW_KEY, "-days", 2, "-subj", f"/CN={subject}", "-keyout", f"{name}.key",
                 "-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature", "-out", f"{name}.pem")

    def revoke(self, name, authority):
        """Writes the list of the authority, revoked.crl."""
        (self / "database").touch()
        (self / "ca.conf").write_text("[ca]\ndefault_ca=ca\ndatabase=database\ndefault_md=sha256\ndefault_crl_days=2\n")
        line = ["ca", "-config", "ca.conf", "-cert", f"{authority}.pem", "-keyfile", f"{authority}.key"]
        self.run(*line, "-revoke", f"{name}.pem")
        self.run(*line, "-gencrl", "-out", "revoked.crl")

    def certificate(self, name, authority, subject, *extensions, when="+0"):
        (self / f"{name}.ext").write_text("\n".join(("authorityKeyIdentifier=keyid", *extensions)))
        self.run("req", *self.NEW_KEY, "-subj", subject, "-keyout", f"{name}.key", "-out", f"{name}.csr")
        self.run("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key",
                 "-CAcreateserial", "-days", 2, "-extfile", f"{name}.ext", "-out", f"{name}.pem", when=when)
        # as both proxies have it: the certificate and the key in one file
        (self / f"{name}.both").write_bytes((self / f"{name}.pem").read_bytes() + (self / f"{name}.key").read_bytes())


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    need("openssl")
    return Authority(tmp_path_factory.mktemp("authority"))


# --- the proxies ------------------------------------------------------------------------------------

def shipped(name, *replacements):
    """The text of the file with other ports and paths, each of which must be in it."""
    text = (SHIPPED / name).read_text(encoding="utf-8")
    for old, new in replacements:
        assert old in text, f"{name} has no {old!r}"
        text = text.replace(old, str(new))
    return text


class Front:
    """A proxy with TLS in front of hl7-receive."""

    def __init__(self, kind, port, authority, listener, process, store):
        self.kind = kind
        self.port = port
        self.authority = authority
        self.listener = listener  # its standard error is the log of all connections
        self.process = process
        self.store = store

    def context(self, name="analyzer", version=None):
        context = ssl.create_default_context(cafile=str(self.authority / "clients.pem"))
        if name:
            context.load_cert_chain(self.authority / f"{name}.pem", self.authority / f"{name}.key")
        if version:
            context.minimum_version = context.maximum_version = version
        return context

    def connect(self, name="analyzer", version=None, host="127.0.0.1"):
        sock = socket.create_connection((host, self.port), timeout=PATIENCE)
        try:
            return Peer(self.context(name, version).wrap_socket(sock, server_hostname="localhost"))
        except BaseException:
            sock.close()
            raise

    @property
    def log(self):
        """hl7-receive's entries, without the lines of what started it."""
        return [entry for entry in self.listener.log if entry]

    def s_client(self, name="analyzer", *options):
        identity = f"-cert {self.authority}/{name}.pem -key {self.authority}/{name}.key" if name else ""
        return (f"openssl s_client -quiet -verify_return_error -verify_hostname localhost "
                f"-CAfile {self.authority}/clients.pem {identity} {' '.join(options)} -connect 127.0.0.1:{self.port}")

    def socat(self):
        a = self.authority
        return (f"{need('socat')} - OPENSSL:127.0.0.1:{self.port},cafile={a}/clients.pem,commonname=localhost,"
                f"cert={a}/analyzer.pem,key={a}/analyzer.key")


def is_reached(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=PATIENCE):
        return True
    return False


@pytest.fixture
def certificates(authority, tmp_path):
    """The folder with the certificates and the key that is /etc/hl7-inetd/tls."""
    folder = tmp_path / "tls"
    folder.mkdir()
    shutil.copy(authority / "server.both", folder / "server.pem")
    shutil.copy(authority / "clients.pem", folder / "clients.pem")
    shutil.copy(authority / "revoked.crl", folder / "revoked.pem")
    return folder


@pytest.fixture
def receiver(start, command, tmp_path):
    """hl7-receive --proxy-protocol on a Unix socket: receiver("--messages=0") is (its path, its process)."""

    def receiver(*options):
        path = tmp_path / "proxied.sock"
        process = start([need("systemd-socket-activate"), "-a", "-l", path,
                         *command("--proxy-protocol", "--log=stderr", *options)], name="hl7-receive")
        wait_until(path.exists, "the listener")
        return path, process

    return receiver


@pytest.fixture
def start_proxy(start, certificates, tmp_path):
    """By kind; enter: words in front of the command, which must end in exec()."""

    def haproxy(path, addresses, *more, enter=()):
        text = shipped("haproxy.cfg", (RECEIVER_SOCKET, path), (f":::{PORT} v4v6", addresses), *more,
                       (FOLDER, certificates))
        (tmp_path / "haproxy.cfg").write_text(text, encoding="utf-8")
        with open(tmp_path / "haproxy.log", "wb") as log:
            return start([*enter, need("haproxy"), "-db", "-f", tmp_path / "haproxy.cfg"], stdout=log)

    def stunnel(path, addresses, *more, enter=()):
        text = shipped("stunnel-hl7.conf", (RECEIVER_SOCKET, path), (f"accept = :::{PORT}", f"accept = {addresses}"),
                       *more, (FOLDER, certificates), ("TIMEOUTbusy = 10", "TIMEOUTbusy = 2"))
        (tmp_path / "hl7.conf").write_text(text, encoding="utf-8")
        return start([*enter, need("stunnel4"), tmp_path / "hl7.conf"])

    return {"haproxy": haproxy, "stunnel": stunnel}


@pytest.fixture
def open_front(start_proxy, receiver, authority, store):
    """A proxy before a listener: open_front("stunnel", "--messages=0")."""

    def open_front(kind, *options, addresses="127.0.0.1:{port}", change=()):
        port = free_port()
        path, listener = receiver(*options)
        process = start_proxy[kind](path, addresses.format(port=port), *change)
        wait_until(lambda: process.popen.poll() is not None or is_reached(port), f"{kind}'s start")
        assert process.popen.poll() is None, process.log_text
        return Front(kind, port, authority, listener, process, store)

    return open_front


@pytest.fixture(params=["stunnel", "haproxy"])
def front(request, open_front):
    """front("--messages=0") with each of the proxies."""
    return lambda *options, **more: open_front(request.param, *options, **more)


# --- those that may ---------------------------------------------------------------------------------

@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_right_certificate(front, version, tmp_path):
    f = front()
    peer = f.connect(version=version)
    port = peer.sock.getsockname()[1]
    assert peer.ask(M).code == "AA"
    peer.close()
    assert f.store.messages() == [M]
    wait_until(lambda: f.log, "the entry")
    entry, = f.log
    assert (entry["HL7_PEER"], entry["HL7_PEER_PORT"]) == ("127.0.0.1", str(port))
    told = entry.get("HL7_TLS_VERSION"), entry.get("HL7_TLS_CLIENT")
    if f.kind == "haproxy":
        assert told == (version.name.replace("_", "."), "analyzer01")
        # HAProxy's log has the same number
        line = f'127.0.0.1:{port} .* {version.name.replace("_", ".")} "analyzer01" id={entry["HL7_PROXY_ID"]}$'
        wait_until(lambda: re.search(line, (tmp_path / "haproxy.log").read_text(), re.M), "HAProxy's log")
    else:
        assert told == (None, None)  # version 1 of the header has neither
        # but its own log has, and the same port leads there
        log = f.process.log_text
        assert re.search(rf"Service \[hl7\] accepted connection from 127.0.0.1:{port}\b", log)
        assert "CN=analyzer01" in log


def test_name_with_other_characters(open_front):
    f = open_front("haproxy")
    peer = f.connect("umlaut")
    assert peer.ask(M).code == "AA"
    peer.close()
    wait_until(lambda: f.log, "the entry")
    assert 'HL7_TLS_CLIENT="Ger\\xc3\\xa4t 7 HL7_PEER=1.1.1.1"' in f.listener.log_text


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("kind", ["stunnel", "haproxy"])
def test_both_kinds_of_addresses_at_one_port(open_front, kind, host):
    """As the file has it: an IPv4 peer is one in the log, and no mapped one."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError as e:
        pytest.skip(f"no IPv6 loopback here: {e}")
    f = open_front(kind, addresses=":::{port}" + (" v4v6" if kind == "haproxy" else ""))
    peer = f.connect(host=host)
    assert peer.ask(M).code == "AA"
    peer.close()
    wait_until(lambda: f.log, "the entry")
    assert [e["HL7_PEER"] for e in f.log] == [host]


def test_many_messages(front):
    f = front("--messages=0")
    peer = f.connect()
    payloads = [message(f"ID{n}") for n in range(100)]
    for payload in payloads[:50]:
        assert peer.ask(payload).code == "AA"
    peer.send(b"".join(map(frame, payloads[50:])))  # at once
    assert [a.code for a in peer.read_frames(100)] == ["AA"] * 100
    peer.close()
    assert f.store.messages() == payloads


def test_many_connections(front):
    """Eight at a time, each with one message: none is lost, none is another's."""
    f = front()
    failed = []

    def client(n):
        for i in range(5):
            try:
                peer = f.connect()
                assert peer.ask(message(f"C{n}M{i}")).control_id == f"C{n}M{i}".encode()
                peer.close()
            except (OSError, AssertionError) as e:
                failed.append(f"{n}: {e!r}")

    threads = [threading.Thread(target=client, args=[n]) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert sorted(f.store.messages()) == sorted(message(f"C{n}M{i}") for n in range(8) for i in range(5))


def test_large_message(front):
    f = front()
    large = message("ID1", filler=5_000_000)
    peer = f.connect()
    assert peer.ask(large).code == "AA"
    peer.close()
    assert f.store.messages() == [large]


def test_message_in_many_records(front):
    f = front()
    peer = f.connect()
    peer.send_apart(*[bytes([b]) for b in frame(M)[:30]], frame(M)[30:], pause=0.005)
    assert [a.code for a in peer.read_frames(1)] == ["AA"]
    peer.close()
    assert f.store.messages() == [M]


def test_quiet_connection_is_the_listeners_to_end(front):
    f = front("--messages=0", "--idle-timeout=1500ms")
    peer = f.connect()
    assert peer.ask(M).code == "AA"
    time.sleep(0.7)
    assert peer.ask(N).code == "AA"
    began = time.monotonic()
    assert peer.read_some() == b"", "more than the answer"
    assert time.monotonic() - began > 1
    peer.close()
    assert f.store.messages() == [M, N]


def test_killed_in_mid_message(front):
    f = front()
    peer = f.connect()
    peer.send(frame(message("ID1", filler=100_000))[:70_000])
    time.sleep(0.3)  # all of that is there
    peer.reset()
    wait_until(lambda: f.log, "the entry")
    assert [(e["HL7_OUTCOME"], e["HL7_PEER"]) for e in f.log] == [("frame-lost", "127.0.0.1")]
    assert not f.store.names()
    peer = f.connect()
    assert peer.ask(N).code == "AA"
    peer.close()


# --- those that may not -----------------------------------------------------------------------------

def check_turned_away(f):
    """Nobody of them reached the listener; it is there for those who may."""
    peer = f.connect()
    assert peer.ask(O).code == "AA"
    peer.close()
    wait_until(lambda: f.log, "the entry")
    assert [e.get("HL7_CONTROL_ID") for e in f.log] == ["ID3"], f.log
    assert f.store.messages() == [O]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
@pytest.mark.parametrize("name", [None, "expired", "stranger", "self-signed"])
def test_wrong_certificate(front, name, version):
    f = front()
    with pytest.raises((ssl.SSLError, ConnectionResetError, BrokenPipeError)) as refused:
        peer = f.connect(name, version)
        # with version 1.3 the client is told only after its own half is done, or finds the connection closed
        with contextlib.closing(peer):
            peer.send(frame(M))
            received = peer.sock.recv(100)
            assert not received, "an answer"
            raise ssl.SSLError("closed without a word")
    assert re.search("alert|ALERT|closed without a word|EOF", str(refused.value)) or (
        version == ssl.TLSVersion.TLSv1_3 and isinstance(refused.value, ConnectionError))
    check_turned_away(f)


REVOKED = {
    "stunnel": (";CRLfile = ", "CRLfile = "),
    "haproxy": ("verify required\n", f"verify required crl-file {FOLDER}/revoked.pem\n"),
}


@pytest.mark.parametrize("kind", REVOKED)
def test_revoked(open_front, kind):
    """With the line that the file has as a comment; without it, it is as good as any."""
    f = open_front(kind)
    with contextlib.closing(f.connect("revoked")) as peer:
        assert peer.ask(N).code == "AA"
    f.process.stop()
    f.listener.stop()
    (f.store.path.parent / "proxied.sock").unlink()
    assert f"crl-file {FOLDER}/revoked.pem" in shipped("haproxy.cfg")
    f = open_front(kind, change=[REVOKED[kind]])
    with contextlib.suppress(OSError), contextlib.closing(f.connect("revoked")) as peer:
        peer.send(frame(M))
        assert not peer.sock.recv(100), "an answer"
    with contextlib.closing(f.connect()) as peer:
        assert peer.ask(O).code == "AA"
    assert M not in f.store.messages()


OLD = ["-cipher", "ALL:@SECLEVEL=0"]


@pytest.mark.parametrize("version, taken", [("-tls1", False), ("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)])
def test_versions(front, run, version, taken):
    """The same client with each version, with all ciphers that it has for old ones."""
    f = front()
    done = run(["/bin/sh", "-c", f.s_client("analyzer", version, *OLD)], input=frame(M) + b"")
    assert (b"MSA|AA|ID1" in done.stdout) == taken, done.told
    if taken:
        assert f.store.messages() == [M]
    else:
        check_turned_away(f)


def test_server_that_takes_old_versions_is_told_from_ours(start, authority, run):
    """What test_versions() looks for is there to be seen: another server takes 1.1."""
    port = free_port()
    start([need("openssl"), "s_server", "-accept", f"127.0.0.1:{port}", "-cert", authority / "server.pem", "-key",
           authority / "server.key", *OLD, "-www"])
    wait_until(lambda: is_reached(port), "the server")
    line = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_1", *OLD]
    done = run(line, input=b"GET / HTTP/1.0\r\n\r\n")
    assert b"Protocol  : TLSv1.1" in done.stdout, done.told


@pytest.mark.parametrize("sent", [frame(M), b"GET / HTTP/1.0\r\n\r\n",
                                  b"PROXY TCP4 10.1.1.1 10.1.1.2 1 2\r\n" + frame(M)],
                         ids=["MLLP", "HTTP", "a PROXY header"])
def test_no_tls(front, sent):
    f = front()
    with contextlib.closing(Peer(socket.create_connection(("127.0.0.1", f.port), timeout=PATIENCE))) as peer:
        peer.send(sent)
        assert b"MSA" not in peer.read_to_end()
    check_turned_away(f)


def test_header_inside_of_tls_is_noise(front):
    """A client that may connect cannot say that it is another."""
    f = front()
    peer = f.connect()
    peer.send(b"PROXY TCP4 10.9.9.9 10.0.0.1 1 2\r\n" + frame(M))
    assert [a.code for a in peer.read_frames(1)] == ["AA"]
    peer.close()
    wait_until(lambda: len(f.log) == 2, "both entries")
    assert {e["HL7_PEER"] for e in f.log} == {"127.0.0.1"}


def test_scan(front):
    """Connections without a byte, and half a TLS hello: nothing of them in the listener's log."""
    f = front()
    for _ in range(5):
        assert is_reached(f.port)
    with socket.create_connection(("127.0.0.1", f.port), timeout=PATIENCE) as sock:
        sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc")
    check_turned_away(f)


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"], ids=["nothing", "half a hello"])
def test_handshake_that_stands_still(open_front, sent):
    """Ten seconds in the file, two here; a connection that is through with it is not meant. HAProxy can do so from
    2.9 on, which is tested where it is: in the machines."""
    f = open_front("stunnel", "--messages=0")
    peer = f.connect()
    with contextlib.closing(socket.create_connection(("127.0.0.1", f.port), timeout=PATIENCE)) as sock:
        began = time.monotonic()
        sock.sendall(sent)
        with contextlib.suppress(ConnectionResetError):
            while sock.recv(100):
                pass
        assert 1 < time.monotonic() - began < 8
    time.sleep(1)
    assert peer.ask(M).code == "AA"
    peer.close()
    wait_until(lambda: f.log, "the entry")
    assert [e["HL7_CONTROL_ID"] for e in f.log] == ["ID1"]


def is_closed(sock):
    sock.setblocking(False)
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def test_connections_of_one_address(open_front):
    """HAProxy counts them, before TLS begins; those that leave make room."""
    f = open_front("haproxy")
    with contextlib.ExitStack() as stack:
        held = []
        # twice, as at first the look whether it is reached may be among them
        for n in 70, 6:
            for _ in range(n):
                with contextlib.suppress(ConnectionResetError):
                    held.append(stack.enter_context(
                        socket.create_connection(("127.0.0.1", f.port), timeout=PATIENCE)))
            wait_until(lambda: 62 < sum(not is_closed(sock) for sock in held) <= 64, "the end of those above 64")
        assert sum(not is_closed(sock) for sock in held) == 64
        with pytest.raises(OSError):
            f.connect()

    def is_served():
        with contextlib.suppress(OSError), contextlib.closing(f.connect()) as peer:
            return peer.ask(M).code == "AA"
        return False

    wait_until(is_served, "room")


def test_no_listener(open_front):
    """The proxy is there and the listener is not: the sender gets no answer, and nobody is harmed."""
    f = open_front("stunnel")
    f.listener.stop()
    (f.store.path.parent / "proxied.sock").unlink()
    peer = f.connect()
    with contextlib.suppress(OSError):
        peer.send(frame(M))
    with contextlib.suppress(OSError):
        assert peer.read_to_end() == b""
    peer.close()


# --- other clients ----------------------------------------------------------------------------------

@pytest.fixture
def send(run, tmp_path):
    def send(via, *messages, options=()):
        (tmp_path / "m.hl7").write_bytes(b"".join(map(frame, messages)))
        return run([SEND, "--via", via, *options, tmp_path / "m.hl7"])

    return send


@pytest.mark.parametrize("options", [[], ["--keep-open"]], ids=["one each", "kept"])
def test_hl7_send_by_openssl(front, send, options):
    f = front("--messages=0")
    done = send(f.s_client(), M, N, O, options=options)
    assert done.returncode == ACCEPTED, done.told
    assert f.store.messages() == [M, N, O]


def test_hl7_send_by_openssl_without_a_certificate(front, send):
    f = front()
    done = send(f.s_client(None), M, options=["--timeout=10s"])
    assert done.returncode == UNANSWERED
    check_turned_away(f)


def test_hl7_send_by_socat(front, send):
    f = front("--messages=0")
    done = send(f.socat(), M, N, options=["--keep-open"])
    assert done.returncode == ACCEPTED, done.told
    assert f.store.messages() == [M, N]


@pytest.fixture
def by_stunnel(tmp_path):
    """The command of hl7-forward(8), with its file: stunnel on standard input and output, as a client."""

    def by_stunnel(f, host="localhost", name="analyzer"):
        page = (SOURCE / "src/forward/hl7-forward.8").read_text(encoding="utf-8")
        text = re.search(r"^client = yes\n(?:.*\n)*?(?=\.Ed)", page, re.M)[0]
        for old, new in (("ris.example:2575", f"127.0.0.1:{f.port}"),
                         ("checkHost = ris.example", f"checkHost = {host}"),
                         ("/etc/hl7-inetd/destinations/me.pem", f"{f.authority}/{name}.both"),
                         ("/etc/hl7-inetd/destinations/ca.pem", f"{f.authority}/clients.pem")):
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "ris.conf").write_text(text)
        return f"{need('stunnel4')} {tmp_path}/ris.conf"

    return by_stunnel


@pytest.mark.parametrize("options", [[], ["--keep-open"]], ids=["one each", "kept"])
def test_hl7_send_by_stunnel(front, send, by_stunnel, options):
    f = front("--messages=0")
    done = send(by_stunnel(f), M, N, message("ID3", filler=1_000_000), options=options)
    assert done.returncode == ACCEPTED, done.told
    assert f.store.messages() == [M, N, message("ID3", filler=1_000_000)]


@pytest.mark.parametrize("wrong", [{"host": "ris.example"}, {"name": "stranger"}], ids=["host", "certificate"])
def test_hl7_send_by_stunnel_with_the_wrong_peer(front, send, by_stunnel, wrong):
    f = front()
    assert send(by_stunnel(f, **wrong), M, options=["--timeout=10s"]).returncode == UNANSWERED
    check_turned_away(f)


def test_hl7_forward_by_stunnel(front, start, by_stunnel, tmp_path):
    """The way out and the way in: what waits for a destination, over TLS."""
    f = front("--messages=0")
    out = tmp_path / "out"
    queue = out / "queue" / "ris"
    queue.mkdir(parents=True)
    (out / "received").mkdir()
    for n in range(3):
        name = f"20260101T00000{n}.000000Z-{n + 1}-1"
        (out / "received" / f"{name}.hl7").write_bytes(b"MSH|")
        (queue / f"{name}.000.hl7").write_bytes(message(f"ID{n}"))
    (tmp_path / "destinations").mkdir()
    (tmp_path / "destinations" / "ris.conf").write_text(f"Via={by_stunnel(f)}\nLinger=0\n")
    process = start([BUILD / "src" / "forward" / "hl7-forward", f"--store={out}",
                     f"--destinations={tmp_path}/destinations", "ris"])
    assert process.wait() == 0, process.log_text
    assert f.store.messages() == [message(f"ID{n}") for n in range(3)]


def test_node(front, run, node):
    f = front()
    done = run(node("client.js", "node", f.port, f.authority), input=frame(M), env=node.env)
    assert done.returncode == 0, done.told
    assert done.stdout == b"AA ID1\n"
    assert f.store.messages() == [M]


@pytest.mark.parametrize("name", ["analyzer", "stranger"])
def test_npm_client(front, run, node, authority, tmp_path, name):
    f = front("--messages=0")
    for file in ("clients.pem", "analyzer.pem", "analyzer.key"):
        shutil.copy(authority / file.replace("analyzer", name), tmp_path / file)
    payloads = [message(f"ID{n}", version="2.5.1") for n in range(5)]
    if name == "stranger":
        with contextlib.suppress(subprocess.TimeoutExpired):
            run(node("client.js", "node-hl7-client", f.port, tmp_path), input=frame(M), env=node.env, timeout=2)
        check_turned_away(f)
        return
    done = run(node("client.js", "node-hl7-client", f.port, tmp_path), env=node.env,
               input=b"".join(map(frame, payloads)))
    assert done.returncode == 0, done.told
    assert done.stdout.decode().splitlines() == [f"AA ID{n}" for n in range(5)]
    assert len(f.store.messages()) == 5


# --- the files that ship ----------------------------------------------------------------------------

def test_haproxy_finds_nothing_to_warn_of(run, certificates, tmp_path):
    (tmp_path / "haproxy.cfg").write_text(shipped("haproxy.cfg", (FOLDER, certificates)))
    done = run([need("haproxy"), "-c", "-V", "-f", tmp_path / "haproxy.cfg"])
    assert done.returncode == 0
    assert (done.stdout.decode() + done.told).strip() == "Configuration file is valid"


def test_proxies_agree_with_the_socket():
    """The path, and room for all that the proxies let through."""
    unit = (SOURCE / "units" / "hl7-receive-proxied.socket.in").read_text(encoding="utf-8")
    assert f"ListenStream={RECEIVER_SOCKET}\n" in unit
    most = int(re.search(r"^MaxConnections=(\d+)$", unit, re.M)[1])
    haproxy = (SHIPPED / "haproxy.cfg").read_text(encoding="utf-8")
    assert int(re.search(r"proxied\.sock maxconn (\d+)", haproxy)[1]) < most
    user = re.search(r"^SocketUser=(\S+)$", unit, re.M)[1]
    sysusers = (SOURCE / "units" / "hl7-inetd.sysusers").read_text(encoding="utf-8")
    assert re.search(rf"^u {user} ", sysusers, re.M)
    for drop_in in SHIPPED.glob("*.d/*.conf"):
        text = drop_in.read_text(encoding="utf-8")
        assert f"\nUser={user}\n" in text
        assert f"tcp:{PORT}" in text


# (the distribution's unit, the instance, exposure at most, times 10). What is left is the network, which a proxy
# is for.
DROP_INS = [("stunnel@.service", "stunnel@hl7.service", 11), ("haproxy.service", "haproxy.service", 12)]


@pytest.mark.parametrize("unit, instance, most", DROP_INS, ids=["stunnel", "haproxy"])
def test_drop_in(run, tmp_path, unit, instance, most):
    need("systemd-analyze")
    found = [p for p in (pathlib.Path(d) / unit for d in ("/lib/systemd/system", "/usr/lib/systemd/system"))
             if p.exists()]
    if not found:
        need(unit)
    root = tmp_path / "root"
    folder = root / "etc/systemd/system"
    folder.mkdir(parents=True)
    shutil.copy(found[0], folder)
    bare = run(["systemd-analyze", "security", "--offline=true", f"--root={root}", f"--threshold={most}", instance])
    assert bare.returncode != 0, "the unit is as tight without the drop-in"
    shutil.copytree(SHIPPED / f"{instance}.d", folder / f"{instance}.d")
    done = run(["systemd-analyze", "security", "--offline=true", f"--root={root}", f"--threshold={most}", instance])
    assert done.returncode == 0, done.stdout.decode()[-100:] + done.told
    # and systemd finds no fault with it
    done = run(["systemd-analyze", "verify", folder / (instance if (folder / instance).exists() else unit)])
    assert "hl7-inetd.conf" not in done.told, done.told
