// Sends the message on standard input by nodemailer.
//
//     nodemailer_client.js PORT FROM TO [plain|tls] [MAIL-OPTION...]
//
// It asks for SMTPUTF8 by itself where an address needs it.

const fs = require('node:fs');
const nodemailer = require('nodemailer');

const [port, from, to, cover, ...options] = process.argv.slice(2);
const transport = nodemailer.createTransport({
    host: '127.0.0.1',
    port: Number(port),
    name: 'client.example',
    secure: false,
    requireTLS: cover === 'tls',
    ignoreTLS: cover !== 'tls',
    // The certificate is one that the relay has made for itself.
    tls: { rejectUnauthorized: false },
});
transport
    .sendMail({
        envelope: { from, to, use8BitMime: options.includes('BODY=8BITMIME') },
        raw: fs.readFileSync(0),
    })
    .then(() => transport.close())
    .catch((error) => {
        console.error(error);
        process.exitCode = 1;
    });
