//! Protocol buffers, as much of their wire format as criu's messages need.
//! Source: "Encoding" of the protocol buffers documentation.

/// The wire types there are here.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH_DELIMITED: u64 = 2;
const FIXED32: u64 = 5;

/// A message being written, field by field.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// A number that is not negative.
    pub(super) fn number(&mut self, field: u64, value: u64) -> &mut Self {
        self.varint(field << 3 | VARINT);
        self.varint(value);
        self
    }

    pub(super) fn switch(&mut self, field: u64, on: bool) -> &mut Self {
        self.number(field, u64::from(on))
    }

    /// A descriptor or a pid.
    pub(super) fn small(&mut self, field: u64, value: i32) -> &mut Self {
        self.number(field, u64::from(value.unsigned_abs()))
    }

    pub(super) fn text(&mut self, field: u64, value: &str) -> &mut Self {
        self.bytes(field, value.as_bytes())
    }

    pub(super) fn message(&mut self, field: u64, value: &Self) -> &mut Self {
        self.bytes(field, &value.0)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn bytes(&mut self, field: u64, value: &[u8]) -> &mut Self {
        self.varint(field << 3 | LENGTH_DELIMITED);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }
}

/// What a field that was read holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of a type that criu's messages do not have.
    Other,
}

impl Value<'_> {
    /// The number; 0 for anything else.
    pub(super) fn number(self) -> u64 {
        if let Self::Number(number) = self { number } else { 0 }
    }

    /// A signed number: protocol buffers extend its sign to 64 bits.
    pub(super) fn signed(self) -> i32 {
        i32::from_le_bytes(std::array::from_fn(|at| self.number().to_le_bytes()[at]))
    }

    /// The text; nothing for anything else.
    pub(super) fn text(self) -> String {
        if let Self::Bytes(bytes) = self {
            String::from_utf8_lossy(bytes).into_owned()
        } else {
            String::new()
        }
    }
}

/// The fields of a message, in their order; `None` when it is cut off or no
/// message.
pub(super) fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, Value<'_>)>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = take_varint(&mut bytes)?;
        let value = match key & 7 {
            VARINT => Value::Number(take_varint(&mut bytes)?),
            LENGTH_DELIMITED => {
                let length = usize::try_from(take_varint(&mut bytes)?).ok()?;
                Value::Bytes(take(&mut bytes, length)?)
            }
            FIXED64 => take(&mut bytes, 8).map(|_| Value::Other)?,
            FIXED32 => take(&mut bytes, 4).map(|_| Value::Other)?,
            _ => return None,
        };
        found.push((key >> 3, value));
    }
    Some(found)
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_has_the_bytes_of_the_documentation() {
        let mut inner = Message::default();
        inner.number(1, 150);
        assert_eq!(inner.as_bytes(), [0x08, 0x96, 0x01]);
        let mut outer = Message::default();
        outer.text(2, "testing").message(3, &inner).switch(38, true);
        let expected = b"\x12\x07testing\x1a\x03\x08\x96\x01\xb0\x02\x01";
        assert_eq!(outer.as_bytes(), expected);
    }

    #[test]
    fn what_is_cut_off_is_no_message() {
        for bytes in [&b"\x08"[..], b"\x08\x96", b"\x12\x07test", b"\x0b", &[0xff; 12]] {
            assert_eq!(fields(bytes), None, "{bytes:x?}");
        }
        let negative = b"\x38\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        assert_eq!(fields(negative).unwrap()[0].1.signed(), -1);
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(number: u64, text in ".*", field in 1_u64..1000) {
            let mut message = Message::default();
            message.number(field, number).text(field, &text);
            let read = fields(message.as_bytes()).unwrap();
            let wanted =
                [(field, Value::Number(number)), (field, Value::Bytes(text.as_bytes()))];
            prop_assert_eq!(read, wanted);
        }

        #[test]
        fn no_bytes_make_the_reader_fail(bytes: Vec<u8>) {
            let _ = fields(&bytes);
        }
    }
}
