#!/usr/bin/env python3
"""The cutover of demo.py under fire: the relay, the guided cutover with its mover, the old and
the new server are each killed and started again at random while it goes on and mail arrives.

    fire.py --relay PATH/TO/relay [--seeds 1,2,3,4,5]

The new server takes mail by LMTP here: a Postfix in front of a Dovecot that is killed would
itself deliver twice what the Dovecot has taken and not acknowledged. The exit code is 0 only
if with every seed relay's verification finds everything, every delivery is accounted for, and
the comparison that does not use relay finds each message as often as it was taken.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from stage import Stage, judge

# Between two kills.
CALM_SECONDS = (1.0, 4.0)
# A server that was killed is away for so long.
AWAY_SECONDS = (0.1, 1.5)
RUN_SECONDS = 280


class Fire:
    """Kills somebody every few seconds, and brings them back."""

    def __init__(self, stage, seed):
        self.stage, self.random = stage, random.Random(seed)
        self.kills = {"relay": 0, "cutover": 0, "old": 0, "new": 0}
        self.cutover = None
        self.out = threading.Event()
        self.thread = threading.Thread(target=self.burn, daemon=True)

    def burn(self):
        while not self.out.wait(self.random.uniform(*CALM_SECONDS)):
            # The report and the last look are read in peace.
            if self.stage.cutover().get("tail") in ("underway", "done"):
                return
            name = self.random.choice(list(self.kills))
            away = self.random.uniform(*AWAY_SECONDS)
            if name == "cutover":
                process = self.cutover
                if process is None or process.poll() is not None:
                    continue
                process.kill()
            else:
                victim = {"relay": self.stage.relay, "old": self.stage.old, "new": self.stage.new}[name]
                victim.kill()
                time.sleep(away)
                victim.start()
            self.kills[name] += 1

    def run(self, report):
        """The guided cutover, started again as often as it takes. Its last exit code."""
        self.thread.start()
        end = time.monotonic() + RUN_SECONDS
        log = open(self.stage.directory / "cutover.log", "a", encoding="utf-8")
        arguments = ["cutover", "--yes", "--canary", "2", "--quiet", "6s", "--report", str(report)]
        while True:
            self.cutover = subprocess.Popen(self.stage.relay.command(*arguments), stdout=log, stderr=log)
            try:
                code = self.cutover.wait(max(1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.cutover.kill()
                self.cutover.wait()
                code = None
            if code in (0, 65) or time.monotonic() > end:
                self.out.set()
                self.thread.join()
                return code
            time.sleep(0.2)


def under_fire(binary, seed):
    with tempfile.TemporaryDirectory(prefix=f"relay-fire-{seed}.") as name:
        directory = Path(name)
        directory.chmod(0o755)
        stage = Stage(binary, directory, users=4, messages=60, postfix=False, seed=seed)
        try:
            stage.world.start()
            stage.follow()
            fire = Fire(stage, seed)
            began = time.monotonic()
            code = fire.run(directory / "report.html")
            took = time.monotonic() - began
            stage.world.stop()
            status = stage.relay.json("status")["domains"][0]
            clean = stage.relay.json("fsck")["clean"]
            _, wrong = judge(stage, in_order=False)
            wrong += [] if code == 0 else [f"the cutover ended with {code}"]
            wrong += [] if clean and status["balanced"] else ["the ledger does not balance"]
            if wrong:
                print((directory / "cutover.log").read_text()[-6000:])
        finally:
            stage.stop()
    kills = ", ".join(f"{count} {name}" for name, count in fire.kills.items())
    print(f"seed {seed}: {took:.0f} s, killed {kills}; {status['accepted']['count']} deliveries accepted, "
          f"{len(stage.world.taken)} messages taken in all, {status['resent']} sent again after doubt: "
          f"{'all there, once' if not wrong else 'WRONG'}", flush=True)
    for text in wrong[:20]:
        print("   " + text)
    return not wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--relay", required=True, help="the binary")
    parser.add_argument("--seeds", default="1,2,3,4,5")
    arguments = parser.parse_args()
    results = [under_fire(arguments.relay, int(seed)) for seed in arguments.seeds.split(",")]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
