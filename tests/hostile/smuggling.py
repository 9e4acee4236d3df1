"""Sends requests whose end is ambiguous, and compares what the relay takes from them with what h11 does.

Smuggling needs two parsers that disagree about where a request ends. h11 is a strict one. Each case goes to the relay on a
connection of its own; h11 reads the same bytes as a server would. The relay may refuse more than h11, and may stop earlier.
It must not accept an event that h11 does not see. An event is recognised by its id, which is made of its body.

Usage: smuggling.py PORT, with h11 installed. Exits with 1 if a case fails.
"""

import re
import socket
import sys

import h11

A = b'{"event":"a"}'
B = b'{"event":"b"}'
HEAD = b"POST /open HTTP/1.1\r\nHost: t\r\n"
NEXT = HEAD + b"Content-Length: 13\r\n\r\n" + B


def chunk(data: bytes, size: bytes = b"", end: bytes = b"\r\n") -> bytes:
    return (size or b"%x" % len(data)) + end + data + end


def chunked(coding: bytes, chunks: bytes) -> bytes:
    return HEAD + b"Transfer-Encoding:" + coding + b"\r\n\r\n" + chunks


LAST = b"0\r\n\r\n"
WHOLE = chunk(A) + LAST

# What the relay accepts and h11 does not, with the reason why that smuggles nothing.
EXCEPTIONS = {
    "chunked twice": "both codings end at the same last chunk (RFC 9112, section 7.1), so no byte can be a request to one "
    "parser and a body to the other",
    "no host": "no answer depends on the host, and where a request ends does not either",
    "two hosts": "as without one",
    "an empty line before": "a server should ignore it (RFC 9112, section 2.2)",
}

CASES = {
    "one length": HEAD + b"Content-Length: 13\r\n\r\n" + A,
    "chunked": chunked(b" chunked", WHOLE),
    "two equal lengths": HEAD + b"Content-Length: 13\r\nContent-Length: 13\r\n\r\n" + A,
    "two different lengths": HEAD + b"Content-Length: 13\r\nContent-Length: 0\r\n\r\n" + A,
    "a list of equal lengths": HEAD + b"Content-Length: 13, 13\r\n\r\n" + A,
    "a list of different lengths": HEAD + b"Content-Length: 13, 0\r\n\r\n" + A,
    "a length with a plus": HEAD + b"Content-Length: +13\r\n\r\n" + A,
    "a negative length": HEAD + b"Content-Length: -13\r\n\r\n" + A,
    "a hexadecimal length": HEAD + b"Content-Length: 0xd\r\n\r\n" + A,
    "an octal length": HEAD + b"Content-Length: 0o15\r\n\r\n" + A,
    "a length with an underscore": HEAD + b"Content-Length: 1_3\r\n\r\n" + A,
    "a length with a space in it": HEAD + b"Content-Length: 1 3\r\n\r\n" + A,
    "a length in Arabic digits": HEAD + "Content-Length: ١٣\r\n\r\n".encode() + A,
    "an empty length": HEAD + b"Content-Length: \r\n\r\n" + A,
    "a length beyond 64 bits": HEAD + b"Content-Length: 18446744073709551629\r\n\r\n" + A,
    "a length with leading zeros": HEAD + b"Content-Length: 0000000013\r\n\r\n" + A,
    "a space before the colon": HEAD + b"Content-Length : 13\r\n\r\n" + A,
    "a tab before the colon": HEAD + b"Content-Length\t: 13\r\n\r\n" + A,
    "a space before the name": HEAD + b" Content-Length: 13\r\n\r\n" + A,
    "a folded length": HEAD + b"Content-Length:\r\n 13\r\n\r\n" + A,
    "a folded header before": HEAD + b"X: a\r\n Content-Length: 0\r\nContent-Length: 13\r\n\r\n" + A,
    "a NUL in a value": HEAD + b"X: a\0b\r\nContent-Length: 13\r\n\r\n" + A,
    "a bare CR in a value": HEAD + b"X: a\rContent-Length: 0\r\nContent-Length: 13\r\n\r\n" + A,
    "a bare LF at a line's end": HEAD.replace(b"\r\n", b"\n") + b"Content-Length: 13\n\n" + A,
    "a length and chunked": HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + WHOLE,
    "chunked and a length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + WHOLE,
    "chunked twice": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + WHOLE,
    "chunked in capitals": chunked(b" CHUNKED", WHOLE),
    "chunked after a tab": chunked(b"\tchunked", WHOLE),
    "chunked after a vertical tab": chunked(b" \x0bchunked", WHOLE),
    "chunked in quotes": chunked(b' "chunked"', WHOLE),
    "xchunked": chunked(b" xchunked", WHOLE),
    "chunked and identity": chunked(b" chunked, identity", WHOLE),
    "identity and chunked": chunked(b" identity, chunked", WHOLE),
    "gzip and chunked": chunked(b" gzip, chunked", WHOLE),
    "chunked over HTTP/1.0": chunked(b" chunked", WHOLE).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "an underscore in the name": HEAD + b"Transfer_Encoding: chunked\r\nContent-Length: 13\r\n\r\n" + A,
    "a chunk's size with a plus": chunked(b" chunked", chunk(A, b"+d") + LAST),
    "a chunk's size with 0x": chunked(b" chunked", chunk(A, b"0xd") + LAST),
    "a chunk's size with a space": chunked(b" chunked", chunk(A, b"d ") + LAST),
    "a chunk's size with an underscore": chunked(b" chunked", chunk(A, b"0_d") + LAST),
    "a chunk's size that overflows": chunked(b" chunked", chunk(A, b"1000000000000000d") + LAST),
    "an empty chunk's size": chunked(b" chunked", b"\r\n" + A + b"\r\n" + LAST),
    "an extension of a chunk": chunked(b" chunked", chunk(A, b"d;a=b") + LAST),
    "a quoted extension": chunked(b" chunked", chunk(A, b'd;a="b;c"') + LAST),
    "a bare CR in an extension": chunked(b" chunked", chunk(A, b"d;a\rb") + LAST),
    "a bare LF in an extension": chunked(b" chunked", chunk(A, b"d;a\nb") + LAST),
    "a bare LF after a chunk's size": chunked(b" chunked", b"d\n" + A + b"\r\n" + LAST),
    "no line's end after a chunk": chunked(b" chunked", b"d\r\n" + A + LAST),
    "two bytes that are no line's end": chunked(b" chunked", b"d\r\n" + A + b"xx" + LAST),
    "a trailer that is a length": chunked(b" chunked", chunk(A) + b"0\r\nContent-Length: 9\r\n\r\n"),
    "a bare LF at the end": chunked(b" chunked", chunk(A) + b"0\n\n"),
    "no host": b"POST /open HTTP/1.1\r\nContent-Length: 13\r\n\r\n" + A,
    "two hosts": HEAD + b"Host: u\r\nContent-Length: 13\r\n\r\n" + A,
    "HTTP/1.2": HEAD.replace(b"/1.1", b"/1.2") + b"Content-Length: 13\r\n\r\n" + A,
    "two spaces before the target": HEAD.replace(b"POST ", b"POST  ") + b"Content-Length: 13\r\n\r\n" + A,
    "an absolute target": HEAD.replace(b"/open", b"http://u/open") + b"Content-Length: 13\r\n\r\n" + A,
    "a get with a body": b"GET /open HTTP/1.1\r\nHost: t\r\nContent-Length: 13\r\n\r\n" + A,
    "an empty line before": b"\r\n" + HEAD + b"Content-Length: 13\r\n\r\n" + A,
    "an upgrade to h2c": HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 13\r\n\r\n" + A,
}


