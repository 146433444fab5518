"""Sends the message on standard input by Python's smtplib.

    smtplib_client.py PORT FROM TO [plain|tls] [MAIL-OPTION...]
"""

import smtplib
import ssl
import sys

port, sender, recipient, cover, *options = sys.argv[1:]
with smtplib.SMTP("127.0.0.1", int(port), local_hostname="client.example") as client:
    if cover == "tls":
        # The certificate is one that the relay has made for itself.
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        client.starttls(context=context)
    client.sendmail(sender, [recipient], sys.stdin.buffer.read(), options)
