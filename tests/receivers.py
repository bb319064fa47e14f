"""Receivers on loopback that misbehave, one behind TLS whose authority nobody else knows, and a forward proxy."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from threading import Thread


@dataclass
class Raw:
    """A TCP server; connections: the addresses of those that have connected."""

    port: int
    connections: list[object] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


@contextmanager
def raw(handle: Callable[[socket.socket], None], context: ssl.SSLContext | None = None) -> Iterator[Raw]:
    """A server that hands each connection to `handle`, on a thread of its own."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    server = Raw(listener.getsockname()[1])

    def serve(connection: socket.socket) -> None:
        with suppress(OSError):
            wrapped = context.wrap_socket(connection, server_side=True) if context is not None else connection
            with wrapped:
                handle(wrapped)

    def accept() -> None:
        while True:
            try:
                connection, address = listener.accept()
            except OSError:
                return
            server.connections.append(address)
            Thread(target=serve, args=(connection,), daemon=True).start()

    Thread(target=accept, daemon=True).start()
    try:
        yield server
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def continues(connection: socket.socket) -> None:
    """`100 Continue` for ever."""
    connection.recv(65536)
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.001)


def drips_a_header(connection: socket.socket) -> None:
    """A header that never ends."""
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nx: ")
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)


def drips_headers(connection: socket.socket) -> None:
    """One header after another."""
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"x: y\r\n")
        time.sleep(0.1)


def drips_a_chunk(connection: socket.socket) -> None:
    """A body in chunks whose trailers never end."""
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n")
    while True:
        connection.sendall(b"x: y\r\n")
        time.sleep(0.05)


def takes_nothing(connection: socket.socket) -> None:
    """Accepts, and reads and says nothing."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    time.sleep(60)


def floods_with_continues(connection: socket.socket) -> None:
    """`100 Continue` as fast as they are taken."""
    connection.recv(65536)
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)


ENDLESS = [continues, drips_a_header, drips_headers, drips_a_chunk, takes_nothing, floods_with_continues]


def says_ok(connection: socket.socket) -> None:
    """Reads a request and answers 200."""
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


def read_request(connection: socket.socket) -> bytes:
    """Reads a request; its body."""
    head, _, body = _read_until(connection, b"\r\n\r\n").partition(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.lower().splitlines() if line.startswith(b"content-length")), 0
    )
    while len(body) < length:
        body += connection.recv(65536)
    return body


def _read_until(connection: socket.socket, mark: bytes) -> bytes:
    received = b""
    while mark not in received:
        data = connection.recv(65536)
        if not data:
            raise OSError("it has gone")
        received += data
    return received


@dataclass
class Authority:
    """A certificate authority that nobody knows, and a receiver's certificate by it."""

    ca_file: Path
    context: ssl.SSLContext


def authority(folder: Path, *names: str) -> Authority:
    """An authority in a folder, which vouches for these host names and addresses."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now = datetime.now(UTC)

    def signed(subject: str, issuer: str, key: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=subject == issuer, path_length=None), critical=True)
        )
        if subject != issuer:
            alternative_names = [_name(name) for name in names]
            builder = builder.add_extension(x509.SubjectAlternativeName(alternative_names), critical=False)
        return builder.sign(by, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _name(name: str) -> x509.GeneralName:
        try:
            return x509.IPAddress(ip_address(name))
        except ValueError:
            return x509.DNSName(name)

    ca, receiver_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_file, pair = folder / "ca.pem", folder / "receiver.pem"
    ca_file.write_bytes(signed("a company", "a company", ca, ca))
    private = receiver_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pair.write_bytes(private + signed("receiver", "a company", receiver_key, ca))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    return Authority(ca_file, context)


@dataclass
class ForwardProxy:
    """An HTTP proxy on loopback, which knows the addresses of some names. asked: the first line and the headers of each
    request.
    """

    names: dict[str, int]
    asked: list[str] = field(default_factory=list)

    def __call__(self, client: socket.socket) -> None:
        """Serve one connection."""
        head = _read_until(client, b"\r\n\r\n")
        self.asked.append(head.split(b"\r\n\r\n")[0].decode())
        method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
        host = target.split("//")[-1].split("/")[0].rsplit(":", 1)[0]
        if host not in self.names:
            client.sendall(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", self.names[host])) as receiver:
            if method == "CONNECT":
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                receiver.sendall(head)
            Thread(target=_copy, args=(client, receiver), daemon=True).start()
            _copy(receiver, client)
            client.shutdown(socket.SHUT_RDWR)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