def relay(port: int, data: bytes) -> list[str]:
    """The ids of the events that the relay accepts."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as stream:
        stream.sendall(data)
        # A request that is never asked for marks the end: its answer closes the connection. Until then it stays open, as a
        # proxy's would.
        stream.sendall(b"GET /end HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
        answer = b""
        try:
            while piece := stream.recv(65536):
                answer += piece
        except ConnectionResetError:
            pass
    heads = re.findall(rb"HTTP/1\.[01] 204 [^\n]*\n(.*?)\r\n\r\n", answer, re.S)
    return [re.search(rb"(?i)^ringback-id: *(\S+)", head, re.M)[1].decode() for head in heads]


def strict(data: bytes) -> list[bytes]:
    """The bodies of the POSTs that h11 reads before it refuses."""
    reader = h11.Connection(h11.SERVER)
    reader.receive_data(data)
    bodies, body, is_post = [], b"", False
    try:
        while True:
            match reader.next_event():
                case h11.Request(method=method):
                    body, is_post = b"", method == b"POST"
                case h11.Data(data=piece):
                    body += bytes(piece)
                case h11.EndOfMessage():
                    if is_post:
                        bodies.append(body)
                    reader.send(h11.Response(status_code=204, headers=[]))
                    reader.send(h11.EndOfMessage())
                    if reader.our_state is not h11.DONE:
                        break
                    reader.start_next_cycle()
                case _:
                    break
    except h11.RemoteProtocolError:
        pass
    return bodies


def main() -> None:
    port = int(sys.argv[1])
    reference = {body: HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body for body in (A, B)}
    ids = {body: relay(port, request)[0] for body, request in reference.items()}
    failed = accepted = 0
    excepted = set()
    for name, case in CASES.items():
        taken = relay(port, case + NEXT)
        seen = [ids.get(body, "another event") for body in strict(case + NEXT)]
        accepted += bool(taken)
        if taken == seen[: len(taken)]:
            continue
        if name in EXCEPTIONS:
            excepted.add(name)
            continue
        failed += 1
        names = {event: body.decode() for body, event in ids.items()}
        shown = [names.get(event, "another event") for event in taken]
        print(f"{name}: the relay accepted {shown}, h11 {[names.get(event, event) for event in seen]}")
    for name in EXCEPTIONS.keys() - excepted:
        failed += 1
        print(f"{name}: is no exception any more")
    if accepted < 2:
        sys.exit("the relay accepted next to nothing: the comparison shows nothing")
    print(f"{len(CASES)} cases, {accepted} of them with an accepted event, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
