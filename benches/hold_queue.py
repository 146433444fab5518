#!/usr/bin/env python3
"""relay beside Postfix's hold queue and beside smtp-sink, which stores nothing: the same
load by smtp-source, on the same machine and disk, in turns.

    hold_queue.py --relay PATH/TO/relay [--scenario NAME ...] [--rounds N] [--json FILE]

Each contender runs once a round, in an order that rotates. The table shows the median of
the rounds with their range; the JSON has every reading, the machine and the versions.
Afterwards each queue is counted: a message that was not kept is an error, not a speed.
Large messages are also written by nobody but this script, one after the other into one file
with one fdatasync at the end: what the disk takes. For relay the table says how many bytes
it has handed to the disk for each byte of mail (write_bytes of /proc/PID/io, background work
of the engine included).
"""

import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import common
from common import await_that, peers

DOMAIN = "corp.example"
SESSIONS = 50
CONNECTIONS = 20
RELEASE_SECONDS = 600


@dataclass
class Scenario:
    about: str
    messages: int
    bytes: int
    kept: bool = True
    release: bool = False
    # Whether the disk's own rate is measured beside it.
    disk: bool = False
    # How far away the new server is: its round trip.
    round_trip_ms: int = 0
    # Whether it takes BDAT, which smtp-sink does not.
    chunking: bool = False


SCENARIOS = {
    "hold-4k": Scenario("4 kB, 50 kept connections", 5000, 4096),
    "hold-4k-connect": Scenario("4 kB, a connection a message", 5000, 4096, kept=False),
    "hold-100k": Scenario("100 kB, 50 kept connections", 1000, 100_000),
    "hold-10m": Scenario("10 MB, 50 kept connections", 100, 10_000_000, disk=True),
    "release-4k": Scenario(
        "4 kB released into smtp-sink, 20 connections", 5000, 4096, release=True
    ),
    "release-4k-chunking": Scenario(
        "4 kB released into a sink with CHUNKING, 20 connections",
        5000, 4096, release=True, chunking=True,
    ),
    "release-4k-far": Scenario(
        "4 kB released into smtp-sink, 20 ms of round trip, 20 connections",
        5000, 4096, release=True, round_trip_ms=20,
    ),
    "release-4k-far-chunking": Scenario(
        "4 kB released into a sink with CHUNKING, 20 ms of round trip, 20 connections",
        5000, 4096, release=True, round_trip_ms=20, chunking=True,
    ),
}

CONFIGURATION = """\
hostname = "hold.example.net"

[[listen]]
address = "127.0.0.1:0"
tls = "none"

[spool]
path = "spool"
min_free = "64 MiB"

[limits]
connections_per_ip = 1000

[[domain]]
name = "{domain}"
recipients = "any"
destination = {{ host = "127.0.0.1", port = {sink}, tls = "none", connections = {connections} }}

[control]
socket = "control.sock"
"""


class Postfix:
    name = "Postfix"

    def __init__(self, directory, sink_port):
        relay_to = f"[127.0.0.1]:{sink_port}"
        self.peer = peers.start("postfix", directory, "--hold", "--relay-to", relay_to)
        self.port = self.peer["smtp"]

    def run(self, *command):
        program, *arguments = command
        command = peers.by_root([program, "-c", self.peer["config"], *arguments])
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def held(self):
        found = re.search(r"in (\d+) Requests?\.", self.run("postqueue", "-p")[-200:])
        return int(found.group(1)) if found else 0

    def release(self, _domain):
        # The first only moves mail to the deferred queue, which is looked at now and then.
        self.run("postsuper", "-H", "ALL")
        self.run("postqueue", "-f")

    def await_drained(self):
        await_that(lambda: not self.held(), "Postfix does not drain")

    def stop(self):
        self.peer.stop()


class Sink:
    """smtp-sink: takes everything and keeps nothing. It counts what it has taken."""

    name = "smtp-sink"

    def __init__(self, directory):
        directory.mkdir()
        self.port = peers.free_port()
        command = ["smtp-sink", "-c"]
        if os.geteuid() == 0:
            command += ["-u", "postfix"]
        command += [f"127.0.0.1:{self.port}", "1024"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=directory)
        self.count()
        await_that(self.answers, "smtp-sink does not answer")

    def count(self):
        self.taken = 0
        self.news = threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()

    def answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def read(self):
        rest = b""
        while block := os.read(self.process.stdout.fileno(), 65536):
            rest += block
            counts = re.findall(rb"mesg=(\d+)\s", rest)
            rest = rest[-64:]
            if counts:
                with self.news:
                    self.taken = int(counts[-1])
                    self.news.notify_all()

    def await_taken(self, count):
        with self.news:
            if not self.news.wait_for(lambda: self.taken >= count, RELEASE_SECONDS):
                sys.exit(f"smtp-sink took {self.taken} of {count}")

    def stop(self):
        self.process.terminate()
        self.process.wait()


