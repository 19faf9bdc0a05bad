"""UDP ASSOCIATE against the running program (RFC 1928 sections 6 and 7)."""

import contextlib
import random
import socket
import time

import pytest

import socks5
from fake_dns import SILENCE
from ports import free_ports, is_free
from socks5 import UDP_ASSOCIATE, datagram
from waiting import eventually

LARGEST_OVER_IPV4 = 65_507
HEADER_IPV4 = 10
DRIVERS = ["io_uring", "epoll"]


@pytest.fixture(params=DRIVERS)
def driver(request):
    return {"workers.driver": request.param}


def dropped(proxy, reason=None):
    """Datagrams dropped so far."""
    labels = {"reason": reason} if reason else {}
    return proxy.metrics()("socks5_udp_datagrams_dropped_total", **labels)


def eventually_dropped(proxy, reason, count=1):
    eventually(lambda: dropped(proxy, reason) >= count, what=lambda: f"{count} x {reason}; {drops(proxy)}")
    assert drops(proxy) == {reason: count}


def drops(proxy):
    counts = proxy.metrics().by("socks5_udp_datagrams_dropped_total", "reason")
    return {reason: int(count) for reason, count in counts.items() if count}


def refused(proxy, code, user=None, asked=("0.0.0.0", 0)):
    connection, reply = proxy.ask(*asked, user, UDP_ASSOCIATE)
    connection.close()
    return reply.code == code


# Datagrams there and back


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_datagram_goes_there_and_back_and_names_who_answered(ringway, udp_target, associate, driver, host):
    server = udp_target(host=host)
    association = associate(ringway(driver))
    association.send(*server.address, b"hello")
    answer = association.receive()
    assert (answer.address, answer.port, answer.payload) == (*server.address, b"hello")
    assert server.heard == [b"hello"]


def test_the_reply_names_the_port_to_send_to_on_the_address_that_was_connected_to(ringway, associate):
    association = associate(ringway())
    assert association.reply.address == "127.0.0.1"
    assert not is_free((association.reply.address, association.reply.port))


def test_a_client_over_ipv6_is_served_over_ipv6(ringway, udp_target, associate):
    association = associate(ringway({"socks5.listen": "['[::1]:0']"}), asked=("::", 0))
    assert association.reply.address == "::1"
    assert association.echoes(udp_target()) and association.echoes(udp_target(host="::1"))


def test_a_name_is_looked_up_and_the_answer_names_the_address(ringway, udp_target, associate, dns):
    server, names = udp_target(), dns({"udp.example": ["127.0.0.1"]})
    association = associate(ringway({"socks5.dns.servers": f"[{names.text}]"}))
    for number in range(20):
        association.send("udp.example", server.address[1], b"%d" % number)
        answer = association.receive()
        assert (answer.address, answer.port, answer.payload) == (*server.address, b"%d" % number)
    assert max(names.questions_about("udp.example").values()) == 1, "asked once, then remembered"


def test_targets_of_every_kind_share_one_association_and_see_one_stable_port(ringway, udp_target, associate, dns):
    first, second, third, sixth = udp_target(), udp_target(host="127.0.0.2"), udp_target(), udp_target(host="::1")
    names = dns({"third.example": ["127.0.0.1"]})
    association = associate(ringway({"socks5.dns.servers": f"[{names.text}]"}))
    for round_ in range(5):
        for server, host in [(first, None), (sixth, None), (third, "third.example"), (second, None)]:
            assert association.echoes(server, b"%d" % round_, host)
    ports = {port for server in (first, second, third) for _, port in server.peers}
    assert len(ports) == 1, "a target sees the same source, whoever else is spoken to"
    assert {port for _, port in sixth.peers} == ports, "in both families"


@pytest.mark.parametrize("size", [0, 1, 512, 1_200, 1_473, 8_192, 32_768, LARGEST_OVER_IPV4 - HEADER_IPV4])
def test_datagrams_of_any_size_arrive_whole(ringway, udp_target, associate, driver, size):
    server, payload = udp_target(), random.Random(size).randbytes(size)
    association = associate(ringway(driver))
    assert association.echoes(server, payload)
    assert server.heard == [payload]


