//! Header compression of HTTP/2 (RFC 7541), as far as an answer to a health
//! check needs it: the peer is told that there is no dynamic table, so that
//! every header is a literal or one of the static table.

/// A header block that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// A header's name and value.
pub type Header = (String, String);

/// Appends a header, as a literal that goes into no table.
pub fn encode(name: &str, value: &str, output: &mut Vec<u8>) {
    output.push(0);
    for text in [name, value] {
        encode_length(text.len(), output);
        output.extend_from_slice(text.as_bytes());
    }
}

/// A string's length, not Huffman-coded.
fn encode_length(length: usize, output: &mut Vec<u8>) {
    const LIMIT: usize = 127;
    if length < LIMIT {
        output.push(u8::try_from(length).unwrap_or(0));
        return;
    }
    output.push(127);
    let mut rest = length - LIMIT;
    while rest >= 128 {
        output.push(u8::try_from(rest % 128 + 128).unwrap_or(0));
        rest /= 128;
    }
    output.push(u8::try_from(rest).unwrap_or(0));
}

/// The headers of a block. One that refers to a table by its number comes
/// without its text, except `:status` 200: no other of those matters here.
///
/// # Errors
/// [`Malformed`].
pub fn decode(mut block: &[u8]) -> Result<Vec<Header>, Malformed> {
    let mut headers = Vec::new();
    while let Some(&first) = block.first() {
        match first {
            // Indexed.
            0x80.. => {
                let index = integer(&mut block, 7)?;
                headers.push(static_header(index));
            }
            // A new size of the dynamic table.
            0x20..0x40 => drop(integer(&mut block, 5)?),
            // Literals, to be put in the table (6 bits) or not (4 bits).
            _ => {
                let bits = if first & 0x40 == 0 { 4 } else { 6 };
                let index = integer(&mut block, bits)?;
                let name = if index == 0 { string(&mut block)? } else { static_header(index).0 };
                headers.push((name, string(&mut block)?));
            }
        }
    }
    Ok(headers)
}

/// Those of the static table that a health check's answer can hold.
fn static_header(index: usize) -> Header {
    let (name, value) = match index {
        8 => (":status", "200"),
        9..=14 => (":status", "other"),
        31 => ("content-type", ""),
        _ => ("", ""),
    };
    (name.to_owned(), value.to_owned())
}

/// A number whose first bits share their byte with something else.
fn integer(block: &mut &[u8], bits: u32) -> Result<usize, Malformed> {
    let limit = (1_usize << bits) - 1;
    let mut value = usize::from(take(block)?) & limit;
    if value < limit {
        return Ok(value);
    }
    for shift in (0..28).step_by(7) {
        let byte = take(block)?;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Malformed)
}

fn string(block: &mut &[u8]) -> Result<String, Malformed> {
    let coded = block.first().ok_or(Malformed)? & 0x80 != 0;
    let length = integer(block, 7)?;
    let (bytes, rest) = block.split_at_checked(length).ok_or(Malformed)?;
    *block = rest;
    if coded { huffman(bytes) } else { Ok(String::from_utf8_lossy(bytes).into_owned()) }
}

fn take(block: &mut &[u8]) -> Result<u8, Malformed> {
    let (&first, rest) = block.split_first().ok_or(Malformed)?;
    *block = rest;
    Ok(first)
}

/// The symbols of each code length, in the order of their codes, which the code
/// of RFC 7541 (appendix B) follows from: it is canonical. Longer codes are of
/// bytes that no header of gRPC has.
const SYMBOLS: [(u32, &[u8]); 10] = [
    (5, b"012aceiost"),
    (6, b" %-./3456789=A_bdfghlmnpru"),
    (7, b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, b"&*,;XZ"),
    (10, b"!\"()?"),
    (11, b"'+|"),
    (12, b"#>"),
    (13, b"\0$@[]~"),
    (14, b"^}"),
    (15, b"<`{"),
];

fn huffman(bytes: &[u8]) -> Result<String, Malformed> {
    let mut text = String::new();
    let (mut code, mut length) = (0_usize, 0_u32);
    for bit in bytes.iter().flat_map(|byte| (0..8).rev().map(move |shift| byte >> shift & 1)) {
        code = code << 1 | usize::from(bit);
        length += 1;
        if let Some(symbol) = symbol(code, length) {
            text.push(char::from(symbol));
            (code, length) = (0, 0);
        } else if length > 15 {
            return Err(Malformed);
        }
    }
    // What is left is padding: less than a byte of ones.
    if length < 8 && code == (1 << length) - 1 { Ok(text) } else { Err(Malformed) }
}

/// The symbol of a code, if it is one.
fn symbol(code: usize, length: u32) -> Option<u8> {
    let (mut first, mut before) = (0, 5);
    for (bits, symbols) in SYMBOLS {
        first <<= bits - before;
        if bits == length {
            return symbols.get(code.checked_sub(first)?).copied();
        }
        first += symbols.len();
        before = bits;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<char> = hex.chars().filter(char::is_ascii_hexdigit).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap())
            .collect()
    }

    #[test]
    fn the_examples_of_the_specification_are_read() {
        // RFC 7541, C.4.1 and C.6.1: strings in Huffman code.
        let table = [
            ("f1e3 c2e5 f23a 6ba0 ab90 f4ff", "www.example.com"),
            ("a8eb 1064 9cbf", "no-cache"),
            ("aec3 771a 4b", "private"),
            (
                "d07a be94 1054 d444 a820 0595 040b 8166 e082 a62d 1bff",
                "Mon, 21 Oct 2013 20:13:21 GMT",
            ),
        ];
        for (coded, want) in table {
            assert_eq!(huffman(&bytes(coded)).as_deref(), Ok(want));
        }
        // C.2.1: a literal with indexing.
        let block = bytes("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572");
        let want = ("custom-key".to_owned(), "custom-header".to_owned());
        assert_eq!(decode(&block), Ok(vec![want]));
    }

    #[test]
    fn what_is_encoded_reads_back() {
        let long = "x".repeat(1000);
        let mut block = vec![0x20, 0x88];
        encode("grpc-status", "12", &mut block);
        encode("grpc-message", &long, &mut block);
        let want = [(":status", "200"), ("grpc-status", "12"), ("grpc-message", &long)];
        let want = want.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(decode(&block).as_deref(), Ok(&want[..]));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(block in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode(&block);
            let _ = huffman(&block);
        }
    }
}
