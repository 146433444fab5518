"""A name server on loopback that answers for the demonstration's own names and nothing else:
just enough of RFC 1035 for MX, A, PTR, NS, SOA and TXT records over UDP and TCP."""

import socketserver
import struct
import threading

TYPES = {"A": 1, "NS": 2, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28}
NAMES = {number: name for name, number in TYPES.items()}


class NameServer:
    """Records are a dictionary: (name, type) -> list of values; it may change any time."""

    def __init__(self, zone, records, ttl):
        self.zone, self.records, self.ttl = zone, records, ttl
        outer = self

        class Datagram(socketserver.BaseRequestHandler):
            def handle(self):
                data, channel = self.request
                channel.sendto(outer.answer(data), self.client_address)

        class Stream(socketserver.BaseRequestHandler):
            def handle(self):
                length = self.request.recv(2)
                while len(length) == 2:
                    data = self.request.recv(struct.unpack(">H", length)[0])
                    answer = outer.answer(data)
                    self.request.sendall(struct.pack(">H", len(answer)) + answer)
                    length = self.request.recv(2)

        socketserver.ThreadingTCPServer.allow_reuse_address = True
        self.udp = socketserver.ThreadingUDPServer(("127.0.0.1", 0), Datagram)
        self.port = self.udp.server_address[1]
        self.tcp = socketserver.ThreadingTCPServer(("127.0.0.1", self.port), Stream)
        for server in (self.udp, self.tcp):
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, daemon=True).start()

    def stop(self):
        for server in (self.udp, self.tcp):
            server.shutdown()
            server.server_close()

    def answer(self, query):
        identity, flags = struct.unpack(">HH", query[:4])
        name, end = read_name(query, 12)
        kind = struct.unpack(">H", query[end : end + 2])[0]
        question = query[12 : end + 4]
        name = name.lower()
        values = self.records.get((name, NAMES.get(kind)), [])
        known = values or any(known == name or known.endswith("." + name) for known, _ in self.records)
        answers = b"".join(record(name, kind, value, self.ttl) for value in values)
        authority = b"" if values else record(self.zone, TYPES["SOA"], None, self.ttl)
        # An authoritative answer; recursion is available, as a resolver says.
        flags = 0x8480 | flags & 0x0100 | (0 if known else 3)
        head = struct.pack(">HHHHHH", identity, flags, 1, len(values), 0 if values else 1, 0)
        return head + question + answers + authority


def read_name(data, at):
    labels = []
    while data[at]:
        labels.append(data[at + 1 : at + 1 + data[at]].decode())
        at += data[at] + 1
    return ".".join(labels), at + 1


def name_bytes(name):
    labels = name.split(".") if name else []
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"


def record(name, kind, value, ttl):
    if kind == TYPES["A"]:
        data = bytes(int(part) for part in value.split("."))
    elif kind == TYPES["MX"]:
        data = struct.pack(">H", value[0]) + name_bytes(value[1])
    elif kind == TYPES["TXT"]:
        data = bytes([len(value)]) + value.encode()
    elif kind == TYPES["SOA"]:
        data = name_bytes("ns." + name) + name_bytes("hostmaster." + name)
        data += struct.pack(">IIIII", 1, 3600, 600, 86400, ttl)
    else:
        data = name_bytes(value)
    return name_bytes(name) + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data
