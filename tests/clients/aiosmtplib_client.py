"""Sends the message on standard input by aiosmtplib.

    aiosmtplib_client.py PORT FROM TO [plain|tls] [MAIL-OPTION...]
"""

import asyncio
import sys

import aiosmtplib


async def main():
    port, sender, recipient, cover, *options = sys.argv[1:]
    client = aiosmtplib.SMTP(
        hostname="127.0.0.1",
        port=int(port),
        local_hostname="client.example",
        start_tls=cover == "tls",
        # The certificate is one that the relay has made for itself.
        validate_certs=False,
    )
    async with client:
        await client.sendmail(
            sender, [recipient], sys.stdin.buffer.read(), mail_options=options
        )


asyncio.run(main())
