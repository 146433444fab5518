"""For servers that expect a machine of their own.

Debian's Exim and OpenSMTPD have their users, sockets and spools compiled in, and neither can be
installed beside Postfix. So each instance runs in a mount namespace: what `.ci/install` has
unpacked lies over /usr, /etc/passwd and /etc/group know its users as well, and some directories
are empty ones of its own. Nothing of that is seen outside, and it is gone with its last process.
Only root may do so.
"""

import os
import subprocess
import sys

import peers

# Where no distribution puts users (systemd leaves 61184 to 65519 to short-lived ones).
USER_ID = 65400


def enter(arguments, users, empty=()):
    """Returns in a namespace where `users` exist and the directories `empty` are."""
    if arguments.unpacked is None:
        root = peers.unpacked(arguments.kind)
        script = [sys.executable, *sys.argv, "--unpacked", str(root)]
        command = peers.by_root(["unshare", "--mount", "--propagation", "private", *script])
        os.execvp(command[0], command)
    etc = arguments.dir.resolve() / "etc"
    etc.mkdir(exist_ok=True)
    mount("-t", "overlay", "-o", f"ro,lowerdir={arguments.unpacked}/usr:/usr", "overlay", "/usr")
    for file, rest in (("passwd", "::/:/usr/sbin/nologin"), ("group", ":")):
        path = etc / file
        with open(f"/etc/{file}", encoding="utf-8") as system:
            lines = system.read().splitlines()
        for number, user in enumerate(users, USER_ID):
            middle = f"{number}:{number}" if file == "passwd" else f"{number}"
            lines.append(f"{user}:x:{middle}{rest}")
        peers.write_lines(path, lines)
        mount("--bind", str(path), f"/etc/{file}")
    for directory in empty:
        mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", directory)


def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True, stdout=sys.stderr)
