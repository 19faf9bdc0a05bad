"""Frames and messages (RFC 6455 sections 5 to 8, RFC 7692), told by /echo: what comes back, and which code ends what breaks a rule."""

import random
import signal
import time
import zlib

import pytest

from ringway import Ringway
from waiting import eventually
from websocket_client import (
    BINARY,
    CLOSE,
    COMPRESSED,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    WebSocket,
    close_payload,
    deflated,
    frame,
    inflated,
)

DEFLATE = "permessage-deflate"
MESSAGE_MAX = 1 << 20
EURO = "€".encode()
NOISE = random.Random(6455).randbytes(70_000)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One ringway for all: what a client does must not outlive it."""
    options = {"websocket.echo": "true", "websocket.compression_threshold": "0B", "workers.count": 1}
    proxy = Ringway(tmp_path_factory.mktemp("shared"), options)
    yield proxy
    proxy.close()


@pytest.fixture
def echo(shared):
    """A connection to /echo: `echo()`, `echo("permessage-deflate")`."""
    opened = []

    def open_one(offer=None):
        opened.append(WebSocket(shared.websocket, "/echo", offer=offer))
        return opened[-1]

    yield open_one
    for client in opened:
        client.close()


# Messages


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, MESSAGE_MAX])
@pytest.mark.parametrize("offer", [None, DEFLATE], ids=["plain", "deflate"])
def test_a_message_of_every_length_form_comes_back(echo, size, offer):
    client = echo(offer)
    for opcode, payload in ((TEXT, b"x" * size), (BINARY, (NOISE * 16)[:size])):
        client.send(opcode, payload)
        assert client.message() == (opcode, payload)


@pytest.mark.parametrize("piece", [1, 7, 1000, 65_536])
def test_a_frame_may_come_in_pieces(echo, piece):
    client, payload = echo(), NOISE[: 200 if piece == 1 else 70_000]
    whole = frame(BINARY, payload) + frame(PING, b"between") + frame(TEXT, b"last")
    for start in range(0, len(whole), piece):
        client.raw(whole[start : start + piece])
    assert client.frame() == Frame(BINARY, payload)
    assert client.frame() == Frame(PONG, b"between")
    assert client.frame() == Frame(TEXT, b"last")


def test_fragments_become_one_message_with_control_frames_between(echo):
    client = echo()
    client.send(TEXT, b"a", fin=False)
    client.send(PING, b"1")
    client.send(CONTINUATION, b"", fin=False)
    client.send(PONG, b"unasked for")
    client.send(CONTINUATION, b"b", fin=False)
    client.send(CONTINUATION, b"c")
    assert client.frame() == Frame(PONG, b"1"), "it does not wait for the message"
    assert client.frame() == Frame(TEXT, b"abc")


def test_a_megabyte_in_16384_fragments_comes_back(echo):
    client, payload = echo(), (NOISE * 15)[:MESSAGE_MAX]
    pieces = [payload[start : start + 64] for start in range(0, MESSAGE_MAX, 64)]
    frames = [frame(CONTINUATION, piece, fin=False) for piece in pieces[1:-1]]
    client.raw(frame(BINARY, pieces[0], fin=False) + b"".join(frames) + frame(CONTINUATION, pieces[-1]))
    assert client.message() == (BINARY, payload)


def test_many_messages_in_one_write_come_back_in_order(echo):
    client = echo()
    client.raw(b"".join(frame(TEXT, b"%d" % number) for number in range(5_000)))
    assert [client.text() for _ in range(5_000)] == [str(number) for number in range(5_000)]


@pytest.mark.parametrize("size", [0, 1, 125])
def test_a_ping_is_answered_with_its_payload(echo, size):
    client = echo()
    client.send(PING, b"p" * size)
    assert client.frame() == Frame(PONG, b"p" * size)


def test_text_split_within_a_character_is_text(echo):
    client = echo()
    client.send(TEXT, EURO[:1], fin=False)
    client.send(CONTINUATION, EURO[1:2], fin=False)
    client.send(CONTINUATION, EURO[2:])
    assert client.text() == "€"


def test_any_mask_unmasks(echo):
    client = echo()
    for mask in (b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\x01\x02\x03\x04"):
        client.send(TEXT, b"masked with it", mask=mask)
        assert client.text() == "masked with it"


# What breaks a rule: bytes -> the close code

BROKEN = {
    "unmasked": (frame(TEXT, b"x", mask=None), 1002),
    "rsv1_without_compression": (frame(TEXT, b"x", rsv=4), 1002),
    "rsv2": (frame(TEXT, b"x", rsv=2), 1002),
    "rsv3": (frame(TEXT, b"x", rsv=1), 1002),
    **{f"opcode_{opcode}": (frame(opcode, b"x"), 1002) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "fragmented_ping": (frame(PING, b"x", fin=False), 1002),
    "fragmented_close": (frame(CLOSE, close_payload(1000), fin=False), 1002),
    "ping_of_126": (frame(PING, b"x" * 126), 1002),
    "close_of_126": (frame(CLOSE, close_payload(1000, b"x" * 124)), 1002),
    "ping_in_16_bits_of_length": (frame(PING, b"x", length_form=16), 1002),
    "length_16_bits_for_125": (frame(TEXT, b"x" * 125, length_form=16), 1002),
    "length_64_bits_for_65535": (frame(BINARY, bytes(65_535), length_form=64), 1002),
    "length_with_its_top_bit": (b"\x82\xff" + b"\x80" + bytes(7) + bytes(4), 1002),
    "continuation_of_nothing": (frame(CONTINUATION, b"x"), 1002),
    "continuation_after_an_end": (frame(TEXT, b"x") + frame(CONTINUATION, b"y"), 1002),
    "message_within_a_message": (frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"), 1002),
    "close_of_one_byte": (frame(CLOSE, b"\x03"), 1002),
    **{f"close_code_{code}": (frame(CLOSE, close_payload(code)), 1002) for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)},
    "close_reason_not_utf8": (frame(CLOSE, close_payload(1000, b"\xff")), 1007),
    "text_not_utf8": (frame(TEXT, b"caf\xe9"), 1007),
    "text_overlong": (frame(TEXT, b"\xc0\x80"), 1007),
    "text_surrogate": (frame(TEXT, b"\xed\xa0\x80"), 1007),
    "text_beyond_unicode": (frame(TEXT, b"\xf4\x90\x80\x80"), 1007),
    "text_cut_within_a_character": (frame(TEXT, EURO[:2]), 1007),
    "fragments_cut_within_a_character": (frame(TEXT, EURO[:2], fin=False) + frame(CONTINUATION, b""), 1007),
    # Fails fast: the message never ends, its first part can become no text (section 8.1).
    "fragment_not_utf8": (frame(TEXT, b"\xff", fin=False), 1007),
    "fragment_not_utf8_after_a_good_one": (frame(TEXT, EURO[:1], fin=False) + frame(CONTINUATION, b"\xff", fin=False), 1007),
    "part_of_a_frame_not_utf8": (frame(TEXT, b"caf\xe9" + bytes(100), length=1000)[:110], 1007),
    "declared_too_big": (frame(BINARY, b"", length=MESSAGE_MAX + 1), 1009),
    "declared_enormous": (b"\x82\xff\x7f" + b"\xff" * 7 + bytes(4), 1009),
    "fragments_too_big": (
        frame(BINARY, bytes(MESSAGE_MAX), fin=False) + frame(CONTINUATION, b"x"),
        1009,
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_breaks_a_rule_ends_the_connection_with_its_code(echo, case):
    sent, code = BROKEN[case]
    client = echo()
    client.raw(sent)
    client.ended(code)


def test_violations_are_counted_by_kind(ringway, websocket):
    proxy = ringway({"websocket.echo": "true"})
    for case, times in (("rsv2", 3), ("text_not_utf8", 2), ("declared_too_big", 1)):
        for _ in range(times):
            client = websocket(proxy, "/echo")
            client.raw(BROKEN[case][0])
            client.ended()
            client.close()
    eventually(lambda: proxy.metrics()("websocket_connections") == 0)
    errors = proxy.metrics().by("websocket_errors_total", "kind")
    assert {kind: count for kind, count in errors.items() if count} == {"protocol": 3, "invalid_utf8": 2, "message_too_big": 1}
    closes = proxy.metrics().by("websocket_closes_total", "code")
    assert {code: count for code, count in closes.items() if count} == {"1002": 3, "1007": 2, "1009": 1}


# Closing


@pytest.mark.parametrize("code", [None, 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999])
def test_a_close_is_answered_with_its_code_and_the_connection_ends(echo, code):
    client = echo()
    client.send(CLOSE, close_payload(code, b"" if code is None else "bye €".encode()))
    answer = client.frame()
    assert answer.opcode == CLOSE and answer.payload[:2] == close_payload(code)
    client.at_end()


def test_after_a_close_nothing_is_echoed(echo):
    client = echo()
    client.raw(frame(TEXT, b"before") + frame(CLOSE, close_payload(1000)) + frame(TEXT, b"after") + frame(PING))
    assert client.text() == "before"
    client.ended(1000)


def test_a_reset_is_survived(shared, echo):
    for _ in range(20):
        client = echo()
        client.raw(frame(BINARY, bytes(100_000), length=200_000))
        client.reset()
    echo().silent()


# Compression


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        (DEFLATE, {"server_no_context_takeover", "client_no_context_takeover"}),
        (DEFLATE + "; client_max_window_bits", {"server_no_context_takeover", "client_no_context_takeover"}),
        (DEFLATE + "; server_max_window_bits=10", {"server_no_context_takeover", "server_max_window_bits=10"}),
        (DEFLATE + "; server_no_context_takeover; client_no_context_takeover", {"server_no_context_takeover", "client_no_context_takeover"}),
        ("foo, " + DEFLATE + "; unknown, " + DEFLATE, {"server_no_context_takeover"}),
    ],
)
def test_compression_is_negotiated(echo, offer, answer):
    extension, *parameters = echo(offer).extensions.split("; ")
    assert extension == DEFLATE and answer <= set(parameters)


@pytest.mark.parametrize(
    "offer", ["x-webkit-deflate-frame", DEFLATE + "; server_max_window_bits=7", DEFLATE + "; server_max_window_bits=16", DEFLATE + "; bogus", DEFLATE + "; client_no_context_takeover=1"]
)
def test_an_offer_that_cannot_be_taken_is_left_out(echo, offer):
    client = echo(offer)
    assert client.extensions is None
    client.send(TEXT, b"plain")
    assert client.text() == "plain"


def test_compressed_messages_come_and_go(echo):
    client, payload = echo(DEFLATE), b'{"a": 1}' * 500
    client.send(TEXT, deflated(payload), rsv=COMPRESSED)
    answer = client.frame()
    assert answer.rsv == COMPRESSED and len(answer.payload) < 200 and inflated(answer.payload) == payload
    client.send(TEXT, b"plain where it is compressed")
    assert client.text() == "plain where it is compressed"


def test_a_compressed_message_may_come_in_fragments_with_pings_between(echo):
    client, payload = echo(DEFLATE), NOISE
    squeezed = deflated(payload)
    client.send(BINARY, squeezed[:1000], fin=False, rsv=COMPRESSED)
    client.send(PING, b"!")
    client.send(CONTINUATION, squeezed[1000:-1], fin=False)
    client.send(CONTINUATION, squeezed[-1:])
    assert client.frame() == Frame(PONG, b"!")
    assert client.message() == (BINARY, payload)


def test_windows_of_every_size_are_kept_to(echo):
    for bits in range(9, 16):
        client = echo(f"{DEFLATE}; server_max_window_bits={bits}")
        client.send(BINARY, NOISE[:30_000] * 2)
        answer = client.frame()
        if answer.rsv:
            assert zlib.decompressobj(wbits=-bits).decompress(answer.payload + b"\x00\x00\xff\xff") == NOISE[:30_000] * 2
        else:
            assert answer.payload == NOISE[:30_000] * 2


def test_a_message_may_be_of_several_deflate_blocks_and_end_with_a_final_one(echo):
    client = echo(DEFLATE)
    squeezer = zlib.compressobj(wbits=-15)
    blocks = squeezer.compress(b"one") + squeezer.flush(zlib.Z_FULL_FLUSH) + squeezer.compress(b"two") + squeezer.flush(zlib.Z_SYNC_FLUSH)
    client.send(TEXT, blocks[:-4], rsv=COMPRESSED)
    assert client.text() == "onetwo"
    # RFC 7692 section 7.2.3.4: a block with BFINAL, an empty block behind it.
    squeezer = zlib.compressobj(wbits=-15)
    client.send(TEXT, squeezer.compress(b"final") + squeezer.flush() + b"\x00", rsv=COMPRESSED)
    assert client.text() == "final"


COMPRESSED_AND_BROKEN = {
    "noise": (frame(BINARY, b"\xff" * 50, rsv=COMPRESSED), {1002, 1007}),
    "text_that_inflates_to_no_utf8": (frame(TEXT, deflated(b"caf\xe9"), rsv=COMPRESSED), {1007}),
    "rsv1_on_a_continuation": (frame(TEXT, deflated(b"a"), fin=False, rsv=COMPRESSED) + frame(CONTINUATION, b"", rsv=COMPRESSED), {1002}),
    "rsv1_on_a_ping": (frame(PING, b"", rsv=COMPRESSED), {1002}),
    "bomb": (frame(TEXT, deflated(bytes(64 << 20)), rsv=COMPRESSED), {1009}),
    "bomb_by_one_byte": (frame(BINARY, deflated(bytes(MESSAGE_MAX + 1)), rsv=COMPRESSED), {1009}),
}


@pytest.mark.parametrize("case", COMPRESSED_AND_BROKEN)
def test_what_breaks_a_rule_of_compression_ends_the_connection(echo, case):
    sent, codes = COMPRESSED_AND_BROKEN[case]
    client = echo(DEFLATE)
    client.raw(sent)
    assert client.ended()[0] in codes


def test_bombs_cost_neither_memory_nor_the_time_of_others(shared, echo):
    neighbour = echo()
    bomb = frame(TEXT, deflated(bytes(256 << 20)), rsv=COMPRESSED)
    before, slowest = shared.resident_bytes(), 0
    clients = [echo(DEFLATE) for _ in range(20)]
    for client in clients:
        client.raw(bomb)
        started = time.monotonic()
        neighbour.silent()
        slowest = max(slowest, time.monotonic() - started)
    for client in clients:
        client.ended(1009)
    assert slowest < 0.5
    assert shared.resident_bytes() - before < 32 << 20


@pytest.mark.parametrize("takeover", [True, False])
def test_a_context_is_kept_only_where_configured(ringway, websocket, takeover):
    proxy = ringway({"websocket.echo": "true", "websocket.compression_context_takeover": str(takeover).lower()})
    client = websocket(proxy, "/echo", offer=DEFLATE)
    assert ("client_no_context_takeover" not in client.extensions) == takeover
    squeezer = zlib.compressobj(wbits=-15)
    for _ in range(3):
        if not takeover:
            squeezer = zlib.compressobj(wbits=-15)
        squeezed = squeezer.compress(NOISE[:5000]) + squeezer.flush(zlib.Z_SYNC_FLUSH)
        client.send(BINARY, squeezed[:-4], rsv=COMPRESSED)
        assert client.message() == (BINARY, NOISE[:5000])


def test_compression_can_be_switched_off(ringway, websocket):
    assert websocket(ringway({"websocket.compression": "false"}), offer=DEFLATE).extensions is None


@pytest.mark.parametrize("driver", ["auto", "epoll"])
def test_answers_written_together_are_each_whole_and_in_order(ringway, websocket, driver):
    """Twelve are heard in one turn, a message each, again and again: until writes to those who do not read are cut short. Three are gone by then."""
    proxy = ringway({"websocket.echo": "true", "workers.count": 1, "workers.driver": driver})
    last, *clients = [websocket(proxy, "/echo") for _ in range(13)]
    unsent, sent = dict.fromkeys(clients, b""), dict.fromkeys(clients, 0)
    for client in clients:
        client.connection.setblocking(False)

    def say(client):
        """True: it has said a whole message."""
        if not unsent[client]:
            unsent[client] = frame(BINARY, b"%08d" % sent[client] * 200)
            sent[client] += 1
        try:
            unsent[client] = unsent[client][client.connection.send(unsent[client]) :]
        except BlockingIOError:
            pass
        return not unsent[client]

    while all([say(client) for client in clients]):
        last.send(BINARY, b"all heard")
        proxy.process.send_signal(signal.SIGCONT)
        assert last.message() == (BINARY, b"all heard")
        proxy.process.send_signal(signal.SIGSTOP)
    for client in clients[:3]:
        client.reset()
    proxy.process.send_signal(signal.SIGCONT)
    for client in clients[3:]:
        client.connection.settimeout(20)
        whole = sent[client] - bool(unsent[client])
        assert all(client.message() == (BINARY, b"%08d" % number * 200) for number in range(whole))
        if unsent[client]:
            client.raw(unsent[client])
            assert client.message() == (BINARY, b"%08d" % whole * 200)
        client.silent()
    eventually(lambda: proxy.metrics()("websocket_connections") == 10)


@pytest.mark.parametrize("size", [2_048, 16_384, 60_000])
@pytest.mark.parametrize("driver", ["auto", "epoll"])
def test_long_answers_come_whole_and_in_order_however_little_the_socket_takes(ringway, websocket, driver, size):
    """A short message and a long one that one read brings, again and again: until the answer to one is cut short, and no more is read."""
    proxy = ringway({"websocket.echo": "true", "workers.count": 1, "workers.driver": driver})
    client, other = websocket(proxy, "/echo"), websocket(proxy, "/echo")
    pair = lambda number: (b"%08d" % number, (b"%08d" % number * (size // 8)))
    client.connection.settimeout(0.5)
    number, unsent = 0, b""
    for number in range(10_000):
        proxy.process.send_signal(signal.SIGSTOP)
        unsent = b"".join(frame(BINARY, part) for part in pair(number))
        try:
            while unsent:
                unsent = unsent[client.connection.send(unsent) :]
        except TimeoutError:
            break
        other.send(BINARY, b"heard")
        proxy.process.send_signal(signal.SIGCONT)
        assert other.message() == (BINARY, b"heard")
    proxy.process.send_signal(signal.SIGCONT)
    assert unsent, "it read 10,000 messages and none was answered"
    client.connection.settimeout(20)
    for earlier in range(number):
        assert all(client.message() == (BINARY, part) for part in pair(earlier))
    client.raw(unsent)
    assert all(client.message() == (BINARY, part) for part in pair(number))
    client.silent()
