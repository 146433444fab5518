#!/usr/bin/env python3
"""`relay move` beside mbsync, and beside imapsync where it is on PATH: the same mailbox from
one Dovecot to another on this machine, in turns.

    mover.py --relay PATH/TO/relay [--scenario NAME ...] [--rounds N] [--json FILE]

Each contender copies into an empty mailbox once a round, in an order that rotates; the clock
runs from its start to its end, with connecting and listing. What arrived is counted: a copy
that is short is an error, not a speed. The table shows the median of the rounds with their
range. In `delay` a proxy before each server holds every byte back for half of 20 ms, both
ways. In `nothing-new` the first copy is not measured, but a second one, with nothing to do.
"""

import asyncio
import imaplib
import os
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import common
from common import peers

DELAY_SECONDS = 0.010


@dataclass
class Scenario:
    about: str
    folders: int
    messages: int
    delay: bool = False
    again: bool = False


SCENARIOS = {
    "loopback": Scenario("2,000 messages in 10 folders", 10, 2000),
    "delay": Scenario("the same, 20 ms round trip to each side", 10, 2000, delay=True),
    "nothing-new": Scenario("nothing new in 1,000 folders", 1000, 2000, again=True),
    "nothing-new-delay": Scenario(
        "nothing new in 1,000 folders, 20 ms", 1000, 2000, delay=True, again=True
    ),
}


class Proxy:
    """Passes bytes on, each DELAY_SECONDS after it came."""

    def __init__(self, port):
        self.to = port
        self.port = peers.free_port()
        ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self.serve(ready)), daemon=True).start()
        ready.wait()

    async def serve(self, ready):
        server = await asyncio.start_server(self.connected, "127.0.0.1", self.port)
        ready.set()
        async with server:
            await server.serve_forever()

    async def connected(self, reader, writer):
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.to)
        await asyncio.gather(self.pipe(reader, far_writer), self.pipe(far_reader, writer))

    async def pipe(self, reader, writer):
        queue = asyncio.Queue()

        async def pump():
            while True:
                at, block = await queue.get()
                await asyncio.sleep(max(0, at - time.monotonic()))
                if not block:
                    writer.close()
                    return
                writer.write(block)

        pump = asyncio.ensure_future(pump())
        block = True
        while block:
            try:
                block = await reader.read(1 << 18)
            except ConnectionError:
                block = b""
            queue.put_nowait((time.monotonic() + DELAY_SECONDS, block))
        await pump


class Server:
    """A Dovecot, perhaps far away."""

    def __init__(self, directory, delay, fsync):
        more = "mail_fsync = optimized" if fsync else ""
        self.peer = peers.start("dovecot", directory, "--more", more)
        self.near = self.peer["imap"]
        self.port = Proxy(self.near).port if delay else self.near

    def login(self, user):
        client = imaplib.IMAP4("127.0.0.1", self.near)
        client.login(user, "pw")
        return client

    def count(self, user):
        client = self.login(user)
        total = 0
        for line in client.list('""', '"*" RETURN (STATUS (MESSAGES))')[1]:
            pass
        for line in client.untagged_responses.get("STATUS", client.response("STATUS")[1]):
            total += int(re.search(rb"MESSAGES (\d+)", line).group(1)) if line else 0
        client.logout()
        return total

    def stop(self):
        self.peer.stop()


