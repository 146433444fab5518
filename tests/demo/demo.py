#!/usr/bin/env python3
"""A company moves to another mail server before your eyes: an old Dovecot with real mailboxes,
a new one behind a Postfix, mail arriving all the time, and `relay cutover` from the first check
to the report.

    demo.py --relay PATH/TO/relay [--report FILE]

Everything is private to this run: a temporary directory, ports on loopback. The exit code
is 0 only if relay's own verification finds every message, its ledger balances, and a
comparison that does not use relay finds the same.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from stage import DOMAIN, HERE_MX, NEW, OLD, Stage, judge

COLOURS = sys.stdout.isatty() and "NO_COLOR" not in os.environ


def paint(code, text):
    return f"\033[{code}m{text}\033[0m" if COLOURS else text


def step(title):
    print(f"\n{paint('1', title)}", flush=True)


def say(text):
    print("   " + paint("35", text), flush=True)


def run(relay, *arguments):
    """A command of relay as one would type it, with what it prints. Its exit code."""
    print("   " + paint("36", "$ relay " + " ".join(arguments)), flush=True)
    return subprocess.run(relay.command(*arguments)).returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--relay", required=True, help="the binary")
    parser.add_argument("--report", type=Path, help="where the report goes [default: beside the binary]")
    arguments = parser.parse_args()
    report = (arguments.report or Path(arguments.relay).resolve().parent / "demo-report.html").absolute()
    with tempfile.TemporaryDirectory(prefix="relay-demo.") as name:
        directory = Path(name)
        directory.chmod(0o755)
        good = demonstrate(arguments.relay, directory, report)
    if not good:
        print(paint("31;1", "\nFAILED: see above."))
        sys.exit(1)
    print(paint("32;1", "\nEvery message is there, once, and every delivery is accounted for."))


def demonstrate(binary, directory, report):
    step(f"{DOMAIN} has an old server ({OLD}) and a new one ({NEW}); relay is {HERE_MX}")
    stage = Stage(binary, directory)
    try:
        print(f"   {len(stage.users)} mailboxes of 10 folders are full; mail arrives all the time")
        print(f"   watch it   http://127.0.0.1:{stage.web_port}/   token {stage.token}")
        stage.world.start()
        time.sleep(2)

        step("The whole move, unattended")
        stage.follow(say)
        code = run(stage.relay, "cutover", "--yes", "--quiet", "12s", "--report", str(report))
        stage.world.stop()

        step("How it stands")
        run(stage.relay, "status")
        code = code or run(stage.relay, "fsck")
        good = prove(stage)
        if sys.stdin.isatty():
            input(paint("35", "\n   Enter ends it; until then the page is there. "))
    finally:
        stopped = stage.stop()
    return good and code == 0 and stopped == 0


def prove(stage):
    step("Proof without relay: old and new server compared over IMAP, and what senders had a 250 for")
    lines, wrong = judge(stage)
    print(f"   {'mailbox':22} {'copied':>7} {'arrived, once':>14}  order")
    for user, copied, once, in_order in lines:
        print(f"   {user:22} {copied:>7} {once:>14}  {'same' if in_order else 'DIFFERS'}")
    taken = ", ".join(f"{stage.world.counts[host]} by {host}" for host in (OLD, HERE_MX, NEW))
    print(f"   senders' mail was taken: {taken}")
    for text in wrong:
        print("   " + paint("31;1", text))
    return not wrong


if __name__ == "__main__":
    main()
