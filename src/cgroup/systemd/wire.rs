//! The D-Bus wire format, as far as talking to systemd needs it: calls out,
//! replies and signals in (the D-Bus specification, "Message Protocol").

/// A message's body under construction; little-endian.
#[derive(Debug, Default)]
pub(super) struct Body {
    bytes: Vec<u8>,
}

impl Body {
    fn pad(&mut self, to: usize) {
        while !self.bytes.len().is_multiple_of(to) {
            self.bytes.push(0);
        }
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.pad(4);
        self.bytes.extend(value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.pad(8);
        self.bytes.extend(value.to_le_bytes());
    }

    pub(super) fn boolean(&mut self, value: bool) {
        self.u32(value.into());
    }

    /// Also an object path.
    pub(super) fn text(&mut self, text: &str) {
        self.u32(length(text.len()));
        self.bytes.extend(text.as_bytes());
        self.bytes.push(0);
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    /// A struct, or the entry of a dictionary: aligned to eight.
    pub(super) fn structure(&mut self) {
        self.pad(8);
    }

    /// The signature of what follows.
    pub(super) fn variant(&mut self, signature: &str) {
        self.bytes.push(u8::try_from(signature.len()).unwrap_or(u8::MAX));
        self.bytes.extend(signature.as_bytes());
        self.bytes.push(0);
    }

    /// An array whose elements are aligned to `align`; the padding before the
    /// first does not count to its length.
    pub(super) fn array(&mut self, align: usize, fill: impl FnOnce(&mut Self)) {
        self.u32(0);
        let at = self.bytes.len() - 4;
        self.pad(align);
        let begin = self.bytes.len();
        fill(self);
        let bytes = length(self.bytes.len() - begin).to_le_bytes();
        self.bytes[at..at + 4].copy_from_slice(&bytes);
    }
}

/// Messages of ours are a few hundred bytes.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

mod field {
    pub const PATH: u8 = 1;
    pub const INTERFACE: u8 = 2;
    pub const MEMBER: u8 = 3;
    pub const ERROR_NAME: u8 = 4;
    pub const REPLY_SERIAL: u8 = 5;
    pub const DESTINATION: u8 = 6;
    pub const SIGNATURE: u8 = 8;
}

/// A call of systemd's manager.
pub(super) fn call(serial: u32, member: &str, signature: &str, body: &Body) -> Vec<u8> {
    let mut message = Body::default();
    message.bytes.extend([b'l', METHOD_CALL, 0, 1]);
    message.u32(length(body.bytes.len()));
    message.u32(serial);
    let fields = [
        (field::PATH, "o", "/org/freedesktop/systemd1"),
        (field::INTERFACE, "s", "org.freedesktop.systemd1.Manager"),
        (field::MEMBER, "s", member),
        (field::DESTINATION, "s", "org.freedesktop.systemd1"),
    ];
    message.array(8, |message| {
        for (code, kind, text) in fields {
            message.structure();
            message.byte(code);
            message.variant(kind);
            message.text(text);
        }
        message.structure();
        message.byte(field::SIGNATURE);
        message.variant("g");
        message.variant(signature);
    });
    message.pad(8);
    message.bytes.extend(&body.bytes);
    message.bytes
}

/// What systemd says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    Return {
        to: u32,
    },
    Error {
        to: u32,
        name: String,
        text: String,
    },
    /// A job of this unit has ended.
    JobRemoved {
        unit: String,
        result: String,
    },
    /// Nothing we asked for.
    Other,
}

/// The length of the first fixed part of a message.
pub(super) const HEAD: usize = 16;
/// More than any message of systemd's to us.
const MOST: usize = 1 << 20;

/// How long the whole message is, from its first [`HEAD`] bytes; `None` for
/// what is no message.
pub(super) fn whole_length(head: &[u8]) -> Option<usize> {
    if head.first() != Some(&b'l') {
        return None;
    }
    let body = number(head, 4)?;
    let fields = number(head, 12)?;
    let total = (HEAD + fields).next_multiple_of(8) + body;
    (total <= MOST).then_some(total)
}

/// Reads a whole message; `None` for what is none.
pub(super) fn parse(message: &[u8]) -> Option<Message> {
    let fields = Fields::read(message)?;
    let begin = (HEAD + number(message, 12)?).next_multiple_of(8);
    let body = message.get(begin..)?;
    Some(match (message.get(1)?, fields.reply_to) {
        (&METHOD_RETURN, Some(to)) => Message::Return { to },
        (&ERROR, Some(to)) => {
            let text = if fields.signature.starts_with('s') { text(body, 0)?.0 } else { "" };
            Message::Error { to, name: fields.error, text: text.to_owned() }
        }
        (&SIGNAL, _) if fields.member == "JobRemoved" && fields.signature == "uoss" => {
            let (_, at) = text(body, 4)?;
            let (unit, at) = text(body, at)?;
            let (result, _) = text(body, at)?;
            Message::JobRemoved { unit: unit.to_owned(), result: result.to_owned() }
        }
        _ => Message::Other,
    })
}