def test_the_largest_datagram_of_a_target_reaches_a_client_whose_family_can_carry_it(ringway, udp_target, associate):
    largest = random.Random(0).randbytes(LARGEST_OVER_IPV4)
    server = udp_target(lambda _: largest)
    association = associate(ringway({"socks5.listen": "['[::1]:0']"}), asked=("::", 0))
    association.send(*server.address, b"?")
    assert association.receive().payload == largest


def test_a_datagram_that_is_too_large_with_its_header_is_counted_and_never_cut(ringway, udp_target, associate):
    server = udp_target(lambda asked: bytes(LARGEST_OVER_IPV4) if asked == b"large" else asked)
    proxy = ringway()
    association = associate(proxy)
    association.send(*server.address, b"large")
    eventually_dropped(proxy, "too_large")
    assert association.echoes(server)


UDP_SEGMENT = 103
SEGMENTS, SEGMENT_BYTES = 20, 1_200


def test_a_train_of_segments_is_relayed_datagram_by_datagram(ringway, udp_target, associate, driver):
    """The kernel may hand such a train over in one piece (GRO); its last datagram is shorter."""
    first, second = udp_target(), udp_target()
    association = associate(ringway(driver))
    payloads = [random.Random(number).randbytes(SEGMENT_BYTES - HEADER_IPV4) for number in range(SEGMENTS - 1)] + [b"short"]
    servers = [first if number % 3 else second for number in range(SEGMENTS)]
    association.socket.setsockopt(socket.SOL_UDP, UDP_SEGMENT, SEGMENT_BYTES)
    association.send_raw(b"".join(datagram(*server.address, payload) for server, payload in zip(servers, payloads)))
    heard = [association.receive() for _ in range(SEGMENTS)]
    expected = [(server.address[1], payload) for server, payload in zip(servers, payloads)]
    assert sorted((answer.port, answer.payload) for answer in heard) == sorted(expected)
    for server in (first, second):
        assert server.heard == [payload for port, payload in expected if port == server.address[1]], "in order"


def test_bursts_are_relayed_in_order_and_counted(ringway, udp_target, associate, driver):
    server, proxy = udp_target(), ringway(driver)
    association = associate(proxy)
    before = proxy.metrics()
    payloads = [random.Random(number).randbytes(number * 7) for number in range(200)]
    for begin in range(0, len(payloads), 20):
        burst = payloads[begin : begin + 20]
        for payload in burst:
            association.send(*server.address, payload)
        assert [association.receive().payload for _ in burst] == burst
    after = proxy.metrics()
    total = sum(map(len, payloads))
    for direction in ("sent", "received"):
        assert after("socks5_udp_datagrams_total", direction=direction) == len(payloads)
        name = f"socks5_traffic_bytes_{direction}_total"
        assert after(name) - before(name) == total, "payload, without headers"


# Its life


def test_it_ends_with_its_connection_and_frees_its_port(ringway, udp_target, associate, driver):
    server, proxy = udp_target(), ringway(driver)
    association = associate(proxy)
    assert association.echoes(server)
    assert proxy.metrics()("socks5_udp_associations_active") == 1
    association.control.close()
    proxy.eventually_closed("finished")
    eventually(lambda: is_free(association.relay), what="the client's side freed")
    eventually(lambda: is_free(("127.0.0.1", server.peers[0][1])), what="the targets' side freed")
    metrics = proxy.metrics()
    assert metrics("socks5_udp_associations_active") == 0
    assert metrics("socks5_udp_associations_total") == 1
    association.send(*server.address, b"too late")
    assert server.heard == [b"hello"]


def test_it_ends_with_a_reset_of_its_connection(ringway, udp_target, associate):
    server, proxy = udp_target(), ringway()
    association = associate(proxy)
    assert association.echoes(server)
    socks5.reset(association.control)
    eventually(lambda: proxy.metrics()("socks5_udp_associations_active") == 0)
    eventually(lambda: is_free(association.relay))


def test_stray_bytes_on_its_connection_do_not_end_it(ringway, udp_target, associate):
    server = udp_target()
    association = associate(ringway())
    assert association.echoes(server)
    for _ in range(5):
        association.control.sendall(b"anything " * 5_000)
        assert association.echoes(server)


