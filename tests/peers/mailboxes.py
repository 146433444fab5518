#!/usr/bin/env python3
"""Fills and reads mailboxes over IMAP, as a client that is independent of relay.

    mailboxes.py fill PORT USER SEPARATOR PREFIX FOLDERS MESSAGES
        makes folders with awkward names and messages with awkward content
    mailboxes.py fill-nasty PORT USER SEPARATOR PREFIX FOLDERS MESSAGES
        the same, and with what servers store otherwise or refuse; what this one refuses is
        left out
    mailboxes.py add PORT USER COUNT
        appends more to INBOX
    mailboxes.py put PORT USER FOLDER
        appends the message on standard input
    mailboxes.py remove PORT USER FOLDER MESSAGE-ID
        removes the messages with this Message-ID
    mailboxes.py dump PORT USER SEPARATOR PREFIX
        prints every folder as JSON: subscribed or not, and per message the digest of its
        bytes, its date in seconds since 1970, its flags; sorted, so that equal mailboxes
        print equal text
"""

import base64
import calendar
import hashlib
import imaplib
import json
import re
import sys

imaplib._MAXLINE = 10_000_000


def encode(name):
    """Modified UTF-7 (RFC 3501, 5.1.3)."""

    def shifted(match):
        text = base64.b64encode(match[0].encode("utf-16-be")).rstrip(b"=").decode()
        return "&" + text.replace("/", ",") + "-"

    return re.sub("[^ -~]+", shifted, name.replace("&", "&-"))


def decode(name):
    def plain(match):
        code = match[1].replace(",", "/")
        return base64.b64decode(code + "=" * (-len(code) % 4)).decode("utf-16-be") if code else "&"

    return re.sub("&([^-]*)-", plain, name)


def quoted(name):
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def login(port, user):
    client = imaplib.IMAP4("127.0.0.1", int(port))
    client.login(user, "pw")
    return client


def ok(reply):
    status, data = reply
    assert status == "OK", data
    return data


FOLDERS = ["plain", "with space", 'quo"ted', "Entwürfe", "R&D", "日本語", "📮 post", "back\\slash", "INBOX2", "til~de"]

MESSAGES = [
    b"Subject: plain\r\n\r\nbody\r\n",
    b"Subject: no end of line\r\n\r\nbody",
    b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\n",
    b"\r\nno header\r\n",
    b"Subject: none\r\n\r\n",
    b"Subject: long line\r\n\r\n" + b"x" * 5000 + b"\r\n",
    b"Subject: 8 bit\r\n\r\n\xe4\xf6\xfc \xff\xfe\r\n",
    "Subject: ümlaut\r\n\r\nraw header\r\n".encode(),
    b"Subject: blank lines\r\n\r\n\r\n\r\n\r\n",
    b"Subject: brace {3}\r\n\r\n{5}\r\n) A1 OK\r\n",
    b"From x Mon Jan  1 00:00:00 2001\r\nSubject: mbox\r\n\r\nFrom y\r\n",
    b"Subject: " + b"folded\r\n " * 200 + b"\r\n\r\nx\r\n",
]

# Servers store these otherwise, or refuse them.
NASTY = [
    b"Subject: NUL\r\n\r\na\0b\r\n",
    b"Subject: bare LF\n\nbody\n",
    b"Subject: bare CR\r\n\r\na\rb\r\r\n",
    b"Subject: 8 bit \xe4\r\n\r\nlatin\r\n",
    b"\xff\xfe: name\r\n\r\nx\r\n",
    b"no header at all",
    b"",
    b"Subject: long\r\n\r\n" + b"y" * 120_000 + b"\r\n",
    b"Subject: no end\r\n\r\nof the last line",
    b"Foo\r\n bar\r\nA: b\r\n\r\nbroken header\r\n",
    b"Subject: end of all\r\n\r\n\x1a\x04\x7f\r\n",
]
NASTY_DATES = ["01-Jan-1970 00:00:00 +0000", "31-Dec-2049 23:59:59 +0000", "01-Jan-2001 10:00:00 +1400",
               "29-Feb-2024 12:00:00 -1200", "01-Jan-1969 00:00:00 +0000"]
NASTY_FLAGS = ["a:b", "[gmail]", "x" * 60, "a.b/c", "$Label1 $label1", "Junk $Junk NotJunk"]
NASTY_FOLDERS = ["v1.2 notes", "trailing ", " leading", "100%", "a*b", "semi;colon", "~tilde", "-dash", "#sharp", "(x)"]

FLAGS = ["", "\\Seen", "\\Flagged \\Answered", "\\Draft", "\\Deleted", "$Forwarded \\Seen", "work NonJunk", "$MDNSent"]


def message(number):
    body = MESSAGES[number % len(MESSAGES)]
    # Every third one is there twice: identity is not in the content.
    if number % 3:
        body = b"Message-ID: <%d@test>\r\n" % number + body
    return body


def date(number):
    zone = ["+0000", "+0100", "-0730"][number % 3]
    return '"%02d-%s-%d %02d:00:%02d %s"' % (
        number % 28 + 1, ["Jan", "Feb", "Dec"][number % 3], 1999 + number % 25, number % 24, number % 60, zone)