def example(binary, name):
    """A program of benches/ that was built beside the binary."""
    program = Path(binary).parent / "examples" / name
    if not program.exists():
        sys.exit(f"{program} is missing: cargo build --examples")
    return str(program)


class ChunkSink(Sink):
    """The same, which takes BDAT too (benches/sink.rs)."""

    name = "the sink"

    def __init__(self, binary):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([example(binary, "sink")], stdin=pipe, stdout=pipe)
        self.port = int(self.process.stdout.readline())
        self.count()

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


class Far:
    """The way to a server, with a round trip of so many milliseconds (benches/delay.rs)."""

    def __init__(self, binary, port, round_trip_ms):
        command = [example(binary, "delay"), f"127.0.0.1:{port}", str(round_trip_ms // 2)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self.port = int(self.process.stdout.readline())

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


class Disk:
    """Everything one after the other into one file, and one fdatasync at the end."""

    name = "the disk"

    def __init__(self, directory):
        self.directory = directory

    def write(self, scenario):
        block = os.urandom(1 << 20)
        left = scenario.messages * scenario.bytes
        with tempfile.TemporaryFile(dir=self.directory) as file:
            begin = time.monotonic()
            while left > 0:
                left -= os.write(file.fileno(), block[: min(left, len(block))])
            os.fdatasync(file.fileno())
            return time.monotonic() - begin

    def stop(self):
        pass


def load(scenario, port):
    """Sends a round's messages with smtp-source; seconds until the last reply."""
    command = ["smtp-source", "-s", str(SESSIONS), "-m", str(scenario.messages)]
    command += ["-l", str(scenario.bytes), "-f", "load@example.org"]
    # A number before each recipient's name: as many mailboxes as messages.
    command += ["-N", "-t", f"user@{DOMAIN}", "-M", "load.example.org"]
    command += ["-d"] if scenario.kept else []
    begin = time.monotonic()
    subprocess.run([*command, f"127.0.0.1:{port}"], check=True)
    return time.monotonic() - begin


def hold_round(scenario, contender):
    if isinstance(contender, Disk):
        return contender.write(scenario)
    return load(scenario, contender.port)


def release_round(scenario, contender, sink):
    load(scenario, contender.port)
    before = sink.taken
    begin = time.monotonic()
    contender.release(DOMAIN)
    sink.await_taken(before + scenario.messages)
    seconds = time.monotonic() - begin
    contender.await_drained()
    return seconds


def run(scenario, binary, rounds, parent):
    """The rates of each contender, a message rate a round; and what relay has written for each
    byte that it accepted, nothing where that is not asked."""
    with tempfile.TemporaryDirectory(prefix="relay-bench.", dir=parent) as name:
        directory = Path(name)
        directory.chmod(0o755)
        sink = ChunkSink(binary) if scenario.chunking else Sink(directory / "sink")
        far = Far(binary, sink.port, scenario.round_trip_ms) if scenario.round_trip_ms else None
        new_server = (far or sink).port
        text = CONFIGURATION.format(domain=DOMAIN, sink=new_server, connections=CONNECTIONS)
        queues = [
            common.Relay(binary, directory / "relay", text),
            Postfix(directory / "postfix", new_server),
        ]
        contenders = queues if scenario.release else [*queues, sink]
        contenders += [Disk(directory)] if scenario.disk else []
        relay, before = queues[0], queues[0].written_bytes()

        def seconds(contender):
            if scenario.release:
                return release_round(scenario, contender, sink)
            return hold_round(scenario, contender)

        try:
            rates = common.in_turns(contenders, rounds, seconds, scenario.messages)
            expected = 0 if scenario.release else rounds * scenario.messages
            for queue in queues:
                if queue.held() != expected:
                    sys.exit(f"{queue.name} holds {queue.held()} of {expected} messages")
            accepted = rounds * scenario.messages * scenario.bytes
            amplification = None if scenario.release else (relay.written_bytes() - before) / accepted
        finally:
            for part in [*queues, *([far] if far else []), sink]:
                part.stop()
    return rates, amplification


def main():
    arguments = common.parser(__doc__, SCENARIOS).parse_args()
    binary = str(Path(arguments.relay).resolve())
    names = arguments.scenario or list(SCENARIOS)

    report = {"machine": common.machine(binary, arguments.dir), "scenarios": {}}
    for name in names:
        scenario = SCENARIOS[name]
        scenario.messages = arguments.messages or scenario.messages
        print(f"{name}: {scenario.about}, {scenario.messages} messages a round", file=sys.stderr)
        rates, amplification = run(scenario, binary, arguments.rounds, arguments.dir)
        result = common.summary(rates)
        report["scenarios"][name] = {
            **vars(scenario),
            "rounds": arguments.rounds,
            "result": result,
            "relay_written_per_accepted_byte": amplification,
        }
        common.show(scenario.about, result)
        if amplification is not None:
            print(f"  relay has written {amplification:.2f} bytes for each byte accepted")
    common.save(report, arguments, "hold-queue")


if __name__ == "__main__":
    main()
