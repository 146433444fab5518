//! What a destination answers: the enhanced code is of the reply's own class, whatever it
//! says.

use crate::reply::Reply;

pub fn strike(input: &[u8]) {
    let [high, low, text @ ..] = input else {
        return;
    };
    let code = 200 + u16::from_be_bytes([*high, *low]) % 400;
    let reply = Reply::new(code, text);
    let kinds = [
        reply.is_positive(),
        reply.is_transient(),
        reply.is_permanent(),
    ];
    assert!(kinds.iter().filter(|is| **is).count() <= 1);
    let parts: Vec<&str> = reply.dsn.split('.').collect();
    assert_eq!(parts.len(), 3, "{reply:?}");
    assert_eq!(parts[0], (code / 100).to_string(), "{reply:?}");
    for part in &parts[1..] {
        assert!(
            (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit()),
            "{reply:?}"
        );
    }
    assert!(!reply.text.contains('\n'));
}