def test_bytes_behind_the_request_do_not_end_it(ringway, udp_target, associate):
    proxy, server = ringway(), udp_target()
    connection = proxy.connect()
    connection.sendall(socks5.greeting(socks5.NO_AUTH) + socks5.request("0.0.0.0", 0, UDP_ASSOCIATE) + b"and more")
    assert socks5.receive_exactly(connection, 2) == b"\x05\x00"
    reply = socks5.read_reply(connection)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.sendto(datagram(*server.address, b"hello"), ("127.0.0.1", reply.port))
        assert socks5.read_datagram(client.recv(100)).payload == b"hello"


def test_an_idle_one_ends_and_its_client_is_told(ringway, udp_target, associate):
    server, proxy = udp_target(), ringway({"socks5.timeouts.udp_idle": "1s"})
    association = associate(proxy)
    assert association.echoes(server)
    begun = time.monotonic()
    with contextlib.suppress(ConnectionResetError):
        assert association.control.recv(1) == b""
    assert 0.8 < time.monotonic() - begun < 4
    proxy.eventually_closed("udp_idle_timeout")


@pytest.mark.parametrize("speaker", ["client", "target"])
def test_one_that_speaks_now_and_then_is_not_idle(ringway, udp_target, associate, speaker):
    server, proxy = udp_target(lambda _: None), ringway({"socks5.timeouts.udp_idle": "1s"})
    association = associate(proxy)
    association.send(*server.address, b"0")
    eventually(lambda: server.heard)
    for number in range(1, 8):
        time.sleep(0.3)  # The pause is what is tested.
        if speaker == "client":
            association.send(*server.address, b"%d" % number)
            eventually(lambda: len(server.heard) == number + 1)
        else:
            server.push(b"%d" % number, server.peers[0])
            assert association.receive().payload == b"%d" % number


MANY_ASSOCIATIONS = 1_000


def test_a_thousand_associations_leave_no_descriptor(ringway, udp_target, associate):
    server, proxy = udp_target(), ringway({"log.access": "off"})
    assert associate(proxy).echoes(server)
    for connection in proxy.sockets:
        connection.close()
    eventually(lambda: proxy.active() == 0)
    before = proxy.descriptors()
    for number in range(MANY_ASSOCIATIONS):
        connection, reply = proxy.ask("0.0.0.0", 0, None, UDP_ASSOCIATE)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            client.sendto(datagram(*server.address, b"%d" % number), ("127.0.0.1", reply.port))
            assert client.recv(100).endswith(b"%d" % number)
        connection.close()
    proxy.sockets.clear()
    eventually(lambda: proxy.active() == 0)
    eventually(lambda: proxy.descriptors() <= before, what=lambda: f"{proxy.descriptors()} descriptors, {before} before")
    metrics = proxy.metrics()
    assert metrics("socks5_udp_associations_total") == MANY_ASSOCIATIONS + 1
    assert metrics("socks5_udp_associations_active") == 0


def test_only_so_many_associations_are_open_at_once(ringway, udp_target, associate):
    server, proxy = udp_target(), ringway({"socks5.limits.udp_associations": 3})
    held = [associate(proxy) for _ in range(3)]
    assert refused(proxy, socks5.GENERAL_FAILURE)
    proxy.eventually_closed("limit_udp_associations")
    assert all(association.echoes(server) for association in held), "those inside go on"
    held[0].control.close()
    eventually(lambda: not refused(proxy, socks5.GENERAL_FAILURE), what="a place that is left is taken")


# Who may use it


def test_another_address_may_not_use_it(ringway, udp_target, associate):
    server, proxy = udp_target(), ringway()
    association = associate(proxy)
    stranger = association.another_socket("127.0.0.2")
    stranger.sendto(datagram(*server.address, b"strange"), association.relay)
    eventually_dropped(proxy, "foreign_source")
    assert association.echoes(server), "a stranger who comes first does not take it over"
    stranger.sendto(datagram(*server.address, b"strange"), association.relay)
    eventually_dropped(proxy, "foreign_source", 2)
    assert association.echoes(server)
    assert b"strange" not in server.heard


def test_the_first_source_port_is_the_only_one(ringway, udp_target, associate):
    server, proxy = udp_target(), ringway()
    association = associate(proxy)
    assert association.echoes(server)
    association.another_socket().sendto(datagram(*server.address, b"second"), association.relay)
    eventually_dropped(proxy, "foreign_source")
    assert association.echoes(server)
    assert b"second" not in server.heard


