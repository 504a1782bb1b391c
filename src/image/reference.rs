//! Names of images, normalised as docker does: `busybox` is
//! `docker.io/library/busybox:latest`. The grammar is that of the
//! distribution project's reference specification.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::digest::{Digest, InvalidDigest};

/// The longest repository path (without the domain).
const PATH_MAX_BYTES: usize = 255;
const TAG_MAX_BYTES: usize = 128;
const DEFAULT_DOMAIN: &str = "docker.io";
const LEGACY_DEFAULT_DOMAIN: &str = "index.docker.io";
const OFFICIAL_PREFIX: &str = "library/";
const DEFAULT_TAG: &str = "latest";

/// A complete, normalised name: domain, path, and a tag or a digest or both.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a string names no image; the texts are docker's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidReference {
    /// It does not follow the grammar.
    Format,
    /// The repository has capital letters.
    Uppercase { repository: String },
    /// 64 hex digits, which docker keeps for ids.
    LooksLikeId { text: String },
    /// A repository path of more than 255 bytes.
    TooLong,
    /// The part behind `@`.
    Digest(InvalidDigest),
}

impl fmt::Display for InvalidReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format => f.write_str("invalid reference format"),
            Self::Uppercase { repository } => write!(
                f,
                "invalid reference format: repository name ({repository}) must be lowercase"
            ),
            Self::LooksLikeId { text } => write!(
                f,
                "invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
            ),
            Self::TooLong => {
                write!(f, "repository name must not be more than {PATH_MAX_BYTES} characters")
            }
            Self::Digest(problem) => problem.fmt(f),
        }
    }
}

impl std::error::Error for InvalidReference {}

impl Reference {
    /// Reads and completes a name: the domain `docker.io`, its `library/` and
    /// the tag `latest` are added where they are missing.
    ///
    /// # Errors
    /// [`InvalidReference`], whose text is docker's.
    pub fn parse(text: &str) -> Result<Self, InvalidReference> {
        if text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(InvalidReference::LooksLikeId { text: text.to_owned() });
        }
        let (domain, remainder) = split_domain(text);
        let official = domain == DEFAULT_DOMAIN && !remainder.contains('/');
        let remainder =
            if official { format!("{OFFICIAL_PREFIX}{remainder}") } else { remainder.to_owned() };

        let (named, digest_text) = match remainder.split_once('@') {
            Some((named, digest)) => (named, Some(digest)),
            None => (remainder.as_str(), None),
        };
        let (path, tag) = match named.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (named, None),
        };
        // A name with a control character is nothing to repeat in a message.
        if path.bytes().any(|b| b.is_ascii_uppercase()) && !path.contains(char::is_control) {
            return Err(InvalidReference::Uppercase { repository: path.to_owned() });
        }
        if !is_domain(domain) || !is_path(path) || !tag.is_none_or(is_tag) {
            return Err(InvalidReference::Format);
        }
        if path.len() > PATH_MAX_BYTES {
            return Err(InvalidReference::TooLong);
        }
        let digest = digest_text.map(parse_digest).transpose()?;
        let tag = match (tag, digest) {
            (None, None) => Some(DEFAULT_TAG),
            (tag, _) => tag,
        };
        Ok(Self {
            domain: domain.to_owned(),
            path: path.to_owned(),
            tag: tag.map(str::to_owned),
            digest,
        })
    }

    /// The registry: `docker.io`, `localhost:5000`.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository below the domain: `library/busybox`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag; none only when a digest is given without one.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of the manifest, when the name pins one.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// Domain and path: what the images of one repository share.
    #[must_use]
    pub fn repository(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The repository as docker's tables print it, without the defaults.
    #[must_use]
    pub fn familiar_repository(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return self.repository();
        }
        // Of the default registry, but with a first component that looks like
        // another: without its domain it would name something else.
        if split_domain(&self.path).1 != self.path {
            return self.repository();
        }
        self.path
            .strip_prefix(OFFICIAL_PREFIX)
            .filter(|rest| !rest.contains('/'))
            .map_or_else(|| self.path.clone(), str::to_owned)
    }

    /// The name as docker prints it, without the default domain.
    #[must_use]
    pub fn familiar(&self) -> String {
        format!("{}{}", self.familiar_repository(), self.suffix())
    }

    /// The same repository pinned to a manifest.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// The folder of the repository below the store's `references`. A path
    /// component cannot start with an underscore, so `_tags` and `_digests`
    /// never meet a repository's name.
    pub(super) fn repository_folder(&self) -> PathBuf {
        PathBuf::from(&self.domain).join(&self.path)
    }

    /// The file of this reference below the store's `references`; a digest
    /// wins over a tag.
    pub(super) fn file(&self) -> PathBuf {
        let repository = self.repository_folder();
        match (&self.digest, &self.tag) {
            (Some(digest), _) => repository.join("_digests").join(format!("{}.json", digest.hex())),
            (None, tag) => {
                let tag = tag.as_deref().unwrap_or(DEFAULT_TAG);
                repository.join("_tags").join(format!("{tag}.json"))
            }
        }
    }

    fn suffix(&self) -> String {
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = self.digest.map(|digest| format!("@{digest}")).unwrap_or_default();
        tag + &digest
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.domain, self.path, self.suffix())
    }
}

