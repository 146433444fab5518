//! What some server somewhere has taken for an end of data, and what is like it.

/// None of them ends a message.
pub const SEQUENCES: [&str; 24] = [
    "\n.\n",
    "\n.\r\n",
    "\r\n.\n",
    "\r.\r",
    "\r.\n",
    "\n.\r",
    "\r.\r\n",
    "\r\n.\r",
    "\r\n\0.\r\n",
    "\r\n.\r\r\n",
    "\r\r\n.\r\r\n",
    "\r\n.\0\r\n",
    // Our own.
    "\r\0.\r\n",
    "\r\n.\0\r\0\n",
    "\n\0.\n",
    "\n\r.\r\n",
    "\r\n..\n.\n",
    "\r\r.\r\r",
    "\n\n.\n\n",
    "\r\n\r.\r\n",
    "\r\n. \r\n",
    "\r\n\t.\r\n",
    "\r\n.\u{b}\r\n",
    "\u{2028}.\u{2028}",
];

/// What BDAT can carry besides: a true end of data, which means nothing there.
pub const IN_CHUNKS_ALONE: [&str; 2] = ["\r\n.\r\n", "\r\n.\r\n.\r\n"];