def test_a_port_in_the_request_is_the_only_one_that_may_send(ringway, udp_target, associate):
    server, proxy = udp_target(), ringway()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        association = associate(proxy, asked=("0.0.0.0", other.getsockname()[1]))
        association.send(*server.address, b"from the wrong port")
        eventually_dropped(proxy, "foreign_source")
        other.sendto(datagram(*server.address, b"right"), association.relay)
        other.settimeout(10)
        assert socks5.read_datagram(other.recv(100)).payload == b"right"
    assert server.heard == [b"right"]


def test_an_address_in_the_request_is_the_only_one_that_may_send(ringway, udp_target, associate):
    server, proxy = udp_target(), ringway()
    association = associate(proxy, asked=("127.0.0.77", 0))
    association.send(*server.address, b"from elsewhere")
    eventually_dropped(proxy, "foreign_source")
    assert not server.heard


def test_the_requests_address_and_port_do_not_matter_where_they_are_not_honoured(ringway, udp_target, associate):
    association = associate(ringway({"socks5.udp.honour_dst": False}), asked=("192.0.2.1", 9))
    assert association.echoes(udp_target())


# Who may answer


def heard_from(association, sender, outside):
    """Whether a datagram of `sender` to the association's outer port reaches the client."""
    sender.push(b"push", outside)
    return association.receive().payload == b"push"


FILTERS = {
    # who may push: the target that was spoken to, its address from another port, another address
    "full_cone": (True, True, True),
    "address": (True, True, False),
    "address_port": (True, False, False),
}


@pytest.mark.parametrize("filter_", FILTERS)
@pytest.mark.parametrize("whose", ["service", "user"])
def test_the_filter_says_who_may_send_to_the_client(ringway, udp_target, associate, users_file, filter_, whose):
    spoken_to, same_address, stranger = udp_target(), udp_target(), udp_target(host="127.0.0.2")
    if whose == "service":
        proxy, user = ringway({"socks5.udp.filter": filter_}), None
    else:
        other = "full_cone" if filter_ != "full_cone" else "address_port"
        proxy, user = ringway({"socks5.udp.filter": other, **users_file(alice={"udp": filter_})}), ("alice", "secret")
    association = associate(proxy, user=user)
    assert association.echoes(spoken_to)
    outside = ("127.0.0.1", spoken_to.peers[0][1])
    kept_out = 0
    for sender, let_in in zip((spoken_to, same_address, stranger), FILTERS[filter_]):
        if let_in:
            assert heard_from(association, sender, outside)
        else:
            sender.push(b"unwelcome", outside)
            kept_out += 1
            eventually_dropped(proxy, "filtered", kept_out)
    assert association.echoes(spoken_to), "and what was kept out is not heard"


def test_by_default_everybody_may_answer(ringway, udp_target, associate):
    spoken_to, stranger = udp_target(), udp_target(host="127.0.0.2")
    association = associate(ringway())
    assert association.echoes(spoken_to)
    assert heard_from(association, stranger, ("127.0.0.1", spoken_to.peers[0][1]))


def test_a_filtered_client_opens_the_way_by_speaking_first(ringway, udp_target, associate):
    first, second = udp_target(), udp_target(host="127.0.0.2")
    association = associate(ringway({"socks5.udp.filter": "address_port"}))
    assert association.echoes(first) and association.echoes(second)
    outside = ("127.0.0.1", first.peers[0][1])
    assert heard_from(association, first, outside) and heard_from(association, second, outside)


# Fragments (RFC 1928 section 7: FRAG counts from 1, its high bit marks the last)

LAST = 0x80


def test_fragments_in_order_become_one_datagram(ringway, udp_target, associate, driver):
    server = udp_target()
    association = associate(ringway(driver))
    for fragment, piece in [(1, b"one "), (2, b"two "), (3 | LAST, b"three")]:
        association.send(*server.address, piece, fragment)
    assert association.receive().payload == b"one two three"
    assert server.heard == [b"one two three"]


