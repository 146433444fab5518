#!/usr/bin/env python3
"""The main job of relay before your eyes: real mail comes in, is held, and is released
into two real mail servers; then every mailbox is compared with what was sent.

    demo.py --relay PATH/TO/relay

Everything is private to this run: a temporary directory, ports on loopback. The exit code
is 0 only if each mailbox holds the same bytes in the same order.
"""

import argparse
import email.message
import imaplib
import os
import random
import re
import shlex
import signal
import smtplib
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "peers"))
import peers  # noqa: E402 (it stands beside us)

CORP = ["alice@corp.example", "bob@corp.example", "carol@corp.example"]
SHOP = ["orders@shop.example", "info@shop.example"]
MESSAGES = 20
READY_SECONDS = 60

# ---- what is seen --------------------------------------------------------------------

COLOURS = sys.stdout.isatty() and "NO_COLOR" not in os.environ


def paint(code, text):
    return f"\033[{code}m{text}\033[0m" if COLOURS else text


def bold(text):
    return paint("1", text)


def step(title):
    step.number += 1
    print(f"\n{bold(f'{step.number}. {title}')}", flush=True)


step.number = 0


def show_command(command, directory):
    """The command as one would type it, without the noise of temporary paths."""
    words = [Path(command[0]).name, *command[1:]]
    line = " ".join(shlex.quote(str(word)) for word in words)
    print("   " + paint("36", "$ " + line.replace(f"{directory}/", "")), flush=True)


def indent(text, limit=None):
    lines = text.rstrip("\n").split("\n")
    shown = lines if limit is None or len(lines) <= limit else lines[:limit]
    for line in shown:
        print("   " + line)
    if len(shown) < len(lines):
        print(f"   ... and {len(lines) - len(shown)} more lines")


# ---- the relay -----------------------------------------------------------------------

CONFIGURATION = """\
hostname = "hold.example.net"

[[listen]]
address = "127.0.0.1:0"
tls = "starttls"

[spool]
path = "spool"
min_free = "64 MiB"

[[domain]]
name = "corp.example"
recipients = "any"
destination = {{ host = "127.0.0.1", port = {lmtp}, protocol = "lmtp" }}

[[domain]]
name = "shop.example"
recipients = "any"
destination = {{ host = "127.0.0.1", port = {smtp}, protocol = "smtp" }}

[control]
socket = "control.sock"
"""


class Relay:
    def __init__(self, binary, directory):
        self.binary = str(Path(binary).resolve())
        self.directory = directory
        self.log = open(directory / "relay.log", "w", encoding="utf-8")
        command = [self.binary, "--config", str(directory / "relay.toml"), "serve"]
        show_command(command, directory)
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        self.port = None
        ready = threading.Event()
        self.reader = threading.Thread(target=self.read, args=(ready,), daemon=True)
        self.reader.start()
        if not ready.wait(READY_SECONDS) or self.port is None:
            self.process.kill()
            self.log.flush()
            sys.exit((directory / "relay.log").read_text() + "\nrelay did not start")

    def read(self, ready):
        for line in self.process.stdout:
            self.log.write(line)
            found = re.match(r"relay: listening on 127\.0\.0\.1:(\d+)", line)
            if found:
                self.port = int(found.group(1))
            if line.startswith("relay: ") and not ready.is_set():
                indent(line.replace(f"{self.directory}/", ""))
            if line == "relay: ready\n":
                ready.set()
        # It has ended, whether it was ready or not.
        ready.set()

    def run(self, *arguments, limit=None, live=False):
        """A command of the same binary; shown with what it prints."""
        command = [self.binary, "--config", str(self.directory / "relay.toml"), *arguments]
        show_command([self.binary, *arguments], self.directory)
        if live:
            sys.stdout.flush()
            subprocess.run(command, check=True)
            return
        result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        indent(result.stdout, limit)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait()
        self.reader.join()
        self.log.close()
        return code


