"""A name server on loopback whose answers the test writes: UDP and TCP on one port (RFC 1035)."""

import ipaddress
import socket
import struct
import threading
from collections import Counter

A, SOA, AAAA = 1, 6, 28
NO_ERROR, SERVER_FAILURE, NO_SUCH_NAME = 0, 2, 3
NXDOMAIN, SERVFAIL, SILENCE = "nxdomain", "servfail", "silence"
TRUNCATED_BIT = 0x0200


class FakeDns:
    """`names` maps a name to addresses, or to NXDOMAIN, SERVFAIL or SILENCE. Unknown names are NXDOMAIN."""

    def __init__(self, names=None, ttl=60):
        self.names = {name.lower(): value for name, value in (names or {}).items()}
        self.ttl = ttl
        self.truncate_udp = False
        self.asked = Counter()
        self.asked_by_tcp = Counter()
        self.udp, self.tcp = self.bind()
        self.address = self.udp.getsockname()
        for loop in (self.serve_udp, self.serve_tcp):
            threading.Thread(target=loop, daemon=True).start()

    @staticmethod
    def bind():
        while True:
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            udp.bind(("127.0.0.1", 0))
            tcp = socket.socket()
            try:
                tcp.bind(udp.getsockname())
                tcp.listen()
                return udp, tcp
            except OSError:
                udp.close()
                tcp.close()

    @property
    def text(self):
        return "{}:{}".format(*self.address)

    def questions_about(self, name):
        """How often each record type was asked for."""
        return {kind: count for (asked, kind), count in self.asked.items() if asked == name}

    def serve_udp(self):
        while True:
            try:
                query, peer = self.udp.recvfrom(4096)
            except OSError:
                return
            answer = self.answer(query)
            if answer and self.truncate_udp:
                header = bytearray(answer[:12])
                header[2] |= TRUNCATED_BIT >> 8
                header[6:12] = bytes(6)
                answer = bytes(header) + question_of(query)
            if answer:
                self.udp.sendto(answer, peer)

    def serve_tcp(self):
        while True:
            try:
                connection, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self.serve_tcp_connection, args=(connection,), daemon=True).start()

    def serve_tcp_connection(self, connection):
        with connection:
            while header := connection.recv(2, socket.MSG_WAITALL):
                query = connection.recv(struct.unpack("!H", header)[0], socket.MSG_WAITALL)
                self.asked_by_tcp[name_and_kind(query)] += 1
                answer = self.answer(query)
                if answer:
                    connection.sendall(struct.pack("!H", len(answer)) + answer)

    def answer(self, query):
        name, kind = name_and_kind(query)
        self.asked[name, kind] += 1
        known = self.names.get(name, NXDOMAIN)
        if known == SILENCE:
            return None
        if known == SERVFAIL:
            return message(query, SERVER_FAILURE, [], [])
        if known == NXDOMAIN:
            return message(query, NO_SUCH_NAME, [], [authority(self.ttl)])
        addresses = [ipaddress.ip_address(text) for text in known]
        wanted = [ip for ip in addresses if kind == (A if ip.version == 4 else AAAA)]
        records = [record(kind, self.ttl, ip.packed) for ip in wanted]
        return message(query, NO_ERROR, records, [] if records else [authority(self.ttl)])

    def close(self):
        self.udp.close()
        self.tcp.close()


def question_of(query):
    """The first question, name and type and class."""
    end = 12
    while query[end]:
        end += 1 + query[end]
    return query[12 : end + 5]


def name_and_kind(query):
    question = question_of(query)
    labels, at = [], 0
    while question[at]:
        labels.append(question[at + 1 : at + 1 + question[at]].decode())
        at += 1 + question[at]
    return ".".join(labels).lower(), struct.unpack("!H", question[-4:-2])[0]


def message(query, code, answers, authorities):
    recursion_desired = query[2] & 1
    flags = 0x8080 | recursion_desired << 8 | code
    head = query[:2] + struct.pack("!HHHHH", flags, 1, len(answers), len(authorities), 0)
    return head + question_of(query) + b"".join(answers + authorities)


def record(kind, ttl, data):
    """A record for the name in the question, by a pointer to it."""
    return b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


def authority(ttl):
    """A SOA record: without it no resolver may cache a negative answer (RFC 2308)."""
    data = b"\x02ns\x00" + b"\x02me\x00" + struct.pack("!IIIII", 1, 3600, 600, 86400, ttl)
    return record(SOA, ttl, data)