def test_many_fragments_become_one_datagram(ringway, udp_target, associate):
    server = udp_target()
    association = associate(ringway())
    pieces = [random.Random(number).randbytes(300) for number in range(1, 128)]
    for number, piece in enumerate(pieces, 1):
        association.send(*server.address, piece, number | (LAST if number == 127 else 0))
    assert association.receive().payload == b"".join(pieces)


@pytest.mark.parametrize("order", [[1, 3 | LAST], [2, 3 | LAST], [3 | LAST], [1, 1, 3 | LAST]], ids=str)
def test_fragments_out_of_order_are_dropped_and_counted(ringway, udp_target, associate, order):
    server, proxy = udp_target(), ringway()
    association = associate(proxy)
    for fragment in order:
        association.send(*server.address, b"x", fragment)
    eventually(lambda: dropped(proxy, "fragment") > 0)
    assert association.echoes(server), "whole datagrams go on"
    assert server.heard == [b"hello"]


def test_a_new_sequence_replaces_one_that_was_not_finished(ringway, udp_target, associate):
    server = udp_target()
    association = associate(ringway())
    for fragment, piece in [(1, b"never "), (2, b"finished"), (1, b"done "), (2 | LAST, b"at last")]:
        association.send(*server.address, piece, fragment)
    assert association.receive().payload == b"done at last"
    assert server.heard == [b"done at last"]


def test_a_whole_datagram_among_fragments_is_relayed_at_once_and_ends_their_sequence(ringway, udp_target, associate):
    server, proxy = udp_target(), ringway()
    association = associate(proxy)
    association.send(*server.address, b"piece", 1)
    assert association.echoes(server)
    association.send(*server.address, b"end", 2 | LAST)
    eventually_dropped(proxy, "fragment", 2)


REASSEMBLY_SECONDS = 5  # RFC 1928 section 7: no less


def test_fragments_that_come_too_late_are_dropped(ringway, udp_target, associate):
    server, proxy = udp_target(), ringway({"socks5.timeouts.fragments": f"{REASSEMBLY_SECONDS}s"})
    association = associate(proxy)
    association.send(*server.address, b"early ", 1)
    time.sleep(REASSEMBLY_SECONDS + 1.5)  # The pause is what is tested; the scan may add a second.
    association.send(*server.address, b"late", 2 | LAST)
    eventually(lambda: dropped(proxy, "fragment") > 0)
    assert association.echoes(server)
    assert server.heard == [b"hello"]


def test_fragments_may_be_dropped_altogether(ringway, udp_target, associate):
    server, proxy = udp_target(), ringway({"socks5.udp.fragments": "drop"})
    association = associate(proxy)
    association.send(*server.address, b"one", 1)
    association.send(*server.address, b"two", 2 | LAST)
    eventually_dropped(proxy, "fragment", 2)
    assert association.echoes(server)
    assert server.heard == [b"hello"]


def test_fragments_never_make_more_than_a_datagram_can_be(ringway, udp_target, associate):
    server, proxy = udp_target(), ringway()
    association = associate(proxy)
    for number in range(1, 4):
        association.send(*server.address, bytes(40_000), number | (LAST if number == 3 else 0))
    eventually(lambda: dropped(proxy) > 0)
    assert association.echoes(server)
    assert server.heard == [b"hello"]


# What must not end it

RUBBISH = {
    "empty": b"",
    "one byte": b"\0",
    "no address": b"\0\0\0\x01",
    "half an address": b"\0\0\0\x01\x7f\0\0",
    "no port": b"\0\0\0\x01\x7f\0\0\x01\x12",
    "half an ipv6 address": b"\0\0\0\x04" + bytes(15),
    "address type 0": b"\0\0\0\0" + bytes(20),
    "address type 2": b"\0\0\0\x02" + bytes(20),
    "address type 5": b"\0\0\0\x05" + bytes(20),
    "address type 255": b"\0\0\0\xff" + bytes(20),
    "a name of no bytes": datagram(b"", 9, b"x"),
    "a name with a NUL": datagram(b"local\0host", 9, b"x"),
    "a name with a NUL at its end": datagram(b"localhost\0", 9, b"x"),
    "a name longer than the datagram": b"\0\0\0\x03\xff" + b"short",
    "a name without a port": b"\0\0\0\x03\x04name",
    "no name": b"\0\0\0\x03",
}


