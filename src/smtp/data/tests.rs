//! The codec against slow, obvious models of the same rules.

use super::*;
use proptest::prelude::*;

/// The sequences that are known to end a message on one server and not on another.
const SMUGGLING: [&[u8]; 14] = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r.\n",
    b"\n.\r",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\r\n\0.\r\n",
    b"\r\n.\r\r\n",
    b"\r\r\n.\r\r\n",
    b"\r\n.\0\r\n",
    b"\r\0.\r\n",
    b"\r\n.\0\r\0\n",
];

/// Decodes `wire` in the pieces that `cuts` make: content, bytes consumed up to the end
/// (none when it has not ended), bare newlines.
fn decode(wire: &[u8], cuts: &[usize]) -> (Vec<u8>, Option<usize>, u64) {
    let mut decoder = Decoder::new();
    let mut content = Vec::new();
    let mut at = 0;
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (wire.len() + 1)).collect();
    cuts.push(wire.len());
    cuts.sort_unstable();
    for cut in cuts {
        while at < cut {
            let step = decoder.decode(&wire[at..cut]);
            content.extend_from_slice(step.content);
            at += step.consumed;
            if step.ended {
                return (content, Some(at), decoder.bare_newlines());
            }
        }
    }
    (content, None, decoder.bare_newlines())
}

/// The same for the chunks that `cuts` make: content, bare newlines.
fn decode_chunks(wire: &[u8], cuts: &[usize]) -> (Vec<u8>, u64) {
    let mut decoder = Decoder::chunked();
    let mut content = Vec::new();
    let mut at = 0;
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (wire.len() + 1)).collect();
    cuts.push(wire.len());
    cuts.sort_unstable();
    for cut in cuts {
        while at < cut {
            let step = decoder.decode(&wire[at..cut]);
            content.extend_from_slice(step.content);
            at += step.consumed;
            assert!(!step.ended);
        }
    }
    loop {
        let rest = decoder.finish();
        content.extend_from_slice(rest);
        if rest.is_empty() {
            break;
        }
    }
    (content, decoder.bare_newlines())
}

fn encode(content: &[u8], cuts: &[usize]) -> Result<Vec<u8>, Smuggling> {
    let mut encoder = Encoder::new();
    let mut wire = Vec::new();
    let mut at = 0;
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (content.len() + 1)).collect();
    cuts.push(content.len());
    cuts.sort_unstable();
    for cut in cuts {
        encoder.encode(&content[at..cut], &mut wire)?;
        at = cut;
    }
    assert_eq!(encoder.finish(&mut wire), wire.len() as u64);
    Ok(wire)
}

/// What a careless server takes for line ends.
#[derive(Debug, Clone, Copy)]
struct Careless {
    drops_nul: bool,
    ends: &'static [&'static [u8]],
}

const CARELESS: [Careless; 8] = {
    const LF: &[&[u8]] = &[b"\r\n", b"\n"];
    const CR: &[&[u8]] = &[b"\r\n", b"\r"];
    const ALL: &[&[u8]] = &[b"\r\r\n", b"\r\n", b"\n", b"\r"];
    const STRICT: &[&[u8]] = &[b"\r\n"];
    [
        Careless {
            drops_nul: false,
            ends: STRICT,
        },
        Careless {
            drops_nul: false,
            ends: LF,
        },
        Careless {
            drops_nul: false,
            ends: CR,
        },
        Careless {
            drops_nul: false,
            ends: ALL,
        },
        Careless {
            drops_nul: true,
            ends: STRICT,
        },
        Careless {
            drops_nul: true,
            ends: LF,
        },
        Careless {
            drops_nul: true,
            ends: CR,
        },
        Careless {
            drops_nul: true,
            ends: ALL,
        },
    ]
};

