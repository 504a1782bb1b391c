//! JSON with positions; what `kubectl get -o json` prints must read back.

use serde_json::Number;

use super::error::Position;
use super::node::{Entry, MAX_DEPTH, Node, Value};
use super::scalar;
use super::yaml::SyntaxError;

/// Reads every JSON document of `text`, one after the other.
///
/// # Errors
/// The first place that is no JSON.
pub(super) fn documents(text: &str) -> Result<Vec<Node>, SyntaxError> {
    let mut reader = Reader { text, offset: 0, line: 1, line_start: 0 };
    let mut documents = Vec::new();
    loop {
        reader.skip_space();
        if reader.peek().is_none() {
            return Ok(documents);
        }
        documents.push(reader.value(0)?);
    }
}

struct Reader<'a> {
    text: &'a str,
    offset: usize,
    line: u32,
    line_start: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.offset).copied()
    }

    fn position(&self) -> Position {
        let column = self.text[self.line_start..self.offset].chars().count() + 1;
        Position { line: self.line, column: u32::try_from(column).unwrap_or(u32::MAX) }
    }

    fn error<T>(&self, message: &str) -> Result<T, SyntaxError> {
        Err(SyntaxError { message: message.to_owned(), at: self.position() })
    }

    fn skip_space(&mut self) {
        while let Some(byte @ (b' ' | b'\t' | b'\n' | b'\r')) = self.peek() {
            self.offset += 1;
            if byte == b'\n' {
                self.line += 1;
                self.line_start = self.offset;
            }
        }
    }

    fn expect(&mut self, byte: u8, message: &str) -> Result<(), SyntaxError> {
        if self.peek() != Some(byte) {
            return self.error(message);
        }
        self.offset += 1;
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<Node, SyntaxError> {
        if depth > MAX_DEPTH {
            return self.error("nested too deeply");
        }
        let at = Some(self.position());
        let value = match self.peek() {
            Some(b'{') => self.map(depth)?,
            Some(b'[') => self.list(depth)?,
            Some(b'"') => Value::String(self.string()?),
            Some(b't') => self.word("true", Value::Bool(true))?,
            Some(b'f') => self.word("false", Value::Bool(false))?,
            Some(b'n') => self.word("null", Value::Null)?,
            Some(b'-' | b'0'..=b'9') => Value::Number(self.number()?),
            None => return self.error("unexpected end of JSON input"),
            Some(_) => return self.error("invalid character looking for beginning of value"),
        };
        Ok(Node { at, value })
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, SyntaxError> {
        if !self.text[self.offset..].starts_with(word) {
            return self.error("invalid character looking for beginning of value");
        }
        self.offset += word.len();
        Ok(value)
    }

    fn map(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        self.offset += 1;
        let mut entries = Vec::new();
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.offset += 1;
            return Ok(Value::Map(entries));
        }
        loop {
            self.skip_space();
            let at = Some(self.position());
            if self.peek() != Some(b'"') {
                return self.error("invalid character looking for beginning of object key string");
            }
            let key = self.string()?;
            self.skip_space();
            self.expect(b':', "invalid character after object key")?;
            self.skip_space();
            let value = self.value(depth + 1)?;
            entries.push(Entry { key, at, value });
            self.skip_space();
            match self.peek() {
                Some(b',') => self.offset += 1,
                _ => {
                    self.expect(b'}', "invalid character after object key:value pair")?;
                    return Ok(Value::Map(entries));
                }
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        self.offset += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.peek() == Some(b']') {
            self.offset += 1;
            return Ok(Value::List(items));
        }
        loop {
            self.skip_space();
            items.push(self.value(depth + 1)?);
            self.skip_space();
            match self.peek() {
                Some(b',') => self.offset += 1,
                _ => {
                    self.expect(b']', "invalid character after array element")?;
                    return Ok(Value::List(items));
                }
            }
        }
    }

    /// A string: finds its end, then lets serde_json read the escapes.
    fn string(&mut self) -> Result<String, SyntaxError> {
        let start = self.offset;
        let bytes = self.text.as_bytes();
        let mut end = start + 1;
        loop {
            match bytes.get(end) {
                Some(b'"') => break,
                Some(b'\\') => end += 2,
                Some(0x20..) => end += 1,
                Some(_) => return self.error("invalid control character in string literal"),
                None => return self.error("unexpected end of JSON input"),
            }
        }
        let parsed =
            self.text.get(start..=end).and_then(|quoted| serde_json::from_str(quoted).ok());
        match parsed {
            Some(text) => {
                self.offset = end + 1;
                Ok(text)
            }
            None => self.error("invalid escape in string literal"),
        }
    }

    fn number(&mut self) -> Result<Number, SyntaxError> {
        let rest = &self.text[self.offset..];
        let is_part = |b: u8| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E');
        let length = rest.bytes().take_while(|b| is_part(*b)).count();
        let Ok(number) = serde_json::from_str::<Number>(&rest[..length]) else {
            return self.error("invalid number");
        };
        self.offset += length;
        // `3.0` counts as the integer 3 for an integer field.
        Ok(match number.as_f64() {
            Some(float) if number.is_f64() => scalar::from_f64(float).unwrap_or(number),
            _ => number,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn documents_follow_each_other() {
        let found =
            documents("{\"a\": [1, true, null]}\n {\"b\": \"\\ud83d\\ude00\\/\"} ").expect("valid");
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].to_json(), serde_json::json!({"a": [1, true, null]}));
        assert_eq!(found[1].to_json(), serde_json::json!({"b": "😀/"}));
        assert_eq!(found[1].at, Some(Position { line: 2, column: 2 }));
    }

    #[test]
    fn broken_json_names_the_place() {
        let table = [
            ("{", 1, 2),
            ("{\"a\" 1}", 1, 6),
            ("{\"a\": 1,\n}", 2, 1),
            ("[1 2]", 1, 4),
            ("\"a", 1, 1),
            ("\"\\u12\"", 1, 1),
            ("\"ä\\", 1, 1),
            ("-", 1, 1),
            ("tru", 1, 1),
        ];
        for (text, line, column) in table {
            let error = documents(text).expect_err(text);
            assert_eq!(error.at, Position { line, column }, "{text}");
        }
        assert!(documents(&"[".repeat(100_000)).is_err());
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "[\\[\\]{}\":,0-9a-z\\\\ \\n\\-.eä]{0,60}|\\PC{0,40}") {
            let _ = documents(&text);
        }

        #[test]
        fn whatever_serde_json_writes_reads_back(text in "\\PC{0,20}", number in -1e15..1e15_f64, int in any::<i64>()) {
            let json = serde_json::json!({"t": text, "n": number, "i": int, "l": [null, false]});
            let read = documents(&serde_json::to_string_pretty(&json).expect("json")).expect("valid");
            let back = read[0].to_json();
            prop_assert_eq!(&back["t"], &json["t"]);
            prop_assert_eq!(&back["i"], &json["i"]);
            let (read, written) = (back["n"].as_f64(), json["n"].as_f64());
            prop_assert!(read.zip(written).is_some_and(|(a, b)| (a - b).abs() <= b.abs() * 1e-15));
        }
    }
}
