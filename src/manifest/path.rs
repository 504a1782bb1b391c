//! Field paths as the API server prints them: `spec.containers[0].image`,
//! `metadata.labels[app]`.

use std::fmt;

/// A path on the stack: each step borrows the one before it, so that walking
/// a valid object allocates nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    segment: Segment<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Segment<'a> {
    /// The object itself.
    Root,
    Field(&'a str),
    Index(usize),
    /// A key of a map.
    Key(&'a str),
}

impl<'a> Path<'a> {
    pub(super) const ROOT: Path<'static> = Path { parent: None, segment: Segment::Root };

    pub(super) fn child<'b>(&'b self, name: &'b str) -> Path<'b>
    where
        'a: 'b,
    {
        Path { parent: Some(self), segment: Segment::Field(name) }
    }

    pub(super) fn index<'b>(&'b self, index: usize) -> Path<'b>
    where
        'a: 'b,
    {
        Path { parent: Some(self), segment: Segment::Index(index) }
    }

    pub(super) fn key<'b>(&'b self, key: &'b str) -> Path<'b>
    where
        'a: 'b,
    {
        Path { parent: Some(self), segment: Segment::Key(key) }
    }

    /// From the root down, without the root.
    pub(super) fn segments(&self) -> Vec<Segment<'a>> {
        let mut segments = Vec::new();
        let mut step = Some(self);
        while let Some(path) = step {
            if path.segment != Segment::Root {
                segments.push(path.segment);
            }
            step = path.parent;
        }
        segments.reverse();
        segments
    }

    /// Names only, joined by dots: how Go's JSON decoder prints a path.
    pub(super) fn names(&self) -> String {
        let names = self.segments().into_iter().filter_map(|segment| match segment {
            Segment::Field(name) => Some(name),
            _ => None,
        });
        names.collect::<Vec<_>>().join(".")
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let segments = self.segments();
        if segments.is_empty() {
            return f.write_str("[]");
        }
        for (position, segment) in segments.into_iter().enumerate() {
            match segment {
                Segment::Root => {}
                Segment::Field(name) if position == 0 => f.write_str(name)?,
                Segment::Field(name) => write!(f, ".{name}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) => write!(f, "[{key}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Path;

    #[test]
    fn paths_print_as_the_api_server_prints_them() {
        let containers = Path::ROOT.child("spec");
        let containers = containers.child("containers");
        let first = containers.index(0);
        assert_eq!(first.child("image").to_string(), "spec.containers[0].image");
        assert_eq!(first.child("limits").key("cpu").to_string(), "spec.containers[0].limits[cpu]");
        assert_eq!(first.child("image").names(), "spec.containers.image");
        assert_eq!(Path::ROOT.to_string(), "[]");
    }
}