impl Careless {
    /// Whether it sees exactly one end of message in `wire`, at its very end.
    fn sees_one_message(self, wire: &[u8]) -> bool {
        let kept = |&byte: &u8| !(self.drops_nul && byte == 0);
        let wire: Vec<u8> = wire.iter().copied().filter(kept).collect();
        let mut rest = &wire[..];
        let mut line = Vec::new();
        while !rest.is_empty() {
            let end = self.ends.iter().find(|end| rest.starts_with(end));
            match end {
                Some(end) => {
                    rest = &rest[end.len()..];
                    if line == b"." {
                        return rest.is_empty();
                    }
                    line.clear();
                }
                None => {
                    line.push(rest[0]);
                    rest = &rest[1..];
                }
            }
        }
        false
    }
}

fn nasty() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        4 => Just(b"\r\n".to_vec()),
        2 => Just(b"\r".to_vec()),
        2 => Just(b"\n".to_vec()),
        4 => Just(b".".to_vec()),
        2 => Just(b"\0".to_vec()),
        1 => Just(b"abc".to_vec()),
        1 => Just(b"\r\n..\r\n".to_vec()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat())
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(any::<usize>(), 0..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn decoder_agrees_with_the_model(wire in nasty(), cuts in cuts()) {
        let (content, end, bare) = decode(&wire, &cuts);
        match model::decode(&wire) {
            Some(expected) => prop_assert_eq!((content, end.unwrap(), bare), expected),
            None => prop_assert_eq!(end, None),
        }
    }

    #[test]
    fn chunks_agree_with_the_model(wire in nasty(), cuts in cuts()) {
        prop_assert_eq!(decode_chunks(&wire, &cuts), model::decode_chunks(&wire));
    }

    #[test]
    fn clean_lines_in_chunks_stay_as_they_are(mut lines in prop::collection::vec("[^\r\n]{0,12}", 0..12), cuts in cuts()) {
        lines.push(String::new());
        let content = lines.join("\r\n").into_bytes();
        prop_assert_eq!(decode_chunks(&content, &cuts), (content, 0));
    }

    #[test]
    fn nothing_in_chunks_goes_out_as_two_messages(wire in nasty(), split in cuts()) {
        let (content, _) = decode_chunks(&wire, &split);
        let out = encode(&content, &split).expect("decoded content is safe to send");
        for server in CARELESS {
            prop_assert!(server.sees_one_message(&out), "{:?} {:?}", server, out);
        }
        prop_assert_eq!(decode(&out, &[]), (content, Some(out.len()), 0));
    }

    #[test]
    fn what_was_encoded_decodes_to_itself(mut lines in prop::collection::vec("[^\r\n]{0,12}", 0..12), split in cuts(), again in cuts()) {
        lines.push(String::new());
        let content = lines.join("\r\n").into_bytes();
        let wire = encode(&content, &split).unwrap();
        prop_assert_eq!(decode(&wire, &again), (content, Some(wire.len()), 0));
    }

    #[test]
    fn nothing_that_came_in_goes_out_as_two_messages(mut wire in nasty(), split in cuts()) {
        wire.extend_from_slice(b"\r\n.\r\n");
        let (content, _, _) = decode(&wire, &[]);
        let out = encode(&content, &split).expect("decoded content is safe to send");
        for server in CARELESS {
            prop_assert!(server.sees_one_message(&out), "{:?} {:?}", server, out);
        }
        prop_assert_eq!(decode(&out, &[]), (content, Some(out.len()), 0));
    }

    #[test]
    fn encoder_refuses_what_it_cannot_protect(content in nasty(), split in cuts()) {
        if let Ok(out) = encode(&content, &split) {
            for server in CARELESS {
                prop_assert!(server.sees_one_message(&out), "{:?} {:?}", server, out);
            }
        }
    }
}

