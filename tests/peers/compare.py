#!/usr/bin/env python3
"""Compares all folders of a source and a target, read by IMAPClient, in the light of what
`relay --json move` said: prints what is equal and what was named, and each difference that was
not, as JSON.

    compare.py PORT USER SEPARATOR PREFIX PORT USER SEPARATOR PREFIX REPORT

Needs IMAPClient, which `.ci/install peers` puts into an environment of its own.
"""

import hashlib
import imaplib
import json
import sys

from imapclient import IMAPClient

imaplib._MAXLINE = 10_000_000
# Messages that are read by one command.
BATCH = 500


def read(port, user, separator, prefix):
    """Per folder: whether it is subscribed, and each message with its UID."""
    client = IMAPClient("127.0.0.1", port=int(port), ssl=False)
    # Dates as moments, whatever zone the server tells them in.
    client.normalise_times = False
    client.login(user, "pw")
    subscribed = {name for _, _, name in client.list_sub_folders()}
    folders = {}
    for flags, _, name in client.list_folders():
        if b"\\noselect" in {flag.lower() for flag in flags}:
            continue
        client.select_folder(name, readonly=True)
        messages, uids = [], client.search("ALL")
        for at in range(0, len(uids), BATCH):
            batch = client.fetch(uids[at:at + BATCH], ["FLAGS", "INTERNALDATE", "BODY.PEEK[]"])
            assert len(batch) == len(uids[at:at + BATCH]), name
            for uid, data in sorted(batch.items()):
                own = sorted(flag.decode("latin-1") for flag in data[b"FLAGS"] if flag != b"\\Recent")
                digest = hashlib.sha256(data[b"BODY[]"] or b"").hexdigest()
                messages.append([uid, digest, int(data[b"INTERNALDATE"].timestamp()), own])
        inner = name[len(prefix):] if prefix and name.startswith(prefix) else name
        folders["/".join(inner.split(separator))] = {"subscribed": name in subscribed, "messages": messages}
    client.logout()
    return folders


def compare(*arguments):
    source, target = read(*arguments[:4]), read(*arguments[4:8])
    with open(arguments[8]) as file:
        events = [json.loads(line) for line in file]
    account = next(event for event in events if event["event"] == "account")
    notes = {(event["folder"], event["uid"]): event for event in events if event["event"] == "message"}
    named = {each["folder"] for each in account["failed"] + account["left_out"]}
    renamed = {each["folder"]: each["to"] for each in account["renamed"]}
    lost = {flag.lower() for flag in account["lost_flags"]}
    counts = {"folders": 0, "messages": 0, "refused": 0, "altered": 0, "folders named": 0}
    differences = []

    def inner(path, prefix):
        return path[6:] if prefix and path.startswith("INBOX/") else path

    def kept(flags):
        return [flag for flag in flags if flag.lower() not in lost]

    for path, folder in source.items():
        shown = next((each for each in (path, "INBOX/" + path) if each in renamed or each in named), path)
        if shown in named:
            counts["folders named"] += 1
            continue
        as_named = path if path == "INBOX" else arguments[3] + arguments[2].join(path.split("/"))
        there = target.pop(inner(renamed.get(shown, path), arguments[7]), None)
        if there is None:
            differences.append(f"{path}: no such folder")
            continue
        counts["folders"] += 1
        # What the target subscribes by itself is its own.
        if folder["subscribed"] and not there["subscribed"]:
            differences.append(f"{path}: not subscribed")
        left, order, altered = list(there["messages"]), [], []
        for uid, digest, at, flags in folder["messages"]:
            note = notes.get((as_named, uid))
            same = next((one for one in left if one[1:3] == [digest, at] and kept(one[3]) == kept(flags)), None)
            if note and note["kind"] == "refused":
                counts["refused"] += 1
            elif same and not note:
                left.remove(same)
                order.append(same[0])
                counts["messages"] += 1
            elif note:
                altered.append((uid, note["why"]))
            else:
                differences.append(f"{path}: UID {uid} is not there: {digest[:8]} {at} {flags}")
        counts["altered"] += len(altered)
        if len(left) != len(altered):
            differences.append(f"{path}: {len(left)} others for {len(altered)} altered: {left[:3]} {altered[:3]}")
        if order != sorted(order):
            differences.append(f"{path}: another order")
    differences += [f"{path}: only at the target" for path, folder in target.items() if folder["messages"]]
    json.dump({**counts, "differences": differences}, sys.stdout)


if __name__ == "__main__":
    compare(*sys.argv[1:])
