"""A company that moves to another mail server, on one machine: its old Dovecot with real
mailboxes, its new Dovecot behind a Postfix or alone, its name server, a relay between them,
and the world that writes to it all the time, wherever the MX points.

Everything is private to a run: a temporary directory, ports on loopback.
"""

import collections
import json
import os
import random
import re
import signal
import smtplib
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent / "peers"
sys.path.insert(0, str(PEERS))
import mailboxes  # noqa: E402 (it stands beside us)
import peers  # noqa: E402
from nameserver import NameServer  # noqa: E402

DOMAIN = "corp.example"
OLD, HERE_MX, NEW = "mail.old.example", "hold.example.net", "mail.new.example"
READY_SECONDS = 60
# What a sender's resolver keeps, in seconds: senders go on writing to an old MX so long.
TTL = 4

CONFIGURATION = """\
hostname = "{here}"

[[listen]]
address = "127.0.0.1:{smtp}"
tls = "starttls"

[spool]
path = "spool"
min_free = "64 MiB"

[dns]
servers = ["127.0.0.1:{dns}"]

[[dns.zone]]
name = "{domain}"
servers = ["127.0.0.1:{dns}"]

[check]
port = {smtp}

[release]
retry_min = "500ms"
retry_max = "5s"
in_doubt_after = "5s"

[[domain]]
name = "{domain}"
recipients = "any"
destination = {{ host = "127.0.0.1", port = {destination}, protocol = "{protocol}" }}

[control]
socket = "control.sock"

[web]
address = "127.0.0.1:{web}"
token_file = "web-token"

[mover]
accounts = "accounts.csv"
source = {{ host = "127.0.0.1", port = {old}, tls = "none" }}
target = {{ host = "127.0.0.1", port = {new}, tls = "none" }}
settle = "{settle}"
"""


def wait_for(what, probe, seconds=READY_SECONDS):
    end = time.monotonic() + seconds
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > end:
            raise TimeoutError(f"no end of waiting: {what}")
        time.sleep(0.05)


class Server:
    """A Dovecot that can be killed and comes back on the same ports."""

    def __init__(self, directory):
        self.directory = directory
        self.ports = {"imap": peers.free_port(), "lmtp": peers.free_port()}
        self.start()

    def start(self):
        self.peer = peers.start(
            "dovecot", self.directory, "--port", str(self.ports["imap"]), "--lmtp-port", str(self.ports["lmtp"])
        )

    def kill(self):
        """The whole family at once, as a power cut would."""
        os.killpg(self.peer["group"], signal.SIGKILL)
        self.peer.stop()

    def stop(self):
        self.peer.stop()

    def dump(self, user):
        """Every folder of a mailbox: its messages as [digest, date, flags]."""
        command = [sys.executable, str(PEERS / "mailboxes.py"), "dump", str(self.ports["imap"]), user, "/", ""]
        return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)

    def inbox(self, user):
        """The messages of INBOX in the order of their UIDs."""
        client = mailboxes.login(self.ports["imap"], user)
        client.select("INBOX", readonly=True)
        data = client.uid("FETCH", "1:*", "(UID BODY.PEEK[])")[1]
        client.logout()
        found = [(int(re.search(rb"UID (\d+)", part[0])[1]), part[1]) for part in data if isinstance(part, tuple)]
        return [message for _, message in sorted(found)]


