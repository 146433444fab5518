#!/usr/bin/env python3
"""Real mail servers for tests, demo and benchmark: private instances on loopback.

    peers.py postfix --dir D [--hold] [--mailbox ADDRESS ...]
    peers.py dovecot --dir D
    peers.py cyrus   --dir D
    peers.py courier --dir D
    peers.py exim    --dir D [--tls] [--mailbox ADDRESS ...]
    peers.py opensmtpd --dir D [--mailbox ADDRESS ...]
    peers.py sink    --dir D [--port P] [-- smtp-sink's own options]

Each prints one JSON line when it answers on its ports, and lives as long as its standard
input stays open: whoever started it cannot leave it behind, not even by dying. All files
are below D; nothing on the system is read or written by the instances but their programs.
Postfix asks for root by design, so its starter is run through sudo by an ordinary user; Exim
and OpenSMTPD do so themselves.

As a module: `start("postfix", ...)` gives a running `Peer`.
"""

import argparse
import grp
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

# Debian keeps daemons where an ordinary user's PATH does not look.
os.environ["PATH"] = os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"

START_SECONDS = 30
STOP_SECONDS = 10


class Peer:
    """A running instance, as seen by the one who started it."""

    def __init__(self, kind, arguments, as_root=False):
        command = [sys.executable, __file__, kind, *arguments]
        if as_root:
            command = by_root(command)
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            raise RuntimeError(f"{kind} did not start: see above")
        self.info = json.loads(line)

    def __getitem__(self, key):
        return self.info[key]

    def stop(self):
        if self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def start(kind, directory, *arguments):
    """Starts a peer in `directory`, which is made, and which other users may enter."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o755)
    return Peer(kind, ["--dir", str(directory), *arguments], as_root=kind == "postfix")


def by_root(command):
    """The command as one that root runs."""
    if os.geteuid() == 0:
        return command
    if not shutil.which("sudo"):
        sys.exit("Postfix's master runs as root alone: become root, or install sudo")
    return ["sudo", "-n", *command]


def free_port():
    """A port that nobody has now. Its taker must live with a rare loss of the race."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def mail_owner(directory):
    """Whose the delivered mail shall be: the starter's, but never root's."""
    owner = os.stat(directory).st_uid
    if owner == 0:
        owner = pwd.getpwnam("nobody").pw_uid
    entry = pwd.getpwuid(owner)
    return entry.pw_uid, entry.pw_gid, entry.pw_name


def mail_directory(directory):
    mail = directory / "mail"
    mail.mkdir(exist_ok=True)
    uid, gid, _ = mail_owner(directory)
    if os.geteuid() == 0:
        os.chown(mail, uid, gid)
    return mail


