//! What a server answers a grpc probe: the same however it is cut, and no
//! more is sent back than came. The first byte is the size of the pieces.

use podrt::supervisor::probe::grpc::{Call, Fed, Health};

fn feed(bytes: &[u8], size: usize) -> (Call, Vec<u8>, Option<Health>) {
    let (mut call, mut sent) = (Call::default(), Vec::new());
    for piece in bytes.chunks(size) {
        match call.feed(piece) {
            Fed::Send(replies) => sent.extend(replies),
            Fed::Done(health) => return (call, sent, Some(health)),
        }
    }
    (call, sent, None)
}

pub fn check(bytes: &[u8]) {
    let Some((&size, bytes)) = bytes.split_first() else { return };
    let (call, sent, end) = feed(bytes, usize::from(size) + 1);
    let (_, sent_at_once, whole) = feed(bytes, bytes.len().max(1));
    assert!(sent.len() <= bytes.len(), "{} for {}", sent.len(), bytes.len());
    match (&end, &whole) {
        // A piece may be found too long before, or after, it is found wrong.
        (Some(Health::Broken(_)), Some(Health::Broken(_))) => {}
        _ => assert_eq!(end, whole),
    }
    if end.is_none() {
        assert_eq!(sent, sent_at_once);
        if let Health::Status { message, .. } | Health::Broken(message) = call.close() {
            assert!(message.len() <= 3 * bytes.len() + 64);
        }
    }
}
