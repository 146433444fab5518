"""What the benchmarks share: the machine that is measured on, rounds in which contenders take
turns, the table and the file with every reading, and relay as one of the contenders.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests/peers"))
import peers  # noqa: E402,F401 (it stands beside the tests)

PATIENCE_SECONDS = 600


class Relay:
    """A relay of its own in `directory`, with this configuration, until it is stopped."""

    name = "relay"

    def __init__(self, binary, directory, configuration):
        self.command = [binary, "--config", str(directory / "relay.toml")]
        directory.mkdir()
        (directory / "relay.toml").write_text(configuration)
        self.directory = directory
        self.start()

    def start(self):
        """Until it is ready."""
        self.log = open(self.directory / "log", "a")
        self.process = subprocess.Popen(
            [*self.command, "serve"], stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        self.port = None
        for line in self.process.stdout:
            found = re.match(r"relay: listening on 127\.0\.0\.1:(\d+)", line)
            self.port = int(found.group(1)) if found else self.port
            if line == "relay: ready\n":
                break
        if self.port is None:
            sys.exit(f"relay did not start:\n{(self.directory / 'log').read_text()}")
        # What it says later is not for us, but must not fill the pipe.
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def run(self, *arguments):
        command = [*self.command, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def status(self):
        return json.loads(self.run("--json", "status"))["domains"][0]

    def held(self):
        return self.status()["states"]["held"]["count"]

    def release(self, domain):
        self.run("release", domain, "--yes", "--then-hold", "--detach")

    def await_drained(self):
        """So that the next round begins in hold, with nothing left."""

        def drained():
            status = self.status()
            return status["phase"] == "hold" and not status["backlog"]

        await_that(drained, "relay does not drain")

    def written_bytes(self):
        """Bytes that it has handed to the disk so far."""
        io = Path(f"/proc/{self.process.pid}/io").read_text()
        return int(re.search(r"^write_bytes: (\d+)$", io, re.MULTILINE).group(1))

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()


def await_that(is_so, complaint):
    """Looks now and then, and gives up with this complaint."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        if time.monotonic() > end:
            sys.exit(complaint)
        time.sleep(0.05)


def in_turns(contenders, rounds, seconds, amount):
    """The rates of each contender, one a round: `amount` through what `seconds(contender)`
    says. The order rotates, so that nobody always has the first or the last place."""
    rates = {contender.name: [] for contender in contenders}
    for number in range(rounds):
        turn = number % len(contenders)
        for contender in contenders[turn:] + contenders[:turn]:
            rate = amount / seconds(contender)
            rates[contender.name].append(rate)
            print(f"  round {number + 1}: {contender.name:16} {rate:>9,.0f}/s", file=sys.stderr)
    return rates


def summary(rates, base="Postfix"):
    """Median and range a contender, and its ratio to the one that is the measure: of medians."""
    medians = {name: statistics.median(values) for name, values in rates.items()}
    return {
        name: {
            "median_per_s": round(medians[name], 1),
            "lowest_per_s": round(min(values), 1),
            "highest_per_s": round(max(values), 1),
            f"of_{base.lower().replace(' ', '_')}": round(medians[name] / medians[base], 2),
            "rounds_per_s": [round(value, 1) for value in values],
        }
        for name, values in rates.items()
    }


def show(about, result, base="Postfix"):
    """What `summary` says, for people."""
    print(f"\n{about}")
    print(f"  {'':16} {'messages/s':>10}   {'lowest to highest':^19}   of {base}")
    for name, line in result.items():
        spread = f"{line['lowest_per_s']:,.0f} to {line['highest_per_s']:,.0f}"
        ratio = line[f"of_{base.lower().replace(' ', '_')}"]
        print(f"  {name:16} {line['median_per_s']:>10,.0f}   {spread:^19}   {ratio:>6.2f}")


def sync_ms(parent):
    """How long this disk takes to make 4 KiB durable: the median of 200."""
    times = []
    with tempfile.TemporaryFile(dir=parent) as file:
        os.posix_fallocate(file.fileno(), 0, 1 << 20)
        os.fsync(file.fileno())
        for number in range(200):
            begin = time.monotonic()
            os.pwrite(file.fileno(), b"x" * 4096, number * 4096)
            os.fdatasync(file.fileno())
            times.append(time.monotonic() - begin)
    return statistics.median(times) * 1000


def machine(binary, parent):
    def said(*command):
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()

    cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": cpu.group(1) if cpu else platform.machine(),
        "cpus": os.cpu_count(),
        "memory_bytes": memory,
        "kernel": platform.release(),
        "file_system": said("stat", "-f", "-c", "%T", str(parent)),
        "fdatasync_4k_ms": round(sync_ms(parent), 3),
        "relay": said(binary, "--version"),
        "profile": "dev (opt-level 2, debug assertions)",
        "postfix": said("postconf", "-d", "-h", "mail_version"),
    }


def parser(about, scenarios=None):
    """The options that every benchmark has."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--relay", required=True, help="the binary")
    if scenarios:
        parser.add_argument(
            "--scenario", action="append", choices=list(scenarios), help="default: all of them"
        )
        parser.add_argument("--rounds", type=int, default=5)
        parser.add_argument(
            "--messages", type=int, help="in a round, in the place of the scenario's number"
        )
    parser.add_argument("--dir", default="/var/tmp", help="on the disk to measure; default /var/tmp")
    parser.add_argument("--json", type=Path, help="default: in bench/ beside the binary's directory")
    return parser


def save(report, arguments, name):
    """Says what was measured on, and writes every reading to a file."""
    what = report["machine"]
    print(
        f"\n{what['cpus']} x {what['cpu']}, {what['memory_bytes'] >> 30} GiB, Linux {what['kernel']},"
        f" {what['file_system']}, 4 KiB write + fdatasync {what['fdatasync_4k_ms']} ms"
        f"\n{what['relay']}, {what['profile']}; Postfix {what['postfix']}"
    )
    path = arguments.json or Path(arguments.relay).resolve().parent.parent / f"bench/{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n")
    print(f"every reading: {path}")