class Relay:
    """The daemon, and commands of the same binary."""

    def __init__(self, binary, directory):
        self.binary = str(Path(binary).resolve())
        self.directory = directory
        self.log = open(directory / "relay.log", "a", encoding="utf-8")
        self.process = None

    def command(self, *arguments):
        return [self.binary, "--config", str(self.directory / "relay.toml"), *arguments]

    def start(self):
        self.process = subprocess.Popen(
            self.command("serve"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        ready = threading.Event()
        threading.Thread(target=self.read, args=(self.process, ready), daemon=True).start()
        if not ready.wait(READY_SECONDS) or self.process.poll() is not None:
            self.process.kill()
            self.log.flush()
            sys.exit((self.directory / "relay.log").read_text()[-4000:] + "\nrelay did not start")

    def read(self, process, ready):
        for line in process.stdout:
            self.log.write(line)
            if line == "relay: ready\n":
                ready.set()
        ready.set()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait()

    def json(self, *arguments):
        done = subprocess.run(self.command("--json", *arguments), stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout)

    def listed(self):
        """Every message that it ever took, oldest first."""
        command = self.command("list", "--state", "all", "--format", "jsonl")
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        return [json.loads(line) for line in done.stdout.splitlines()]


class World:
    """Senders all over the world. Each looks the MX up, remembers it as long as it may, and
    tries again what was not taken, as senders do."""

    def __init__(self, stage, users, seconds_between, seed):
        self.stage, self.users, self.between = stage, users, seconds_between
        self.random = random.Random(seed)
        self.taken = {}  # Message-ID -> (user, where), once somebody has said 250
        self.counts = collections.Counter()
        self.known = [(0, None)] * 8  # eight resolvers, each with its own cache
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(place,), daemon=True) for place in range(4)]
        self.lock = threading.Lock()
        self.number = 0

    def start(self):
        for thread in self.threads:
            thread.start()

    def stop(self):
        """Ends when everything that was written has been taken."""
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def look_up(self, resolver):
        until, host = self.known[resolver]
        if time.monotonic() > until:
            host = self.stage.records[DOMAIN, "MX"][0][1]
            self.known[resolver] = (time.monotonic() + TTL, host)
        return host

    def run(self, place):
        resolver = place
        while not self.stopping.is_set():
            with self.lock:
                self.number += 1
                number = self.number
                user = self.random.choice(self.users)
                kind = self.random.randrange(5)
            message = sample(number, user, kind)
            self.deliver(number, user, message, resolver)
            resolver = (resolver + len(self.threads)) % len(self.known)
            self.stopping.wait(self.between * len(self.threads))

    def deliver(self, number, user, message, resolver):
        while True:
            host = self.look_up(resolver)
            try:
                self.send(host, number, user, message)
            except (OSError, smtplib.SMTPException) as error:
                self.counts[f"tried again: {type(error).__name__}"] += 1
                time.sleep(0.3)
                continue
            with self.lock:
                self.taken[f"<{number}@example.org>"] = (user, host)
                self.counts[host] += 1
            return

    def send(self, host, number, user, message):
        kind, port = self.stage.hosts[host]
        client = kind("127.0.0.1", port, local_hostname="client.example")
        try:
            client.ehlo()
            options = ["BODY=8BITMIME"]
            if client.has_extn("dsn"):
                options.append(f"ENVID={number}")
            refused = client.sendmail(f"sender{number}@example.org", [user], message, options)
            if refused:
                raise smtplib.SMTPRecipientsRefused(refused)
            # The 250 was seen: relay need not expect it again.
            client.quit()
        finally:
            client.close()


def sample(number, recipient, kind):
    """A message such as people get; some with what relays like to break."""
    head = (
        f"From: Sender {number} <sender{number}@example.org>\r\nTo: {recipient}\r\n"
        f"Date: Fri, 27 Nov 2026 10:{number // 60 % 60:02}:{number % 60:02} +0000\r\n"
        f"Message-ID: <{number}@example.org>\r\n"
    ).encode()
    if kind == 0:
        rest = b"Subject: Minutes of the meeting\r\n\r\nHello,\r\n\r\n" + b"the minutes.\r\n" * 800
    elif kind == 1:
        rest = "Subject: Grüße aus Zürich\r\n\r\nSchöne Grüße, и привет.\r\n".encode()
    elif kind == 2:
        rest = b"Subject: Lines of dots\r\n\r\n.\r\n..\r\n...\r\n.hidden\r\n\r\n.\r\n"
    elif kind == 3:
        rest = b"Subject: Newsletter\r\nMIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n<h1>News</h1>\r\n"
    else:
        rest = b"Subject: Blank lines at the end\r\nDKIM-Signature: v=1; d=example.org\r\n\r\ntext \r\n\r\n\r\n"
    return head + rest


