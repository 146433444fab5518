#!/usr/bin/env python3
"""What a relay costs with a thousand, ten thousand, ... held messages: is it flat?

    scale.py --relay PATH/TO/relay [--up-to N] [--json FILE]

One spool grows by steps of ten up to N (a million; ten on demand). At each step, after a
restart:

    start      from `relay serve` to its `ready`
    accept     a message of 1 kB over a connection that is kept: median and 99th percentile
    status     `relay status`, a process of its own
    list       `relay list --limit 100`, the same
    release    messages a second into smtp-sink over 20 connections, while RELEASED of them go
    memory     resident, behind all that

The messages that a step has released are put back before the next one.
"""

import re
import smtplib
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import common
import hold_queue

BYTES = 1024
ACCEPTED = 500
RELEASED = 5000
LOOKS = 20
FIRST = 1000
BATCH = 50_000


def milliseconds(work):
    begin = time.monotonic()
    work()
    return (time.monotonic() - begin) * 1000


def fill(relay, up_to):
    while (missing := up_to - relay.held()) > 0:
        count = min(missing, BATCH)
        # As many mailboxes as messages of a batch, whose names come again in the next.
        scenario = hold_queue.Scenario("", count, BYTES)
        hold_queue.load(scenario, relay.port)


def accept(relay):
    message = "Subject: one more\r\n\r\n" + ("y" * 70 + "\r\n") * 14
    with smtplib.SMTP("127.0.0.1", relay.port) as client:
        def send():
            client.sendmail("a@example.org", [f"one@{hold_queue.DOMAIN}"], message)
        send()
        times = sorted(milliseconds(send) for _ in range(ACCEPTED))
    return statistics.median(times), times[len(times) * 99 // 100]


def look(relay, *command):
    return statistics.median(milliseconds(lambda: relay.run(*command)) for _ in range(LOOKS))


def release(relay, sink):
    """Messages a second; of a backlog that is longer the first, and then it holds again."""
    count = min(RELEASED, relay.held())
    before = sink.taken
    begin = time.monotonic()
    relay.release(hold_queue.DOMAIN)
    sink.await_taken(before + count)
    seconds = time.monotonic() - begin
    relay.run("hold", hold_queue.DOMAIN)
    return count / seconds


def resident_mib(relay):
    status = Path(f"/proc/{relay.process.pid}/status").read_text()
    return int(re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE).group(1)) / 1024


def step(relay, sink, up_to):
    fill(relay, up_to)
    begin = time.monotonic()
    relay.stop()
    stopped = time.monotonic()
    relay.start()
    started = time.monotonic()
    median, slowest = accept(relay)
    point = {
        "messages": up_to,
        "stop_ms": (stopped - begin) * 1000,
        "start_ms": (started - stopped) * 1000,
        "accept_ms": median,
        "accept_p99_ms": slowest,
        "status_ms": look(relay, "status"),
        "list_ms": look(relay, "list", "--limit", "100"),
        "release_per_s": release(relay, sink),
        "resident_mib": resident_mib(relay),
    }
    return {name: round(value, 3) for name, value in point.items()}


def show(points):
    print(f"\n{'messages':>12} {'start':>8} {'accept':>8} {'p99':>8} {'status':>8} {'list':>8}"
          f" {'release':>9} {'resident':>9}")
    for point in points:
        print(f"{point['messages']:>12,} {point['start_ms']:>5.0f} ms {point['accept_ms']:>5.2f} ms"
              f" {point['accept_p99_ms']:>5.2f} ms {point['status_ms']:>5.0f} ms"
              f" {point['list_ms']:>5.0f} ms {point['release_per_s']:>7,.0f}/s"
              f" {point['resident_mib']:>5.0f} MiB")


def main():
    parser = common.parser(__doc__)
    parser.add_argument("--up-to", type=int, default=1_000_000)
    arguments = parser.parse_args()
    binary = str(Path(arguments.relay).resolve())
    with tempfile.TemporaryDirectory(prefix="relay-scale.", dir=arguments.dir) as name:
        directory = Path(name)
        directory.chmod(0o755)
        sink = hold_queue.Sink(directory / "sink")
        text = hold_queue.CONFIGURATION.format(
            domain=hold_queue.DOMAIN, sink=sink.port, connections=hold_queue.CONNECTIONS
        )
        relay = common.Relay(binary, directory / "relay", text)
        points, size = [], FIRST
        try:
            while size <= arguments.up_to:
                points.append(step(relay, sink, size))
                print(f"  {points[-1]}", file=sys.stderr)
                size *= 10
        finally:
            relay.stop()
            sink.stop()
        checked = subprocess.run([*relay.command, "fsck"], capture_output=True, text=True)
        if checked.returncode != 0:
            sys.exit(f"the ledger does not balance:\n{checked.stdout}")
    show(points)
    report = {"machine": common.machine(binary, arguments.dir), "points": points}
    common.save(report, arguments, "scale")


if __name__ == "__main__":
    main()