# ---- the mail ------------------------------------------------------------------------


def sample(number, recipient):
    """A message such as people get; some with what relays like to break."""
    message = email.message.EmailMessage()
    message["From"] = f"Sender {number} <sender{number}@example.org>"
    message["To"] = recipient
    message["Date"] = f"Mon, 23 Nov 2026 10:{number:02}:01 +0000"
    message["Message-ID"] = f"<{number}@example.org>"
    kind = number % 5
    if kind == 0:
        message["Subject"] = "Minutes of the meeting"
        message.set_content("Hello,\n\nattached are the minutes.\n")
        message.add_attachment(
            os.urandom(20_000), maintype="application", subtype="pdf", filename="minutes.pdf"
        )
    elif kind == 1:
        message["Subject"] = "Grüße aus Zürich"
        message.set_content("Schöne Grüße, и привет.\n", cte="8bit")
    elif kind == 2:
        message["Subject"] = "Lines of dots"
        message.set_content(".\n..\n...\n.hidden\n\n.\n")
    elif kind == 3:
        message["Subject"] = "Newsletter"
        message.set_content("As text.\n")
        message.add_alternative("<h1>As HTML</h1>\n" + "<p>more</p>\n" * 200, subtype="html")
    else:
        message["Subject"] = "Blank lines at the end"
        message["DKIM-Signature"] = "v=1; a=rsa-sha256; c=simple/simple; d=example.org; s=s1"
        message.set_content("text with  two  blanks \n\n\n\n")
    # As it goes over the wire.
    return re.sub(rb"\r?\n", b"\r\n", message.as_bytes())


def send_by_smtplib(port, sender, recipient, message, _directory):
    with smtplib.SMTP("127.0.0.1", port, local_hostname="client.example") as client:
        client.ehlo()
        refused = client.sendmail(sender, [recipient], message, mail_options=["BODY=8BITMIME"])
    assert not refused, refused