impl TryFrom<String> for Reference {
    type Error = InvalidReference;
    fn try_from(text: String) -> Result<Self, InvalidReference> {
        Self::parse(&text)
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

/// The first component is a domain when it could not be a repository's: it
/// has a dot, a port or a capital letter, or is `localhost`.
fn split_domain(text: &str) -> (&str, &str) {
    match text.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (if first == LEGACY_DEFAULT_DOMAIN { DEFAULT_DOMAIN } else { first }, rest)
        }
        _ => (DEFAULT_DOMAIN, text),
    }
}

fn parse_digest(text: &str) -> Result<Digest, InvalidReference> {
    match Digest::parse(text) {
        // What is not even shaped like a digest spoils the whole name.
        Err(InvalidDigest::Format) => Err(InvalidReference::Format),
        result => result.map_err(InvalidReference::Digest),
    }
}

/// `host`, `host.name:5000`, `[::1]:5000`.
fn is_domain(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, after)) if is_ipv6_like(address) => match after.strip_prefix(':') {
                Some(port) => return is_port(port),
                None => return after.is_empty(),
            },
            _ => return false,
        },
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    host.split('.').all(is_domain_component) && port.is_none_or(is_port)
}

fn is_ipv6_like(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b':')
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_domain_component(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    first.is_ascii_alphanumeric()
        && last.is_ascii_alphanumeric()
        && bytes.iter().all(|&b| b.is_ascii_alphanumeric() || b == b'-')
}

fn is_path(text: &str) -> bool {
    text.split('/').all(is_path_component)
}