def fill(port, user, separator, prefix, folders, messages):
    client = login(port, user)
    names = ["INBOX"]
    for number in range(int(folders)):
        path = [FOLDERS[number % len(FOLDERS)]] * (number // len(FOLDERS) // 4 + 1)
        path[-1] += " %d" % number if number >= len(FOLDERS) else ""
        names.append(prefix + separator.join(encode(part) for part in path))
    for name in names[1:]:
        ok(client.create(quoted(name)))
        if len(name) % 2:
            ok(client.subscribe(quoted(name)))
    for number in range(int(messages)):
        name = names[number % len(names)]
        ok(client.append(quoted(name), "(%s)" % FLAGS[number % len(FLAGS)], date(number), message(number)))
    client.logout()


def tried(command, *arguments):
    """Whether the server took it."""
    try:
        return command(*arguments)[0] == "OK"
    except imaplib.IMAP4.abort:
        raise
    except imaplib.IMAP4.error:
        return False


def fill_nasty(port, user, separator, prefix, folders, messages):
    client = login(port, user)
    # Some servers close connections that make many mistakes.
    all_names = FOLDERS + NASTY_FOLDERS
    names = ["INBOX"]
    for number in range(int(folders)):
        part = all_names[number % len(all_names)]
        path = ["level %d" % depth for depth in range(number // len(all_names) % 4)] + [part]
        path[-1] += " %d" % number if number >= len(all_names) else ""
        if any(separator in each for each in path):
            continue
        name = prefix + separator.join(encode(each) for each in path)
        if tried(client.create, quoted(name)):
            names.append(name)
            if number % 2:
                tried(client.subscribe, quoted(name))
    for number in range(int(messages)):
        nasty = number % 5 == 0
        body = NASTY[number // 5 % len(NASTY)] if nasty else message(number)
        at = '"%s"' % NASTY_DATES[number // 5 % len(NASTY_DATES)] if number % 7 == 0 else date(number)
        flags = (NASTY_FLAGS if number % 11 == 0 else FLAGS)[number % 6]
        tried(client.append, quoted(names[number % len(names)]), "(%s)" % flags, at, body)
    client.logout()


def add(port, user, count):
    client = login(port, user)
    for number in range(int(count)):
        ok(client.append("INBOX", "", date(number), b"Subject: added %d\r\n\r\n" % number))
    client.logout()


def put(port, user, folder):
    client = login(port, user)
    ok(client.append(quoted(folder), "", None, sys.stdin.buffer.read()))
    client.logout()


def remove(port, user, folder, message_id):
    client = login(port, user)
    ok(client.select(quoted(folder)))
    uids = ok(client.uid("search", "HEADER", "Message-ID", message_id))[0].split()
    assert uids, message_id
    for uid in uids:
        ok(client.uid("store", uid.decode(), "+FLAGS", "(\\Deleted)"))
    ok(client.expunge())
    client.logout()


LINE = re.compile(rb'\((?P<flags>[^)]*)\) (?:"[^"]*"|NIL) (?P<name>.*)')


def listing(data):
    for line in data:
        if line is None:
            continue
        literal = isinstance(line, tuple)
        match = LINE.match(line[0] if literal else line)
        name = (line[1] if literal else match["name"]).decode()
        if not literal and name.startswith('"'):
            name = re.sub(r"\\(.)", r"\1", name[1:-1])
        yield name, match["flags"].decode()


MONTHS = {name: number for number, name in enumerate(calendar.month_abbr) if name}


def seconds(text):
    day, month, year, hour, minute, second, sign, zone_h, zone_m = re.match(
        r" ?(\d+)-(\w+)-(\d+) (\d+):(\d+):(\d+) ([+-])(\d\d)(\d\d)", text).groups()
    at = calendar.timegm((int(year), MONTHS[month], int(day), int(hour), int(minute), int(second)))
    return at - (1 if sign == "+" else -1) * (int(zone_h) * 3600 + int(zone_m) * 60)


def read(port, user, separator, prefix):
    """Per folder: whether it is subscribed, and each message."""
    client = login(port, user)
    subscribed = {name for name, _ in listing(ok(client.lsub()))}
    folders = {}
    for name, flags in listing(ok(client.list())):
        if "\\noselect" in flags.lower():
            continue
        ok(client.select(quoted(name), readonly=True))
        messages = []
        pending = None
        for part in client.uid("fetch", "1:*", "(FLAGS INTERNALDATE BODY.PEEK[])")[1]:
            if isinstance(part, tuple):
                pending = part
            elif pending:
                head = (pending[0] + part).decode()
                flags = re.search(r"FLAGS \(([^)]*)\)", head)[1].split()
                messages.append([
                    hashlib.sha256(pending[1]).hexdigest(),
                    seconds(re.search(r'INTERNALDATE "([^"]*)"', head)[1]),
                    sorted(flag for flag in flags if flag != "\\Recent"),
                ])
                pending = None
        inner = name[len(prefix):] if prefix and name.startswith(prefix) else name
        path = "/".join(decode(part) for part in inner.split(separator))
        folders[path] = {"subscribed": name in subscribed, "messages": messages}
    client.logout()
    return folders


def dump(port, user, separator, prefix):
    json.dump(read(port, user, separator, prefix), sys.stdout, sort_keys=True)


if __name__ == "__main__":
    {"fill": fill, "fill-nasty": fill_nasty, "add": add, "put": put, "remove": remove, "dump": dump}[sys.argv[1]](*sys.argv[2:])
