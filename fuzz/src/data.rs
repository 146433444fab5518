//! The data codec against the slow model, both ways, wherever the wire is cut.

use crate::{
    model,
    smtp::data::{Decoder, Encoder},
};

/// The first byte says how long the pieces are.
pub fn strike(input: &[u8]) {
    let Some((&piece, wire)) = input.split_first() else {
        return;
    };
    let piece = usize::from(piece).max(1);
    let mut decoder = Decoder::new();
    let (content, end) = decode(&mut decoder, wire, piece);
    match model::decode(wire) {
        Some((expected, at, bare)) => {
            assert_eq!((&content, end), (&expected, Some(at)));
            assert_eq!(decoder.bare_newlines(), bare);
            goes_out(&content, piece);
        }
        None => assert_eq!(end, None),
    }
    let mut chunked = Decoder::chunked();
    let (mut content, end) = decode(&mut chunked, wire, piece);
    assert_eq!(end, None);
    loop {
        let rest = chunked.finish();
        if rest.is_empty() {
            break;
        }
        content.extend_from_slice(rest);
    }
    assert_eq!(
        (content.clone(), chunked.bare_newlines()),
        model::decode_chunks(wire)
    );
    goes_out(&content, piece);
    // What never came in may be refused, and must otherwise come back as it is, but for a
    // last line that got its end.
    let mut encoder = Encoder::new();
    let mut out = Vec::new();
    let encoded = wire
        .chunks(piece)
        .try_for_each(|piece| encoder.encode(piece, &mut out));
    if encoded.is_ok() {
        encoder.finish(&mut out);
        let (_, at, _) = model::decode(&out).expect("it has an end");
        assert_eq!(at, out.len(), "and only one");
    }
}

fn decode(decoder: &mut Decoder, wire: &[u8], piece: usize) -> (Vec<u8>, Option<usize>) {
    let mut content = Vec::new();
    let mut done = 0;
    for piece in wire.chunks(piece) {
        let mut rest = piece;
        while !rest.is_empty() {
            let step = decoder.decode(rest);
            content.extend_from_slice(step.content);
            done += step.consumed;
            if step.ended {
                return (content, Some(done));
            }
            rest = &rest[step.consumed..];
        }
    }
    (content, None)
}

/// What came in goes out and comes in again as the same bytes.
fn goes_out(content: &[u8], piece: usize) {
    let mut encoder = Encoder::new();
    let mut out = Vec::new();
    for piece in content.chunks(piece) {
        encoder
            .encode(piece, &mut out)
            .expect("decoded content is safe to send");
    }
    assert_eq!(encoder.finish(&mut out), out.len() as u64);
    assert_eq!(
        model::decode(&out),
        Some((content.to_vec(), out.len(), 0)),
        "{content:?}"
    );
}
