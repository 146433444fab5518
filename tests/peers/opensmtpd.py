"""OpenSMTPD, unpacked from Debian's package: delivers into maildirs, or passes all on by SMTP.

It is no server for TLS: Debian 12's 6.8.0p2 fails in each handshake (its keys are in another
process, which OpenSSL 3 does not ask). As a client it uses TLS where it is offered.
"""

import subprocess
from pathlib import Path

import mounts
import peers

CONFIGURE = """\
smtp max-message-size "200M"
listen on 127.0.0.1 port {port} hostname opensmtpd.peer.example
table ours {{ {domains} }}
table mailboxes {{ {mailboxes} }}
table owner {{ "@" = "{user}" }}
action "keep" maildir "{mail}/%{{rcpt}}" virtual <owner>
{on}
match from any for domain <ours> rcpt-to <mailboxes> action "keep"
{rest}
"""


def quoted(words):
    return ", ".join(f'"{word}"' for word in sorted(words))


def opensmtpd(arguments):
    """OpenSMTPD, delivering into maildirs, or (`--relay-to`) passing all on by SMTP."""
    own = ["/var/spool", "/var/lib", "/run"]
    mounts.enter(arguments, ["opensmtpd", "opensmtpq"], own)
    for made in ("/var/spool/smtpd", "/var/lib/opensmtpd/empty"):
        Path(made).mkdir(parents=True, mode=0o711)
    directory = arguments.dir.resolve()
    mail = peers.mail_directory(directory)
    _, _, user = peers.mail_owner(directory)
    port = arguments.port or peers.free_port()
    mailboxes = arguments.mailbox or ["nobody@nowhere.invalid"]
    on = rest = ""
    if arguments.relay_to:
        target = arguments.relay_to.replace("[", "").replace("]", "")
        on = f'action "on" relay host "smtp://{target}"'
        rest = 'match from any for any action "on"'
    configure = directory / "etc/smtpd.conf"
    configure.write_text(
        CONFIGURE.format(
            port=port,
            domains=quoted({address.rpartition("@")[2] for address in mailboxes}),
            mailboxes=quoted(mailboxes),
            user=user,
            mail=mail,
            on=on,
            rest=rest,
        )
    )
    log = directory / "log"
    with open(log, "wb") as output:
        process = subprocess.Popen(
            ["/usr/sbin/smtpd", "-d", "-f", str(configure)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        peers.await_ports(process, [port], log)
        peers.announce({"smtp": port, "mail": str(mail), "log": str(log)})
    finally:
        peers.stop(process, group=True)
        peers.hand_over(directory)