def send_by_swaks(port, sender, recipient, message, directory):
    # Told to send the bytes as they are, dots stuffed here: by itself it would edit them.
    stuffed = re.sub(rb"(?m)^\.", b"..", message) + b"."
    data = directory / "message.data"
    data.write_bytes(stuffed)
    subprocess.run(
        ["swaks", "--server", "127.0.0.1", "--port", str(port), "--helo", "client.example",
         "--from", sender, "--to", recipient, "--no-data-fixup", "--data", f"@{data}"],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip


# ---- the proof -----------------------------------------------------------------------


def strip_fields(message, names):
    """Takes these header fields off the front, each with its folded lines."""
    for name in names:
        found = re.match(rb"(?i)" + name.encode() + rb":.*?\r?\n(?![ \t])", message, re.DOTALL)
        if not found:
            return None
        message = message[found.end() :]
    return message


def in_dovecot(dovecot, user):
    """The mailbox over IMAP, in the order of its UIDs."""
    client = imaplib.IMAP4("127.0.0.1", dovecot["imap"])
    client.login(user, dovecot["password"])
    client.select("INBOX", readonly=True)
    uids = client.uid("SEARCH", "ALL")[1][0].split()
    found = [client.uid("FETCH", uid, "(BODY.PEEK[])")[1][0][1] for uid in uids]
    client.logout()
    # Its own three, then relay's one.
    names = ["Return-Path", "Delivered-To", "Received", "Received"]
    return [strip_fields(message, names) for message in found]


def in_postfix(postfix, user):
    """The maildir, in the order in which Postfix took the messages: its queue ids rise."""
    found = {}
    for path in (Path(postfix["mail"]) / user / "new").glob("*"):
        message = path.read_bytes()
        queue_id = re.search(rb"\(Postfix\)\s+with \w+\s+id (\w+)", message).group(1)
        names = ["Return-Path", "X-Original-To", "Delivered-To", "Received", "Received"]
        stripped = strip_fields(message, names)
        # It stores lines in the system's manner.
        found[queue_id] = stripped and stripped.replace(b"\n", b"\r\n")
    return [found[queue_id] for queue_id in sorted(found)]


def verdict(user, sent, found):
    """Prints a line on a mailbox; whether it is as it must be."""
    same_bytes = sorted(sent) == sorted(message or b"" for message in found)
    same_order = sent == found
    good = same_bytes and same_order
    word = paint("32", "ok") if good else paint("31;1", "WRONG")
    print(
        f"   {user:22} {len(sent):>4} {len(found):>6}   "
        f"{'same' if same_bytes else 'DIFFER':8} {'same' if same_order else 'DIFFERS':8} {word}"
    )
    return good


def await_postfix(postfix, expected):
    """Its 250 says queued; the mailboxes follow. What does not come shows as missing."""
    for _ in range(600):
        if len(list(Path(postfix["mail"]).glob("*/new/*"))) >= expected:
            return
        time.sleep(0.1)


# ---- the demonstration ---------------------------------------------------------------


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--relay", required=True, help="the binary")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="relay-demo.") as name:
        directory = Path(name)
        directory.chmod(0o755)
        good = demonstrate(arguments.relay, directory)
    print()
    if not good:
        print(paint("31;1", "FAILED: see above."))
        sys.exit(1)
    print(paint("32;1", "Every mailbox holds the same bytes in the same order."))


def demonstrate(binary, directory):
    print(bold("relay holds a domain's mail while its server is replaced, then delivers it in order."))

    step("Two new mail servers, empty: Dovecot (LMTP, IMAP) and Postfix, private and on loopback")
    mailboxes = [word for user in SHOP for word in ("--mailbox", user)]
    with peers.start("dovecot", directory / "dovecot") as dovecot, peers.start(
        "postfix", directory / "postfix", *mailboxes
    ) as postfix:
        print(f"   Dovecot takes corp.example on port {dovecot['lmtp']}, Postfix takes shop.example on port {postfix['smtp']}")
        text = CONFIGURATION.format(lmtp=dovecot["lmtp"], smtp=postfix["smtp"])
        (directory / "relay.toml").write_text(text)

        step("A relay with a fresh spool; the MX of both domains would point at it")
        relay = Relay(binary, directory)
        try:
            good = hold_and_release(relay, dovecot, postfix, directory)
        finally:
            code = relay.stop()
        print(f"   relay stopped with exit code {code}")
        return good and code == 0


def hold_and_release(relay, dovecot, postfix, directory):
    step(f"{MESSAGES} messages arrive from outside, by swaks and by Python's smtplib")
    sent = {user: [] for user in CORP + SHOP}
    order = random.Random(2)
    for number in range(MESSAGES):
        recipient = order.choice(CORP + SHOP)
        message = sample(number, recipient)
        name, send = (("swaks", send_by_swaks), ("smtplib", send_by_smtplib))[number % 2]
        send(relay.port, f"sender{number}@example.org", recipient, message, directory)
        sent[recipient].append(message)
        print(f"   {name:8} {len(message):>6} bytes  to {recipient}")

    step("They are held: on disk, synced before the sender got its 250")
    relay.run("status")
    relay.run("list", "--format", "mailq", limit=12)

    step("The new servers are ready: release, each mailbox in the order of arrival")
    relay.run("release", "--all", "--yes", live=True)
    relay.run("status")
    relay.run("fsck")

    step("Proof: what each mailbox holds, against what was sent")
    await_postfix(postfix, sum(len(sent[user]) for user in SHOP))
    print(f"   {'mailbox':22} {'sent':>4} {'found':>6}   {'bytes':8} {'order':8}")
    results = [verdict(user, sent[user], in_dovecot(dovecot, user)) for user in CORP]
    results += [verdict(user, sent[user], in_postfix(postfix, user)) for user in SHOP]
    print("   (compared without the fields in front: the new server's own, and relay's one Received)")
    return all(results)


if __name__ == "__main__":
    main()