#[test]
fn messages_that_are_easily_got_wrong() {
    let cases: [(&[u8], &[u8]); 10] = [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b".....\r\n.\r\n", b"....\r\n"),
        (b"a\r\n..\r\n...\r\n.\r\n", b"a\r\n.\r\n..\r\n"),
        (b".a\r\n.\r\n", b"a\r\n"),
        (b"a\rb\0c\xff\r\n.\r\n", b"a\rb\0c\xff\r\n"),
        (b"a\r\r\n.\r\n", b"a\r\r\n"),
        (b"a\nb\r\n.\r\n", b"a\r\nb\r\n"),
        (b"a\n..b\r\n.\r\n", b"a\r\n.b\r\n"),
    ];
    for (wire, content) in cases {
        for cut in 0..=wire.len() {
            let (found, end, _) = decode(wire, &[cut]);
            assert_eq!((&found[..], end), (content, Some(wire.len())), "{wire:?}");
        }
    }
}

#[test]
fn chunks_that_are_easily_got_wrong() {
    let cases: [(&[u8], &[u8]); 11] = [
        (b"", b""),
        (b"a", b"a\r\n"),
        (b"a\r", b"a\r\n"),
        (b"a\r\n", b"a\r\n"),
        (b"a\n", b"a\r\n"),
        (b".\r\n.", b".\r\n.\r\n"),
        (b"..\r\n", b"..\r\n"),
        (b"a\r\n.\r\nb\r\n", b"a\r\n.\r\nb\r\n"),
        (b"a\rb\0", b"a\rb\0\r\n"),
        (b"a\r\0", b"a\r\0\r\n"),
        (b"a\r.b\n.\r", b"a\r\n.b\r\n.\r\n"),
    ];
    for (wire, content) in cases {
        for first in 0..=wire.len() {
            for second in first..=wire.len() {
                let (found, _) = decode_chunks(wire, &[first, second]);
                assert_eq!(found, content, "{wire:?}");
            }
        }
    }
}

#[test]
fn what_follows_the_end_is_left_alone() {
    let wire = b"a\r\n.\r\nQUIT\r\n";
    assert_eq!(decode(wire, &[]), (b"a\r\n".to_vec(), Some(6), 0));
}

#[test]
fn only_the_true_end_ends_it() {
    for sequence in SMUGGLING {
        let inner = [b"a", sequence, b"MAIL FROM:<x@y>\r\n"].concat();
        let wire = [&inner[..], b".\r\n"].concat();
        for cut in 0..=wire.len() {
            let (content, end, _) = decode(&wire, &[cut]);
            assert_eq!(end, Some(wire.len()), "{sequence:?} cut at {cut}");
            assert!(content.ends_with(b"MAIL FROM:<x@y>\r\n"));
            let out = encode(&content, &[cut]).unwrap();
            for server in CARELESS {
                assert!(server.sees_one_message(&out), "{server:?} {out:?}");
            }
        }
    }
}

#[test]
fn a_last_line_without_its_end_gets_one() {
    assert_eq!(encode(b"", &[]).unwrap(), b".\r\n");
    assert_eq!(encode(b"a", &[]).unwrap(), b"a\r\n.\r\n");
    assert_eq!(encode(b"a\r", &[]).unwrap(), b"a\r\r\n.\r\n");
    assert_eq!(encode(b"a\r\n\0", &[]).unwrap(), b"a\r\n\0\r\n.\r\n");
    assert_eq!(encode(b".\r\n\0.b", &[1]).unwrap(), b"..\r\n.\0.b\r\n.\r\n");
}

#[test]
fn names_the_dot_that_cannot_be_sent() {
    assert_eq!(encode(b"ab\n.\n", &[1]), Err(Smuggling { offset: 3 }));
    assert_eq!(encode(b"ab\r\0.\r\n", &[2]), Err(Smuggling { offset: 4 }));
}

/// Many NULs neither grow what is held back nor let a dot slip through.
#[test]
fn a_long_run_of_nuls_is_bounded() {
    let mut content = vec![0; 100_000];
    let out = encode(&content, &[70_000]).unwrap();
    assert_eq!(decode(&out, &[]).0, [&content[..], b"\r\n"].concat());
    content.extend_from_slice(b".\r\n");
    assert_eq!(encode(&content, &[5]), Err(Smuggling { offset: 100_000 }));
}