def fill(server, user, scenario):
    """Straight into the files of a Maildir, as if it had always been there."""
    owner = peers.mail_owner(Path(server.peer["mail"]).parent)
    pool = random.Random(1).randbytes(1 << 17).hex()
    root = Path(server.peer["mail"]) / user / "Maildir"
    generator = random.Random(2)
    for number in range(scenario.folders):
        folder = root / f"folder {number:04}" if number else root
        for name in ("cur", "new", "tmp"):
            (folder / name).mkdir(parents=True)
        for message in range(number, scenario.messages, scenario.folders):
            # From 2 to 64 KiB, small ones more often.
            size = int(2048 * 2 ** (5 * generator.random() ** 2))
            at = generator.randrange(len(pool) - 70_000)
            body = "\r\n".join(re.findall(".{1,76}", pool[at:at + size]))
            text = (f"From: a@example.org\r\nTo: b@example.net\r\nSubject: {message}\r\n"
                    f"Message-ID: <{message}@bench>\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n"
                    f"\r\n{body}\r\n").encode()
            seen = generator.choice(["", "S", "RS", "FS"])
            path = folder / "cur" / f"{1_700_000_000 + message}.M{message}P1.bench,S={len(text)}:2,{seen}"
            path.write_bytes(text)
            os.utime(path, (1_700_000_000 + message,) * 2)
    if os.geteuid() == 0:
        for parent, directories, files in os.walk(root.parent):
            for name in [parent, *(os.path.join(parent, name) for name in directories + files)]:
                os.chown(name, owner[0], owner[1])
    # So that no contender pays for the indexes.
    client = server.login(user)
    for line in client.list()[1]:
        name = re.search(rb'"/" (.*)$', line).group(1).decode()
        client.select(name, readonly=True)
        client.fetch("1:*", "(FLAGS INTERNALDATE RFC822.SIZE)")
    client.logout()


class Relay:
    name = "relay"

    def __init__(self, binary, directory, source, target):
        self.binary, self.directory = binary, directory
        self.source, self.target = source, target

    def prepare(self, user):
        home = self.directory / f"relay-{user}"
        home.mkdir()
        (home / "accounts.csv").write_text(
            "source_user,source_password,target_user,target_password\n"
            f"source,pw,{user},pw\n")
        (home / "relay.toml").write_text(
            'hostname = "bench.example"\n[spool]\npath = "spool"\n[control]\nsocket = "s"\n'
            '[[domain]]\nname = "a.example"\ndestination = { host = "127.0.0.1" }\n'
            '[mover]\naccounts = "accounts.csv"\n'
            f'source = {{ host = "127.0.0.1", port = {self.source.port}, tls = "none" }}\n'
            f'target = {{ host = "127.0.0.1", port = {self.target.port}, tls = "none" }}\n')
        return [self.binary, "--config", str(home / "relay.toml"), "move"]


class Mbsync:
    name = "mbsync"

    def __init__(self, directory, source, target):
        self.directory = directory
        self.source, self.target = source, target

    def prepare(self, user):
        home = self.directory / f"mbsync-{user}"
        (home / "state").mkdir(parents=True)

        def store(name, server, user):
            return (f"IMAPAccount {name}\nHost 127.0.0.1\nPort {server.port}\nUser {user}\nPass pw\n"
                    f"SSLType None\nAuthMechs LOGIN\n\nIMAPStore {name}\nAccount {name}\n\n")

        (home / "mbsyncrc").write_text(
            store("far", self.source, "source") + store("near", self.target, user) +
            f"Channel all\nFar :far:\nNear :near:\nPatterns *\nSync Pull\nCreate Near\n"
            f"CopyArrivalDate yes\nSyncState {home}/state/\n")
        return ["mbsync", "-q", "-c", str(home / "mbsyncrc"), "all"]


class Imapsync:
    name = "imapsync"

    def __init__(self, directory, source, target):
        self.directory = directory
        self.source, self.target = source, target

    def prepare(self, user):
        home = self.directory / f"imapsync-{user}"
        home.mkdir()
        return ["imapsync", "--host1", "127.0.0.1", "--port1", str(self.source.port),
                "--user1", "source", "--password1", "pw", "--host2", "127.0.0.1",
                "--port2", str(self.target.port), "--user2", user, "--password2", "pw",
                "--nossl1", "--nossl2", "--notls1", "--notls2", "--nolog", "--noreleasecheck",
                "--no-modulesversion", "--tmpdir", str(home), "--pidfile", str(home / "pid")]


