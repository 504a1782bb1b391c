//! Files of variables that a container wrote (`fileKeyRef`): a key that is
//! found has a value that stands in the file, in quotes. The key is the first
//! line.

use podrt::supervisor::process::env_file::find;

pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some((key, text)) = text.split_once('\n') else { return };
    if let Ok(Some(value)) = find(text, key) {
        assert!(text.contains(&format!("{key}=")));
        assert!(value.is_empty() || text.contains(&quoted(&value)));
        assert!(!value.contains('\''));
    }
}

fn quoted(value: &str) -> String {
    format!("'{value}'")
}
