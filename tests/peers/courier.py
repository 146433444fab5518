"""Courier IMAP as a peer: unpacked by `.ci/install`, not installed, since its package wants
a mail server of its own. Its imapd does all but the login, which its own front end can only
do with a daemon at a fixed place in /run: that part is here, as Courier does it: by the
environment of a process that has the connection as standard input and output.
"""

import base64
import os
import shutil
import signal
import socket

from peers import announce, free_port, library_path, mail_directory, mail_owner, unpacked

CAPABILITY = "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT SORT QUOTA ACL"


def courier(arguments):
    """Courier with IMAP: every user exists, with the password `pw`."""
    directory = arguments.dir.resolve()
    mail = mail_directory(directory)
    root = unpacked("courier")
    owner = mail_owner(directory)
    programs = directory / "programs"
    shutil.copytree(root, programs, symlinks=True, dirs_exist_ok=True)
    server = socket.create_server(("127.0.0.1", free_port()))
    acceptor = os.fork()
    if acceptor == 0:
        serve(server, programs, mail, owner, directory / "log")
    try:
        announce({"imap": server.getsockname()[1], "mail": str(mail), "password": "pw",
                  "log": str(directory / "log")})
    finally:
        os.kill(acceptor, signal.SIGTERM)
        os.waitpid(acceptor, 0)
        shutil.rmtree(programs, ignore_errors=True)


def serve(server, programs, mail, owner, log):
    """A process a connection, in one group, which ends with it."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os.killpg(0, signal.SIGKILL))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    # Each imapd says there what it did.
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666), 2)
    while True:
        connection, _ = server.accept()
        if os.fork() == 0:
            server.close()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            try:
                session(connection, programs, mail, owner)
            finally:
                os._exit(0)
        connection.close()


def session(connection, programs, mail, owner):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    reader = connection.makefile("rb", buffering=0)

    def say(text):
        connection.sendall(text.encode() + b"\r\n")

    say(f"* OK [CAPABILITY {CAPABILITY} AUTH=PLAIN] Courier-IMAP ready.")
    while True:
        words = line(reader).split(" ", 2)
        if len(words) < 2:
            return
        tag, command = words[0], words[1].upper()
        if command == "CAPABILITY":
            say(f"* CAPABILITY {CAPABILITY} AUTH=PLAIN")
            say(f"{tag} OK CAPABILITY completed")
        elif command == "NOOP":
            say(f"{tag} OK NOOP completed")
        elif command == "LOGOUT":
            say("* BYE Courier-IMAP server shutting down")
            say(f"{tag} OK LOGOUT completed")
            return
        elif command in ("LOGIN", "AUTHENTICATE"):
            user = who(command, words[2], reader, say)
            if user:
                become(connection, tag, user, programs, mail, owner)
            say(f"{tag} NO Login failed.")
        else:
            say(f"{tag} NO Error in IMAP command received by server.")


def line(reader):
    """A line, and no byte of what is behind it, which is imapd's."""
    text = b""
    while not text.endswith(b"\n"):
        byte = reader.read(1)
        if not byte:
            return ""
        text += byte
    return text.decode("utf-8", "replace").rstrip("\r\n")


def who(command, rest, reader, say):
    if command == "LOGIN":
        user, password = (word.strip('"') for word in rest.split(" ", 1))
        return user if password == "pw" else None
    if rest.upper() != "PLAIN":
        return None
    say("+ ")
    authzid, user, password = base64.b64decode(line(reader)).decode().split("\0")
    if user == "admin":
        return authzid if password == "masterpw" else None
    return user if password == "pw" else None


def become(connection, tag, user, programs, mail, owner):
    """Courier's imapd goes on with this connection; it answers the login itself."""
    home = mail / user
    maildir = home / "Maildir"
    uid, gid, _ = owner
    if os.geteuid() == 0:
        os.setgid(gid)
        os.setuid(uid)
    for name in ("cur", "new", "tmp"):
        (maildir / name).mkdir(parents=True, exist_ok=True)
    os.chdir(home)
    environment = {
        "PATH": os.environ["PATH"],
        "LD_LIBRARY_PATH": library_path(programs),
        "AUTHENTICATED": user,
        "AUTHADDR": user,
        "AUTHFULLNAME": user,
        "AUTHOPTIONS": "",
        "HOME": str(home),
        "MAILDIR": "./Maildir",
        "IMAPLOGINTAG": tag,
        "PROTOCOL": "IMAP",
        "TCPREMOTEIP": "127.0.0.1",
        "TCPREMOTEPORT": "1",
        "IMAP_CAPABILITY": CAPABILITY,
        "IMAP_KEYWORDS": "1",
        "IMAP_ACL": "1",
        "IMAP_EMPTYTRASH": "",
        # With them it waits for a file monitor's daemon.
        "IMAP_USELOCKS": "0",
        "IMAP_CHECK_ALL_FOLDERS": "0",
        "IMAP_MAILBOX_SANITY_CHECK": "0",
        "IMAP_IDLE_TIMEOUT": "60",
        "IMAP_UMASK": "022",
        "SENDMAIL": "/bin/false",
    }
    os.dup2(connection.fileno(), 0)
    os.dup2(connection.fileno(), 1)
    program = programs / "usr/bin/imapd"
    os.execve(program, [str(program), "Maildir"], environment)
