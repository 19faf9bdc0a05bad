"""The client's side of a UDP association (RFC 1928 section 7)."""

import socket

import socks5

TIMEOUT_SECONDS = 10
ANY = ("0.0.0.0", 0)


class Association:
    """The TCP connection it lives by, and the socket that its datagrams come from."""

    def __init__(self, proxy, user=None, asked=ANY, source="127.0.0.1", port=0):
        self.control, self.reply = proxy.ask(*asked, user, socks5.UDP_ASSOCIATE)
        assert self.reply.code == socks5.SUCCEEDED, f"{self.reply}; its log:\n{proxy.log()[-2000:]}"
        self.relay = (proxy.socks[0], self.reply.port)
        self.sockets = []
        self.socket = self.another_socket(source, port)

    def another_socket(self, source="127.0.0.1", port=0):
        """A socket that is not the one of this association's client."""
        source = "::1" if ":" in self.relay[0] else source
        more = socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET, socket.SOCK_DGRAM)
        more.bind((source, port))
        more.settimeout(TIMEOUT_SECONDS)
        self.sockets.append(more)
        return more

    def send(self, host, port, payload, fragment=0):
        self.send_raw(socks5.datagram(host, port, payload, fragment))

    def send_raw(self, data):
        self.socket.sendto(data, self.relay)

    def receive(self):
        data, peer = self.socket.recvfrom(65536)
        assert peer[:2] == self.relay, "datagrams come from where the client sends them"
        return socks5.read_datagram(data)

    def echoes(self, server, payload=b"hello", host=None):
        """Sends to a server that echoes; whether that is what comes next."""
        self.send(host or server.address[0], server.address[1], payload)
        heard = self.receive()
        return (heard.payload, heard.port) == (payload, server.address[1])

    def close(self):
        for connection in [self.control, *self.sockets]:
            connection.close()