def unpacked(name):
    """Where `.ci/install` has unpacked what cannot be installed beside the others."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    root = cache / "relay/peers" / name
    if not root.is_dir():
        sys.exit(f"{root} is missing: run `.ci/install peers`")
    return root


def library_path(root):
    """Where the libraries of what was unpacked there are."""
    return ":".join(f"{root}/{place}" for place in
                    ("usr/lib", "usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"))


def write_lines(path, lines):
    path.write_text("\n".join(lines) + "\n")


# ---- Postfix -------------------------------------------------------------------------

MASTER_CF = """\
127.0.0.1:{port} inet n - n - 200 smtpd
pickup    unix  n - n 60  1 pickup
cleanup   unix  n - n -   0 cleanup
qmgr      unix  n - n 300 1 qmgr
rewrite   unix  - - n -   - trivial-rewrite
bounce    unix  - - n -   0 bounce
defer     unix  - - n -   0 bounce
trace     unix  - - n -   0 bounce
verify    unix  - - n -   1 verify
showq     unix  n - n -   - showq
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n -   - proxymap
smtp      unix  - - n -   - smtp
relay     unix  - - n -   - smtp
error     unix  - - n -   - error
retry     unix  - - n -   - error
discard   unix  - - n -   - discard
virtual   unix  - n n -   - virtual
lmtp      unix  - - n -   - lmtp
anvil     unix  - - n -   1 anvil
scache    unix  - - n -   1 scache
tlsmgr    unix  - - n 1000? 1 tlsmgr
postlog   unix-dgram n - n - 1 postlogd
"""


def postfix(arguments):
    """Postfix, delivering into maildirs, or (`--hold`) keeping all in its hold queue, or
    (`--relay-to`) passing all on by SMTP."""
    directory = arguments.dir.resolve()
    etc, queue, data = directory / "etc", directory / "queue", directory / "data"
    for each in (etc, queue, data):
        each.mkdir(exist_ok=True)
        each.chmod(0o755)
    shutil.chown(data, "postfix")
    mail = mail_directory(directory)
    uid, gid, _ = mail_owner(directory)
    port = arguments.port or free_port()
    daemons = subprocess.run(
        ["postconf", "-d", "-h", "daemon_directory"], capture_output=True, text=True, check=True
    ).stdout.strip()
    settings = {
        "compatibility_level": "3.6",
        "queue_directory": queue,
        "data_directory": data,
        "mail_owner": "postfix",
        "maillog_file": directory / "log",
        "maillog_file_prefixes": directory,
        "syslog_name": "postfix-peer",
        "myhostname": "postfix.peer.example",
        "mydestination": "",
        "mynetworks": "127.0.0.0/8",
        "inet_interfaces": "127.0.0.1",
        "inet_protocols": "ipv4",
        "smtpd_banner": "$myhostname ESMTP",
        "biff": "no",
        "alias_maps": "",
        "alias_database": "",
        "local_recipient_maps": "",
        "message_size_limit": "0",
        "mailbox_size_limit": "0",
        "virtual_mailbox_limit": "0",
        # No name service is asked, and no client is a local one: a server repairs the
        # headers of local clients' mail.
        "smtpd_peername_lookup": "no",
        "smtp_dns_support_level": "disabled",
        "smtp_host_lookup": "native",
        "local_header_rewrite_clients": "",
        "smtpd_client_connection_count_limit": "0",
        "smtpd_client_connection_rate_limit": "0",
        "default_process_limit": "200",
        "in_flow_delay": "0",
        # Then they rise with time.
        "enable_long_queue_ids": "yes",
        "queue_minfree": "0",
        "virtual_mailbox_base": mail,
        "virtual_uid_maps": f"static:{uid}",
        "virtual_gid_maps": f"static:{gid}",
        "virtual_minimum_uid": "1",
        "virtual_mailbox_domains": "",
        "virtual_mailbox_maps": f"texthash:{etc}/mailboxes",
    }
    if arguments.hold:
        settings["smtpd_client_restrictions"] = "check_client_access static:HOLD"
    if arguments.xclient:
        settings["smtpd_authorized_xclient_hosts"] = "127.0.0.1"
    if arguments.no_chunking:
        settings["smtpd_discard_ehlo_keywords"] = "chunking, silent-discard"
    if arguments.relay_to:
        settings["relayhost"] = arguments.relay_to
        # STARTTLS where it is offered, with any certificate.
        settings["smtp_tls_security_level"] = "may"
        settings["default_destination_concurrency_limit"] = "20"
        settings["initial_destination_concurrency"] = "20"
    if arguments.lmtp_to:
        # One at a time, so that a mailbox's order is that of arrival.
        settings["virtual_transport"] = f"lmtp:inet:{arguments.lmtp_to}"
        settings["lmtp_destination_concurrency_limit"] = "1"
        settings["lmtp_delivery_slot_cost"] = "0"
        settings["minimal_backoff_time"] = settings["queue_run_delay"] = "5s"
    settings.update(pair.split("=", 1) for pair in arguments.set or [])
    mailboxes = arguments.mailbox or []
    domains = sorted({address.rpartition("@")[2] for address in mailboxes})
    settings["virtual_mailbox_domains"] = " ".join(domains)
    write_lines(etc / "mailboxes", [f"{address} {address}/" for address in mailboxes])
    write_lines(etc / "main.cf", [f"{key} = {value}" for key, value in settings.items()])
    (etc / "master.cf").write_text(MASTER_CF.format(port=port))

    check = subprocess.run(
        ["postfix", "-c", str(etc), "check"], stdout=sys.stderr, stderr=subprocess.PIPE, text=True
    )
    if check.returncode != 0:
        sys.exit(f"postfix check: {check.stderr}")
    process = subprocess.Popen(
        [f"{daemons}/master", "-c", str(etc), "-d"], stdin=subprocess.DEVNULL, stdout=sys.stderr
    )
    try:
        await_ports(process, [port], directory / "log")
        announce({"smtp": port, "mail": str(mail), "config": str(etc), "log": str(directory / "log")})
    finally:
        # The whole family is in one process group of its own, by master's doing.
        stop(process, group=True)
        shutil.rmtree(queue, ignore_errors=True)
        shutil.rmtree(data, ignore_errors=True)
        hand_over(directory)


# ---- Dovecot -------------------------------------------------------------------------

DOVECOT_CONF = """\
base_dir = {dir}/run
state_dir = {dir}/run
log_path = {dir}/log
protocols = imap lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_master_user_separator = *
first_valid_uid = 1
default_internal_user = {internal}
default_login_user = {login}
default_internal_group = {group}
# Stored as sent, line ends included, so that a file is comparable byte by byte.
mail_location = maildir:~/Maildir:LAYOUT=fs
mail_save_crlf = yes
mail_max_userip_connections = 0
mail_fsync = never
postmaster_address = postmaster@dovecot.peer.example
hostname = dovecot.peer.example
passdb {{
  driver = static
  args = password=masterpw
  master = yes
}}
passdb {{
  driver = static
  args = password=pw
}}
userdb {{
  driver = static
  args = uid={user} gid={gid} home={dir}/mail/%u allow_all_users=yes
}}
namespace inbox {{
  inbox = yes
  separator = {separator}
  prefix = {prefix}
}}
protocol imap {{
  mail_plugins = imap_zlib
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service lmtp {{
  user = {lmtp_user}
  process_limit = 100
  client_limit = 1
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
{more}
"""


def dovecot(arguments):
    """Dovecot with LMTP and IMAP: every user exists, with the password `pw`."""
    directory = arguments.dir.resolve()
    mail_directory(directory)
    uid, gid, user = mail_owner(directory)
    root = os.geteuid() == 0
    ports = {"lmtp": arguments.lmtp_port or free_port(), "imap": arguments.port or free_port()}
    configuration = DOVECOT_CONF.format(
        dir=directory,
        separator=arguments.separator,
        prefix=arguments.prefix,
        more=arguments.more.replace("\\n", "\n"),
        user=user,
        gid=gid,
        internal="dovecot" if root else user,
        login="dovenull" if root else user,
        group="dovecot" if root else grp.getgrgid(gid).gr_name,
        # It changes to the mailbox's owner by itself, which only root may.
        lmtp_user="root" if root else user,
        **ports,
    )
    path = directory / "dovecot.conf"
    path.write_text(configuration)
    process = subprocess.Popen(
        ["dovecot", "-F", "-c", str(path)], stdin=subprocess.DEVNULL, stdout=sys.stderr,
        # One process group, so that a test can kill the whole family.
        start_new_session=True,
    )
    try:
        await_ports(process, ports.values(), directory / "log")
        announce({**ports, "group": process.pid, "mail": str(directory / "mail"), "password": "pw", "log": str(directory / "log")})
    finally:
        stop(process)


# ---- smtp-sink -----------------------------------------------------------------------


def sink(arguments):
    """Postfix's own test server: swallows mail, or misbehaves as its options say."""
    port = arguments.port or free_port()
    command = ["smtp-sink", *arguments.options]
    if os.geteuid() == 0:
        command += ["-u", "postfix"]
        shutil.chown(arguments.dir, "postfix")
    process = subprocess.Popen(
        [*command, f"127.0.0.1:{port}", "1024"], stdin=subprocess.DEVNULL, stdout=sys.stderr,
        cwd=arguments.dir,
    )
    try:
        await_ports(process, [port], None)
        announce({"smtp": port, "pid": process.pid})
    finally:
        stop(process)


# ---- what they share -----------------------------------------------------------------


def await_ports(process, ports, log):
    """Returns when each port takes a connection."""
    end = time.monotonic() + START_SECONDS
    for port in ports:
        while True:
            if process.poll() is not None:
                sys.exit(f"{process.args[0]} ended with {process.returncode}\n{tail(log)}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > end:
                    sys.exit(f"{process.args[0]} does not answer on port {port}\n{tail(log)}")
                time.sleep(0.02)


def tail(log):
    return "" if log is None or not log.exists() else log.read_text(errors="replace")[-4000:]


def announce(info):
    """Tells the starter, then waits until it closes our standard input."""
    print(json.dumps(info), flush=True)
    while sys.stdin.buffer.read(4096):
        pass


def hand_over(directory):
    """Gives what root made to the one who made the directory, who will remove it."""
    owner = os.stat(directory)
    for parent, directories, files in os.walk(directory):
        for name in directories + files:
            path = os.path.join(parent, name)
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def stop(process, group=False):
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if group:
        try:
            os.killpg(process.pid, signal.SIGTERM)
        except (ProcessLookupError, PermissionError):
            pass


def main():
    # They use this module's functions.
    from courier import courier
    from cyrus import cyrus
    from exim import exim
    from opensmtpd import opensmtpd

    # The starter's Ctrl-C reaches the whole terminal; the closing of standard input is
    # what ends a peer, in the order that its starter chooses.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    for run in (postfix, dovecot, cyrus, courier, exim, opensmtpd, sink):
        kind = kinds.add_parser(run.__name__, help=run.__doc__)
        kind.set_defaults(run=run)
        kind.add_argument("--dir", type=Path, required=True)
        kind.add_argument("--port", type=int, default=0)
        if run is postfix:
            kind.add_argument("--hold", action="store_true")
            kind.add_argument("--xclient", action="store_true")
            kind.add_argument("--set", action="append", metavar="NAME=VALUE", help="in main.cf")
        if run in (postfix, exim):
            kind.add_argument("--no-chunking", action="store_true", help="offers no BDAT")
        if run in (postfix, exim, opensmtpd):
            kind.add_argument("--relay-to", metavar="[HOST]:PORT")
            kind.add_argument("--mailbox", action="append", metavar="ADDRESS")
            kind.add_argument("--lmtp-to", metavar="[HOST]:PORT", help="where mailboxes are")
        if run is exim:
            kind.add_argument("--tls", action="store_true", help="offers STARTTLS")
        if run in (exim, opensmtpd):
            kind.add_argument("--unpacked", type=Path, help=argparse.SUPPRESS)
        if run is sink:
            kind.add_argument("options", nargs="*")
        if run in (dovecot, cyrus):
            kind.add_argument("--separator", default="/")
            kind.add_argument("--prefix", default="")
            kind.add_argument("--lmtp-port", type=int, default=0)
            kind.add_argument("--more", default="", help="lines of configuration, with \\n between")
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
