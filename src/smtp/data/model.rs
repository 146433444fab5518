//! The decoder's rules over again, slow and obvious: each function looks at the whole wire
//! at once. For tests, and for `fuzz/`.

/// What a message in chunks is, looked at whole: its last line ended, then as with DATA.
pub fn decode_chunks(wire: &[u8]) -> (Vec<u8>, u64) {
    let mut whole = wire.to_vec();
    if !whole.is_empty() && !whole.ends_with(b"\n") {
        whole.extend_from_slice(if whole.ends_with(b"\r") {
            b"\n"
        } else {
            b"\r\n"
        });
    }
    line_ends(whole.split_inclusive(|&byte| byte == b'\n'), |line| line)
}

/// Where the message ends on the wire, by looking at it whole.
fn end(wire: &[u8]) -> Option<usize> {
    if wire.starts_with(b".\r\n") {
        return Some(3);
    }
    let found = wire.windows(5).position(|five| five == b"\r\n.\r\n")?;
    Some(found + 5)
}

/// What the message is, by taking the wire apart line by line.
pub fn decode(wire: &[u8]) -> Option<(Vec<u8>, usize, u64)> {
    let end = end(wire)?;
    let lines = wire[..end - 3].split_inclusive(|&byte| byte == b'\n');
    let (content, bare) = line_ends(lines, |line| {
        let stuffed = line.len() > 1 && line[0] == b'.';
        if stuffed { &line[1..] } else { line }
    });
    Some((content, end, bare))
}

/// Makes line ends whole, and counts them; `open` gets each line without its end.
fn line_ends<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
    open: impl Fn(&[u8]) -> &[u8],
) -> (Vec<u8>, u64) {
    let mut bare = 0;
    let mut joined = Vec::new();
    for line in lines {
        let line = match line.strip_suffix(b"\r\n") {
            Some(text) => text,
            None => {
                bare += 1;
                line.strip_suffix(b"\n").unwrap()
            }
        };
        joined.extend_from_slice(open(line));
        joined.extend_from_slice(b"\r\n");
    }
    let mut content = Vec::new();
    for (at, &byte) in joined.iter().enumerate() {
        content.push(byte);
        let behind = joined[at + 1..].iter().find(|&&byte| byte != 0);
        if byte == b'\r' && behind == Some(&b'.') {
            content.push(b'\n');
            bare += 1;
        }
    }
    (content, bare)
}
