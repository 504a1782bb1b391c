//! What a server answers an httpGet probe: it says the same however it is cut,
//! nothing is kept without end, and where it leads to asks one thing only. The
//! first byte is the size of the pieces.

use podrt::supervisor::probe::http::{Agent, Answer, Malformed, Response, request};
use podrt::supervisor::probe::url::Url;

const BODY_BYTES: usize = 10 * 1024;
/// More than what is read of head and body, with all that a chunk may say of
/// itself.
const ENOUGH_BYTES: usize = 512 * 1024;

fn feed(bytes: &[u8], size: usize) -> (Response, Option<Result<Answer, Malformed>>) {
    let mut response = Response::default();
    let mut pieces = bytes.chunks(size);
    let end = pieces.find_map(|piece| response.feed(piece).transpose());
    (response, end)
}

pub fn check(bytes: &[u8]) {
    let Some((&size, bytes)) = bytes.split_first() else { return };
    let (mut response, end) = feed(bytes, usize::from(size) + 1);
    let (_, whole) = feed(bytes, bytes.len().max(1));
    if let (Some(Ok(one)), Some(Ok(other))) = (&end, &whole) {
        // What comes behind the end of an answer may add to an unbounded one.
        assert_eq!((one.status, &one.location), (other.status, &other.location));
    }
    let answer = match end {
        Some(Ok(answer)) => answer,
        Some(Err(problem)) => return assert!(!problem.to_string().contains('\n'), "{problem}"),
        None => {
            // Whoever goes on and on is cut off.
            let more = vec![b'a'; ENOUGH_BYTES];
            let (mut endless, _) = feed(bytes, bytes.len().max(1));
            assert!(!matches!(endless.feed(&more), Ok(None)), "more than enough is not enough");
            let Ok(answer) = response.close() else { return };
            answer
        }
    };
    assert!(answer.body.len() <= BODY_BYTES);
    let from = Url::new(false, "10.0.0.5", 8080, "/healthz");
    let Some(to) = answer.location.and_then(|location| from.join(&location)) else { return };
    let asked = request(&to, &[], Agent::Probe);
    let asked = String::from_utf8(asked).expect("text");
    let lines: Vec<&str> = asked.split("\r\n").collect();
    assert_eq!(lines.len(), 7, "a line for each of five headers and two for the end: {asked:?}");
    assert!(!lines.iter().any(|line| line.contains(char::is_control)), "{asked:?}");
    assert_eq!(lines[0].split(' ').count(), 3, "{asked:?}");
}