def timed(command, directory):
    """Seconds, and the most memory that was resident, in bytes."""
    with open(directory / "output", "w") as output:
        begin = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                   cwd=directory)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - begin
    if status != 0:
        sys.exit(f"{command[0]} failed:\n{(directory / 'output').read_text()[-4000:]}")
    return seconds, usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime


def run(scenario, arguments):
    with tempfile.TemporaryDirectory(prefix="relay-bench.", dir=arguments.dir) as name:
        directory = Path(name)
        directory.chmod(0o755)
        source = Server(directory / "source", scenario.delay, arguments.fsync)
        target = Server(directory / "target", scenario.delay, arguments.fsync)
        readings = {}
        try:
            fill(source, "source", scenario)
            contenders = [Relay(arguments.relay, directory, source, target),
                          Mbsync(directory, source, target)]
            if shutil.which("imapsync") and not arguments.without_imapsync:
                contenders.append(Imapsync(directory, source, target))
            for number in range(arguments.rounds):
                turn = number % len(contenders)
                for contender in contenders[turn:] + contenders[:turn]:
                    user = f"{contender.name}{number}"
                    command = contender.prepare(user)
                    if scenario.again:
                        timed(command, directory)
                    reading = timed(command, directory)
                    arrived = target.count(user)
                    if arrived != scenario.messages:
                        sys.exit(f"{contender.name} copied {arrived} of {scenario.messages} messages")
                    readings.setdefault(contender.name, []).append(reading)
                    seconds, resident, cpu = reading
                    print(f"  round {number + 1}: {contender.name:9} {seconds:7.2f} s  "
                          f"{resident >> 20} MiB  {cpu:.2f} s CPU", file=sys.stderr)
        finally:
            source.stop()
            target.stop()
    return readings


def summary(scenario, readings):
    medians = {name: statistics.median(s for s, _, _ in values) for name, values in readings.items()}
    result = {}
    for name, values in readings.items():
        seconds = [s for s, _, _ in values]
        result[name] = {
            "median_s": round(medians[name], 3),
            "lowest_s": round(min(seconds), 3),
            "highest_s": round(max(seconds), 3),
            "messages_per_s": None if scenario.again else round(scenario.messages / medians[name], 1),
            "relay_is_times_as_fast": round(medians[name] / medians["relay"], 2),
            "resident_mib": max(resident for _, resident, _ in values) >> 20,
        }
    return result


def show(about, result):
    print(f"\n{about}")
    print(f"  {'':9} {'seconds':>8} {'lowest to highest':>18} {'messages/s':>11} {'memory':>8}  relay is")
    for name, line in result.items():
        spread = f"{line['lowest_s']:.2f} to {line['highest_s']:.2f}"
        rate = f"{line['messages_per_s']:,.0f}" if line["messages_per_s"] else ""
        ratio = "" if name == "relay" else f"{line['relay_is_times_as_fast']:.1f} times as fast"
        print(f"  {name:9} {line['median_s']:>8.2f} {spread:>18} {rate:>11} {line['resident_mib']:>5} MiB  {ratio}")


def main():
    parser = common.parser(__doc__, SCENARIOS)
    parser.set_defaults(rounds=3)
    parser.add_argument("--fsync", action="store_true", help="both Dovecots sync what they store")
    parser.add_argument("--without-imapsync", action="store_true", help="even where it is on PATH")
    arguments = parser.parse_args()
    arguments.relay = str(Path(arguments.relay).resolve())
    # Dovecot's processes and the tools' pipes.
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    report = {"machine": common.machine(arguments.relay, arguments.dir), "scenarios": {}}
    for name in arguments.scenario or SCENARIOS:
        scenario = SCENARIOS[name]
        scenario.messages = arguments.messages or scenario.messages
        print(f"{name}: {scenario.about}", file=sys.stderr)
        result = summary(scenario, run(scenario, arguments))
        report["scenarios"][name] = {**vars(scenario), "rounds": arguments.rounds, "result": result}
        show(scenario.about, result)
    common.save(report, arguments, "mover")


if __name__ == "__main__":
    main()