/// Runs of small letters and digits, joined by one dot, one or two
/// underscores, or any number of dashes.
fn is_path_component(text: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut rest = text.as_bytes();
    loop {
        let run = rest.iter().take_while(|&&b| alphanumeric(b)).count();
        if run == 0 {
            return false;
        }
        rest = &rest[run..];
        if rest.is_empty() {
            return true;
        }
        let joint = rest.iter().take_while(|&&b| !alphanumeric(b)).count();
        match &rest[..joint] {
            b"." | b"_" | b"__" => {}
            dashes if dashes.iter().all(|&b| b == b'-') => {}
            _ => return false,
        }
        rest = &rest[joint..];
    }
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= TAG_MAX_BYTES
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn names_are_completed_as_docker_completes_them() {
        let table = [
            ("busybox", "docker.io/library/busybox:latest"),
            ("busybox:1.36", "docker.io/library/busybox:1.36"),
            ("user/app", "docker.io/user/app:latest"),
            ("docker.io/busybox", "docker.io/library/busybox:latest"),
            ("index.docker.io/busybox", "docker.io/library/busybox:latest"),
            ("docker.io/user/app:x", "docker.io/user/app:x"),
            ("localhost/app", "localhost/app:latest"),
            ("localhost:5000/app", "localhost:5000/app:latest"),
            ("podrt.local/fixture", "podrt.local/fixture:latest"),
            ("ghcr.io/a/b/c:v1.2-3_4", "ghcr.io/a/b/c:v1.2-3_4"),
            ("Example/app", "Example/app:latest"),
            ("[::1]:5000/app", "[::1]:5000/app:latest"),
            ("a__b/c.d-e---f", "docker.io/a__b/c.d-e---f:latest"),
        ];
        for (text, want) in table {
            assert_eq!(Reference::parse(text).map(|r| r.to_string()), Ok(want.into()), "{text}");
        }
        let pinned = format!("busybox:1@sha256:{HEX}");
        let reference = Reference::parse(&pinned).expect("valid");
        assert_eq!(reference.to_string(), format!("docker.io/library/{pinned}"));
        let untagged = Reference::parse(&format!("busybox@sha256:{HEX}")).expect("valid");
        assert_eq!(untagged.tag(), None);
    }

    #[test]
    fn wrong_names_are_refused_in_dockers_words() {
        let long = "a".repeat(256);
        let table = [
            ("", "invalid reference format"),
            ("/", "invalid reference format"),
            ("a//b", "invalid reference format"),
            ("a/", "invalid reference format"),
            ("a:", "invalid reference format"),
            ("a:-x", "invalid reference format"),
            ("a b", "invalid reference format"),
            ("-a", "invalid reference format"),
            ("a..b", "invalid reference format"),
            ("a___b", "invalid reference format"),
            ("a._b", "invalid reference format"),
            ("../etc", "invalid reference format"),
            ("a/../b", "invalid reference format"),
            ("a\nB", "invalid reference format"),
            ("http://x/y", "invalid reference format"),
            ("x.y:z/a", "invalid reference format"),
            ("a@sha256:00", "invalid checksum digest length"),
            ("a@md5:00", "unsupported digest algorithm"),
            ("a@b", "invalid reference format"),
            ("a:\u{e4}", "invalid reference format"),
            (
                "Busybox",
                "invalid reference format: repository name (library/Busybox) must be lowercase",
            ),
            (
                "x.io/Busybox:T",
                "invalid reference format: repository name (Busybox) must be lowercase",
            ),
            (&long, "repository name must not be more than 255 characters"),
        ];
        for (text, want) in table {
            assert_eq!(
                Reference::parse(text).map_err(|e| e.to_string()),
                Err(want.into()),
                "{text}"
            );
        }
        let id = Reference::parse(HEX).map_err(|e| e.to_string());
        assert!(id.is_err_and(|text| text.ends_with("cannot specify 64-byte hexadecimal strings")));
    }

    #[test]
    fn familiar_names_leave_the_defaults_out() {
        let table = [
            ("busybox", "busybox:latest"),
            ("docker.io/user/app:1", "user/app:1"),
            ("docker.io/library/a/b", "library/a/b:latest"),
            ("docker.io/a.b/c", "docker.io/a.b/c:latest"),
            ("quay.io/x/y", "quay.io/x/y:latest"),
        ];
        for (text, want) in table {
            assert_eq!(Reference::parse(text).map(|r| r.familiar()), Ok(want.into()), "{text}");
        }
    }

    prop_compose! {
        fn component()(text in "[a-z0-9]{1,6}((\\.|_|__|-{1,3})[a-z0-9]{1,6}){0,3}") -> String {
            text
        }
    }

    prop_compose! {
        fn name()(
            domain in proptest::option::of("[a-zA-Z0-9]{1,5}\\.[a-z]{2,3}(:[0-9]{1,5})?"),
            path in proptest::collection::vec(component(), 1..4),
            tag in proptest::option::of("[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}"),
            pinned in any::<bool>(),
        ) -> String {
            // A first component with a dot would be a domain.
            let domain = domain.or_else(|| path[0].contains('.').then(|| "x.io".to_owned()));
            let mut name = domain.map(|d| d + "/").unwrap_or_default() + &path.join("/");
            if let Some(tag) = tag { name = format!("{name}:{tag}") }
            if pinned { name = format!("{name}@sha256:{HEX}") }
            name
        }
    }

    proptest! {
        #[test]
        fn a_name_of_the_grammar_is_read_and_its_full_form_reads_back(text in name()) {
            let reference = Reference::parse(&text).expect("follows the grammar");
            prop_assert_eq!(Reference::parse(&reference.to_string()), Ok(reference.clone()));
            prop_assert_eq!(Reference::parse(&reference.familiar()), Ok(reference));
        }

        #[test]
        fn no_text_panics_or_leaves_the_store(text in "[a-zA-Z0-9./:@_\\-\\[\\] \u{e4}]{0,40}") {
            if let Ok(reference) = Reference::parse(&text) {
                let file = reference.file();
                prop_assert!(file.is_relative());
                let plain = |c| matches!(c, std::path::Component::Normal(_));
                prop_assert!(file.components().all(plain));
            }
        }
    }
}
