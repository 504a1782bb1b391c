//! Names of scopes and slices, and where their cgroups are.

use crate::cgroup::Error;

/// A scope and the slice it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeName {
    /// `system.slice`.
    pub slice: String,
    /// `podrt-web.scope`.
    pub unit: String,
}

impl ScopeName {
    /// Reads a `cgroupsPath` of the form `slice:prefix:name`; an empty one is
    /// the container's own, `:podrt:<id>`, and an empty slice `system.slice`.
    ///
    /// # Errors
    /// [`Error::Path`] for another form.
    pub fn parse(path: &str, id: &str) -> Result<Self, Error> {
        let refused = || Error::Path(path.to_owned());
        let own = format!(":podrt:{id}");
        let text = if path.is_empty() { &own } else { path };
        let parts: Vec<&str> = text.split(':').collect();
        let [slice, prefix, name] = parts[..] else { return Err(refused()) };
        let slice = if slice.is_empty() { "system.slice" } else { slice };
        let unit = match prefix {
            "" => format!("{name}.scope"),
            prefix => format!("{prefix}-{name}.scope"),
        };
        let plain = |text: &str| !text.is_empty() && text.chars().all(is_unit_char);
        if !plain(name) || !plain(&unit) || unit.len() > 255 {
            return Err(refused());
        }
        let name = Self { slice: slice.to_owned(), unit };
        name.folders().ok_or_else(refused)?;
        Ok(name)
    }

    /// From a cgroup that [`cgroup`](Self::cgroup) named.
    ///
    /// # Errors
    /// [`Error::Path`] when the last two parts are no scope in a slice.
    pub fn of_cgroup(path: &str) -> Result<Self, Error> {
        let mut parts = path.rsplit('/');
        match (parts.next(), parts.next()) {
            (Some(unit), Some(slice)) if unit.ends_with(".scope") => {
                let slice = if slice.is_empty() { "-.slice" } else { slice };
                Ok(Self { slice: slice.to_owned(), unit: unit.to_owned() })
            }
            _ => Err(Error::Path(path.to_owned())),
        }
    }

    /// The scope's cgroup: a slice `a-b.slice` is in `a.slice`.
    #[must_use]
    pub fn cgroup(&self) -> String {
        format!("{}/{}", self.folders().unwrap_or_default(), self.unit)
    }

    fn folders(&self) -> Option<String> {
        let name = self.slice.strip_suffix(".slice")?;
        if name == "-" {
            return Some(String::new());
        }
        let parts: Vec<&str> = name.split('-').collect();
        if parts.iter().any(|part| part.is_empty() || !part.chars().all(is_unit_char)) {
            return None;
        }
        let path = |end: usize| format!("/{}.slice", parts[..end].join("-"));
        Some((1..=parts.len()).map(path).collect())
    }
}

/// systemd.unit(5): ASCII letters, digits and these.
fn is_unit_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.\\@".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_named_by_prefix_and_name_and_lies_in_nested_slices() {
        for (path, cgroup) in [
            ("", "/system.slice/podrt-id.scope"),
            (":a:b", "/system.slice/a-b.scope"),
            ("machine.slice:libpod:1", "/machine.slice/libpod-1.scope"),
            ("a-b-c.slice::n", "/a.slice/a-b.slice/a-b-c.slice/n.scope"),
            ("-.slice:x:y", "/x-y.scope"),
        ] {
            let name = ScopeName::parse(path, "id").unwrap();
            assert_eq!(name.cgroup(), cgroup, "{path}");
            assert_eq!(ScopeName::of_cgroup(cgroup).unwrap(), name, "{path}");
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for bad in
            ["/a/b", "a:b", "a:b:c", "x.slice:a:", "a--b.slice:x:y", "/.slice:x:y", ".slice:a:b"]
        {
            assert!(ScopeName::parse(bad, "id").is_err(), "{bad}");
        }
        assert!(ScopeName::of_cgroup("/a/b").is_err());
    }
}