def test_rubbish_never_ends_it_and_is_counted(ringway, udp_target, associate, driver):
    server, proxy = udp_target(), ringway(driver)
    association = associate(proxy)
    assert association.echoes(server)
    for number, (what, data) in enumerate(RUBBISH.items(), 1):
        association.send_raw(data)
        assert association.echoes(server), what
        eventually(lambda: dropped(proxy, "malformed") == number, what=lambda: f"{what} counted; {drops(proxy)}")
    assert set(server.heard) == {b"hello"}


def test_reserved_bytes_say_nothing(ringway, udp_target, associate):
    server = udp_target()
    association = associate(ringway())
    association.send_raw(b"\xff\xff" + datagram(*server.address, b"hello")[2:])
    assert association.receive().payload == b"hello"
    assert association.echoes(server)


def test_random_bytes_never_end_it(ringway, udp_target, associate, dns):
    server = udp_target()
    elsewhere = {"action": "deny", "to": ["0.0.0.0/1", "128.0.0.0/1", "::/0"]}
    rules = [{"action": "allow", "ports": [server.address[1]], "to": ["127.0.0.1/32"]}, elsewhere]
    association = associate(ringway({"socks5.acl": rules, "socks5.dns.servers": f"[{dns().text}]"}))
    random_ = random.Random(1928)
    for number in range(1_000):
        header = b"\0\0\0" if number % 2 else b""
        association.send_raw(header + random_.randbytes(random_.randrange(40)))
        if number % 50 == 0:
            assert association.echoes(server)
    assert set(server.heard) == {b"hello"}


def test_a_target_without_a_listener_does_not_end_it(ringway, udp_target, associate, driver):
    """The kernel reports ICMP port unreachable as an error of the next call on the socket."""
    server, gone = udp_target(), udp_target()
    gone.close()
    association = associate(ringway(driver))
    for _ in range(50):
        association.send(*gone.address, b"anybody there?")
        association.send("::1", gone.address[1], b"anybody there?")
        assert association.echoes(server)


def test_a_client_that_is_deaf_for_a_while_does_not_lose_it(ringway, udp_target, associate):
    server = udp_target()
    association = associate(ringway())
    port = association.socket.getsockname()[1]
    assert association.echoes(server)
    association.socket.close()
    outside = server.peers[0]
    for _ in range(50):
        server.push(b"nobody hears this", outside)
    association.socket = association.another_socket(port=port)

    def heard():
        association.send(*server.address, b"back")
        return association.receive().payload == b"back"

    eventually(heard)


NAMES_STUCK = 300


def test_names_that_nobody_answers_hold_nothing_else_up(ringway, udp_target, associate, dns):
    server = udp_target()
    names = dns({f"silent{number}.example": SILENCE for number in range(NAMES_STUCK)})
    proxy = ringway({"socks5.dns.servers": f"[{names.text}]", "socks5.timeouts.name_lookup": "2s"})
    association = associate(proxy)
    assert association.echoes(server)
    for number in range(NAMES_STUCK):
        association.send(f"silent{number}.example", 9, b"x")
        assert association.echoes(server), "an address is relayed at once"
    eventually(lambda: sum(drops(proxy).values()) == NAMES_STUCK, what=lambda: drops(proxy))
    assert set(drops(proxy)) <= {"lookups_full", "name_lookup"}
    assert association.echoes(server)


# What is refused


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.251", "rebinding.example"]
)
def test_forbidden_targets_are_dropped_and_counted_and_never_reached(ringway, udp_target, associate, dns, host):
    server = udp_target(host="::1" if host == "::1" else "127.0.0.1")
    names = dns({"rebinding.example": ["127.0.0.1"]})
    proxy = ringway({"socks5.allow_targets": None, "socks5.dns.servers": f"[{names.text}]"})
    association = associate(proxy)
    for number in range(1, 4):
        association.send(host, server.address[1], b"let me in")
        eventually_dropped(proxy, "denied_target", number)
    assert not server.heard


def test_datagrams_obey_the_rules(ringway, udp_target, associate):
    allowed, denied = udp_target(), udp_target()
    proxy = ringway({"socks5.acl": [{"action": "deny", "ports": [denied.address[1]], "commands": ["udp_associate"]}]})
    association = associate(proxy)
    association.send(*denied.address, b"let me in")
    eventually_dropped(proxy, "denied_target")
    assert association.echoes(allowed)
    assert not denied.heard