#[derive(Default)]
struct Fields {
    member: String,
    error: String,
    signature: String,
    reply_to: Option<u32>,
}

impl Fields {
    fn read(message: &[u8]) -> Option<Self> {
        let end = HEAD + number(message, 12)?;
        let mut fields = Self::default();
        let mut at = HEAD;
        while at < end {
            at = at.next_multiple_of(8);
            let code = *message.get(at)?;
            let (kind, behind) = signature(message, at + 1)?;
            at = match kind {
                "s" | "o" => {
                    let (text, behind) = text(message, behind)?;
                    match code {
                        field::MEMBER => text.clone_into(&mut fields.member),
                        field::ERROR_NAME => text.clone_into(&mut fields.error),
                        _ => {}
                    }
                    behind
                }
                "g" => {
                    let (text, behind) = signature(message, behind)?;
                    text.clone_into(&mut fields.signature);
                    behind
                }
                "u" => {
                    let at = behind.next_multiple_of(4);
                    let value = u32::try_from(number(message, at)?).ok()?;
                    if code == field::REPLY_SERIAL {
                        fields.reply_to = Some(value);
                    }
                    at + 4
                }
                _ => return None,
            };
        }
        Some(fields)
    }
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(four.try_into().ok()?) as usize)
}

/// The text at `at`, and where it ends.
fn text(bytes: &[u8], at: usize) -> Option<(&str, usize)> {
    let at = at.next_multiple_of(4);
    let begin = at + 4;
    let end = begin.checked_add(number(bytes, at)?)?;
    Some((std::str::from_utf8(bytes.get(begin..end)?).ok()?, end + 1))
}

fn signature(bytes: &[u8], at: usize) -> Option<(&str, usize)> {
    let end = at + 1 + usize::from(*bytes.get(at)?);
    Some((std::str::from_utf8(bytes.get(at + 1..end)?).ok()?, end + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A message as systemd would send it.
    fn message(
        kind: u8,
        fields: &[(u8, &str, &str)],
        reply_to: Option<u32>,
        body: &Body,
    ) -> Vec<u8> {
        let mut message = Body::default();
        message.bytes.extend([b'l', kind, 0, 1]);
        message.u32(length(body.bytes.len()));
        message.u32(9);
        message.array(8, |message| {
            for (code, kind, text) in fields {
                message.structure();
                message.byte(*code);
                message.variant(kind);
                if *kind == "g" { message.variant(text) } else { message.text(text) }
            }
            if let Some(serial) = reply_to {
                message.structure();
                message.byte(field::REPLY_SERIAL);
                message.variant("u");
                message.u32(serial);
            }
        });
        message.pad(8);
        message.bytes.extend(&body.bytes);
        message.bytes
    }

    #[test]
    fn replies_errors_and_signals_are_told_apart() {
        let empty = Body::default();
        let reply = message(METHOD_RETURN, &[(field::SIGNATURE, "g", "o")], Some(3), &empty);
        assert_eq!(parse(&reply), Some(Message::Return { to: 3 }));
        assert_eq!(whole_length(&reply), Some(reply.len()));
        let mut body = Body::default();
        body.text("no");
        let fields = [(field::ERROR_NAME, "s", "a.b"), (field::SIGNATURE, "g", "s")];
        let error = message(ERROR, &fields, Some(4), &body);
        let (name, text) = ("a.b".to_owned(), "no".to_owned());
        assert_eq!(parse(&error), Some(Message::Error { to: 4, name, text }));
        let mut body = Body::default();
        body.u32(1);
        for text in ["/job/1", "x.scope", "done"] {
            body.text(text);
        }
        let fields = [(field::MEMBER, "s", "JobRemoved"), (field::SIGNATURE, "g", "uoss")];
        let signal = message(SIGNAL, &fields, None, &body);
        let (unit, result) = ("x.scope".to_owned(), "done".to_owned());
        assert_eq!(parse(&signal), Some(Message::JobRemoved { unit, result }));
    }

    #[test]
    fn a_call_is_as_long_as_its_head_says() {
        let mut body = Body::default();
        body.text("x.scope");
        let call = call(1, "StopUnit", "ss", &body);
        assert_eq!(whole_length(&call), Some(call.len()));
        assert_eq!(parse(&call), Some(Message::Other));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = whole_length(&bytes);
            let _ = parse(&bytes);
        }
    }
}
