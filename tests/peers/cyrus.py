"""Cyrus IMAP as a peer: unpacked by `.ci/install`, not installed, since its package and
Postfix's exclude each other.

Passwords are asked of saslauthd, which is a thread of the starter here: every user has `pw`,
and `admin` has `masterpw` and logs in for anybody (SASL PLAIN with an authorization identity).
"""

import grp
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading

from peers import announce, await_ports, free_port, library_path, mail_owner, stop, unpacked

IMAPD_CONF = """\
configdirectory: {dir}/conf
partition-default: {dir}/mail
defaultpartition: default
temp_path: {dir}/tmp
sievedir: {dir}/sieve
mboxname_lockpath: {dir}/lock
proc_path: {dir}/proc
lmtpsocket: {dir}/run/lmtp
idlesocket: {dir}/run/idle
notifysocket: {dir}/run/notify
cyrus_user: {user}
cyrus_group: {group}
servername: cyrus.peer.example
admins: admin
proxyservers: admin
allowplaintext: yes
sasl_pwcheck_method: saslauthd
sasl_saslauthd_path: {dir}/run/mux
sasl_mech_list: PLAIN LOGIN
unixhierarchysep: {slash}
altnamespace: {altnamespace}
virtdomains: off
# A mailbox is made when its user logs in, or when mail for him comes.
autocreate_quota: 0
autocreate_post: yes
autocreate_quota_messages: -1
duplicatesuppression: no
expunge_mode: immediate
delete_mode: immediate
maxmessagesize: 0
timeout: 60
{more}
"""

CYRUS_CONF = """\
START {{
  recover cmd="{bin}/ctl_cyrusdb -C {dir}/imapd.conf -r"
}}
SERVICES {{
  imap cmd="{bin}/imapd -C {dir}/imapd.conf" listen="127.0.0.1:{imap}" prefork=0
  lmtp cmd="{bin}/lmtpd -a -C {dir}/imapd.conf" listen="127.0.0.1:{lmtp}" prefork=0
}}
"""


def cyrus(arguments):
    """Cyrus with LMTP and IMAP: every user exists, with the password `pw`."""
    directory = arguments.dir.resolve()
    uid, gid, user = mail_owner(directory)
    for name in ("conf", "mail", "tmp", "sieve", "lock", "proc", "run"):
        made = directory / name
        made.mkdir(exist_ok=True)
        if os.geteuid() == 0:
            os.chown(made, uid, gid)
    # Its processes are another user's than root, who cannot look into root's cache.
    programs = directory / "programs"
    shutil.copytree(unpacked("cyrus"), programs, symlinks=True, dirs_exist_ok=True)
    ports = {"lmtp": free_port(), "imap": free_port()}
    (directory / "imapd.conf").write_text(IMAPD_CONF.format(
        dir=directory,
        user=user,
        group=grp.getgrgid(gid).gr_name,
        slash="yes" if arguments.separator == "/" else "no",
        altnamespace="no" if arguments.prefix else "yes",
        more=arguments.more.replace("\\n", "\n"),
    ))
    (directory / "cyrus.conf").write_text(CYRUS_CONF.format(
        dir=directory, bin=programs / "usr/lib/cyrus/bin", **ports))
    listen(directory / "run" / "mux")
    process = subprocess.Popen(
        [programs / "usr/lib/cyrus/bin/master", "-C", directory / "imapd.conf",
         "-M", directory / "cyrus.conf", "-p", directory / "run" / "pid"],
        stdin=subprocess.DEVNULL, stdout=sys.stderr,
        env={**os.environ, "LD_LIBRARY_PATH": library_path(programs), "CYRUS_USER": user},
        start_new_session=True,
    )
    try:
        await_ports(process, ports.values(), None)
        announce({**ports, "mail": str(directory / "mail"), "password": "pw"})
    finally:
        stop(process, group=True)
        shutil.rmtree(programs, ignore_errors=True)


def listen(path):
    """saslauthd: four counted texts come, a counted answer goes."""
    path.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    path.chmod(0o777)
    server.listen(64)

    def serve():
        while True:
            connection, _ = server.accept()
            with connection:
                reader = connection.makefile("rb")
                user, password, _service, _realm = (text(reader) for _ in range(4))
                right = password == (b"masterpw" if user == b"admin" else b"pw")
                answer = b"OK" if right else b"NO"
                connection.sendall(struct.pack(">H", len(answer)) + answer)

    threading.Thread(target=serve, daemon=True).start()


def text(reader):
    return reader.read(struct.unpack(">H", reader.read(2))[0])