@pytest.mark.parametrize("host", ["blocked.example", "Deep.BLOCKED.example."])
def test_rules_about_domains_hold_for_datagrams_too(ringway, udp_target, associate, dns, host):
    server = udp_target()
    names = dns({"blocked.example": ["127.0.0.1"], "deep.blocked.example": ["127.0.0.1"], "open.example": ["127.0.0.1"]})
    rules = [{"action": "deny", "to": ["blocked.example"]}]
    proxy = ringway({"socks5.acl": rules, "socks5.dns.servers": f"[{names.text}]"})
    association = associate(proxy)
    association.send(host, server.address[1], b"let me in")
    eventually_dropped(proxy, "denied_target")
    assert association.echoes(server, host="open.example")
    assert server.heard == [b"hello"]


def test_a_users_own_rules_hold_for_datagrams_too(ringway, udp_target, associate, users_file):
    server = udp_target()
    rule = {"action": "deny", "ports": [server.address[1]]}
    proxy = ringway(users_file(alice={"acl": [rule]}, bob={}))
    association = associate(proxy, user=("alice", "secret"))
    association.send(*server.address, b"let me in")
    eventually_dropped(proxy, "denied_target")
    assert associate(proxy, user=("bob", "secret")).echoes(server)
    assert server.heard == [b"hello"]


def test_a_rule_that_denies_it_whatever_the_target_refuses_the_request(ringway):
    proxy = ringway({"socks5.acl": [{"action": "deny", "commands": ["udp_associate"]}]})
    assert refused(proxy, socks5.NOT_ALLOWED)
    proxy.eventually_closed("denied_acl")


def test_the_command_can_be_switched_off(ringway):
    proxy = ringway({"socks5.commands": ["connect", "bind"]})
    assert refused(proxy, socks5.COMMAND_NOT_SUPPORTED)
    proxy.eventually_closed("command_not_supported")


def test_a_user_can_be_without_it(ringway, users_file, target):
    proxy = ringway(users_file(alice={"udp": "off"}, bob={}))
    assert refused(proxy, socks5.NOT_ALLOWED, ("alice", "secret"))
    assert not refused(proxy, socks5.NOT_ALLOWED, ("bob", "secret"))


# What clients are told


@pytest.mark.parametrize("advertised", ["203.0.113.7", "2001:db8::7"])
def test_the_advertised_address_is_told_and_the_port_is_real(ringway, udp_target, associate, advertised):
    over_ipv6 = ":" in advertised
    options = {"socks5.listen": "['[::1]:0']"} if over_ipv6 else {}
    association = associate(ringway({"socks5.udp.advertise": [advertised], **options}))
    assert association.reply.address == advertised
    assert association.echoes(udp_target())


def test_ports_come_from_the_range(ringway, udp_target, associate):
    server, (first, last) = udp_target(), free_ports(2, socket.SOCK_DGRAM)
    proxy = ringway({"socks5.udp.ports": f"{first}-{last}"})
    held = [associate(proxy), associate(proxy)]
    assert {association.reply.port for association in held} == {first, last}
    assert all(association.echoes(server) for association in held)
    assert refused(proxy, socks5.GENERAL_FAILURE), "the range is used up"
    proxy.eventually_closed("no_resources")
    held[0].control.close()
    eventually(lambda: not refused(proxy, socks5.GENERAL_FAILURE), what="the port is used again")


def test_the_access_line_tells_what_was_relayed(ringway, udp_target, associate):
    server, proxy = udp_target(lambda _: b"answer"), ringway()
    association = associate(proxy)
    association.send(*server.address, b"question")
    assert association.receive().payload == b"answer"
    association.control.close()
    line = proxy.eventually_logs("reason=finished")
    for said in ("command=udp_associate", "sent=8", "received=6"):
        assert said in line


def test_a_drain_ends_associations_at_its_deadline(ringway, udp_target, associate):
    server, proxy = udp_target(), ringway({"socks5.timeouts.drain": "500ms"})
    association = associate(proxy)
    assert association.echoes(server)
    proxy.stop()
    assert is_free(association.relay)