class Stage:
    """All of them together."""

    def __init__(self, binary, directory, users=6, messages=120, postfix=True, settle="3s", between=0.15, seed=1):
        self.directory = directory
        self.users = [f"{name}@{DOMAIN}" for name in ["alice", "bob", "carol", "dave", "eve", "frank", "grace"][:users]]
        self.old = Server(directory / "old")
        self.new = Server(directory / "new")
        self.postfix = None
        if postfix:
            # A postmaster, as every domain has to have one (RFC 5321 §4.5.1).
            mailboxes_there = [*self.users, f"postmaster@{DOMAIN}"]
            words = [word for user in mailboxes_there for word in ("--mailbox", user)]
            lmtp = f"[127.0.0.1]:{self.new.ports['lmtp']}"
            self.postfix = peers.start("postfix", directory / "postfix", "--xclient", "--lmtp-to", lmtp, *words)
        for user in self.users:
            mailboxes.fill(self.old.ports["imap"], user, "/", "", 9, messages)
        self.smtp_port, self.web_port = peers.free_port(), peers.free_port()
        entrance = (smtplib.SMTP, self.postfix["smtp"]) if postfix else (smtplib.LMTP, self.new.ports["lmtp"])
        self.hosts = {
            OLD: (smtplib.LMTP, self.old.ports["lmtp"]),
            HERE_MX: (smtplib.SMTP, self.smtp_port),
            NEW: entrance,
        }
        self.records = {
            (DOMAIN, "MX"): [(10, OLD)],
            (DOMAIN, "NS"): [f"ns.{DOMAIN}"],
            (f"ns.{DOMAIN}", "A"): ["127.0.0.1"],
            (HERE_MX, "A"): ["127.0.0.1"],
            (OLD, "A"): ["127.0.0.2"],
            (NEW, "A"): ["127.0.0.3"],
            ("1.0.0.127.in-addr.arpa", "PTR"): [HERE_MX],
        }
        self.dns = NameServer(DOMAIN, self.records, TTL)
        self.token = f"demo-token-{random.SystemRandom().getrandbits(64):016x}"
        self.configure(entrance, settle)
        self.relay = Relay(binary, directory)
        self.relay.start()
        self.world = World(self, self.users, between, seed)

    def configure(self, entrance, settle):
        text = CONFIGURATION.format(
            here=HERE_MX, domain=DOMAIN, smtp=self.smtp_port, web=self.web_port, settle=settle,
            destination=entrance[1], protocol="lmtp" if entrance[0] is smtplib.LMTP else "smtp",
            old=self.old.ports["imap"], new=self.new.ports["imap"], dns=self.dns.port,
        )
        (self.directory / "relay.toml").write_text(text)
        (self.directory / "web-token").write_text(self.token + "\n")
        lines = ["source_user,source_password,target_user,target_password"]
        lines += [f"{user},pw,{user},pw" for user in self.users]
        (self.directory / "accounts.csv").write_text("\n".join(lines) + "\n")

    def point_mx_at(self, host):
        self.records[DOMAIN, "MX"] = [(10, host)]

    def cutover(self):
        """The record of the guided cutover: the state of each step."""
        try:
            record = json.loads((self.directory / "spool/cutover.json").read_text())
        except FileNotFoundError:
            return {}
        return {step["step"]: step["state"] for step in record["steps"]}

    def follow(self, say=lambda text: None):
        """What a person does meanwhile, in a thread: points the MX where the cutover asks."""

        def work():
            # A person takes a moment.
            wait_for("the MX step", lambda: self.cutover().get("mx") in ("underway", "done"), 600)
            time.sleep(2)
            say(f"the person at the DNS points the MX of {DOMAIN} at {HERE_MX}")
            self.point_mx_at(HERE_MX)
            wait_for("the tail", lambda: self.cutover().get("tail") == "underway", 600)
            time.sleep(2)
            say(f"the person at the DNS points the MX of {DOMAIN} at {NEW}")
            self.point_mx_at(NEW)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread

    def stop(self):
        code = self.relay.stop()
        self.dns.stop()
        for server in (self.old, self.new):
            server.stop()
        if self.postfix:
            self.postfix.stop()
        return code


# ---- the proof, independent of relay's own -------------------------------------------


def judge(stage, in_order=True):
    """Compares what the new server has with what the old one has and what was taken from the
    world. Returns lines of a table, and what is wrong, in words."""
    lines, wrong = [], []
    accepted = collections.Counter(message.get("envid") for message in stage.relay.listed())
    for user in stage.users:
        old, new = stage.old.dump(user), stage.new.dump(user)
        copied = lost = 0
        for folder, content in old.items():
            want = collections.Counter(json.dumps(message) for message in content["messages"])
            have = collections.Counter(json.dumps(message) for message in new.get(folder, {"messages": []})["messages"])
            copied += sum((want & have).values())
            lost += sum((want - have).values())
        if lost:
            wrong.append(f"{user}: {lost} messages of the old server are not there as they were")
        once, off, order = arrivals(stage, user, accepted)
        wrong += off
        same_order = order == sorted(order)
        if in_order and not same_order:
            wrong.append(f"{user}: not in the order of arrival")
        lines.append((user, copied, once, same_order))
    return lines, wrong


def arrivals(stage, user, accepted):
    """How often each message of the world is there: as often as somebody took it."""
    at = {}
    for name, server in (("old", stage.old), ("new", stage.new)):
        ids = [message_id(message) for message in server.inbox(user)]
        at[name] = collections.Counter(one for one in ids if one)
    held = [message["queue_id"] for message in stage.relay.listed() if message["recipients"][0]["address"] == user]
    places = {queue_id: place for place, queue_id in enumerate(held)}
    received = []
    for place, message in enumerate(stage.new.inbox(user)):
        head = message.split(b"\r\n\r\n")[0]
        found = re.search(rb"by " + HERE_MX.encode() + rb"[^;]*?\bid ([0-9A-Z]+)", head)
        # Postfix promises no order of its own queue: its ids, which rise, tell when it took
        # each from relay.
        taken = re.search(rb"\(Postfix\)\s+with \w+\s+id (\w+)", head)
        if found and found[1].decode() in places:
            received.append((taken[1] if taken else b"", place, places[found[1].decode()]))
    order = [place for _, _, place in sorted(received)]
    once, off = 0, []
    direct = collections.Counter(one for one, (to, host) in stage.world.taken.items() if to == user and host == NEW)
    for one, (to, host) in stage.world.taken.items():
        if to != user:
            continue
        number = one.strip("<>").partition("@")[0]
        should = at["old"][one] + accepted[number] + direct[one]
        found = at["new"][one]
        if found != should or found == 0:
            off.append(f"{user}: {one} (taken by {host}) is there {found} times, not {should}")
        once += found == 1
    return once, off, order


def message_id(message):
    found = re.search(rb"(?im)^Message-ID:\s*(<\d+@example\.org>)", message.split(b"\r\n\r\n")[0])
    return found and found[1].decode()
