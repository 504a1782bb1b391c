//! `$(VAR)`: the same as a second, slower reading of Kubernetes' rules, letter by
//! letter.

use podrt::model::expansion::expand;

fn lookup(name: &str) -> Option<&'static str> {
    match name {
        "A" => Some("$(B)"),
        "B" => Some(""),
        "" => Some("empty"),
        _ => None,
    }
}

pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let letters: Vec<char> = text.chars().collect();
    let mut expected = String::new();
    let mut at = 0;
    while at < letters.len() {
        let close = letters[at..].iter().position(|&letter| letter == ')').map(|end| at + end);
        match (letters[at], letters.get(at + 1), close) {
            ('$', Some('$'), _) => {
                expected.push('$');
                at += 2;
            }
            ('$', Some('('), Some(end)) => {
                let name: String = letters[at + 2..end].iter().collect();
                expected += &lookup(&name).map_or_else(|| format!("$({name})"), str::to_owned);
                at = end + 1;
            }
            (letter, ..) => {
                expected.push(letter);
                at += 1;
            }
        }
    }
    assert_eq!(expand(text, lookup), expected);
}
