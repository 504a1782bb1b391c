//! Lines of resctrl's `schemata`: `L3:0=7ff;1=3f`, `MB:0=20;1=70`. Pure.

use super::error::Error;

/// What the three fields of a spec ask for, in the order of writing: `schemata`
/// comes last. A bandwidth in the cache's field counts only without one of its
/// own.
pub(super) fn lines(
    cache: Option<&str>,
    bandwidth: Option<&str>,
    all: &[String],
) -> Result<Vec<String>, Error> {
    let bandwidth = bandwidth.filter(|text| !text.is_empty());
    if let Some(text) = bandwidth
        && (!text.starts_with("MB:") || text.contains('\n'))
    {
        return Err(bad("linux.intelRdt.memBwSchema", text));
    }
    let cache = cache.unwrap_or_default().lines().map(str::trim).filter(|line| !line.is_empty());
    let cache = cache.filter(|line| bandwidth.is_none() || !line.starts_with("MB:"));
    let last = all.iter().flat_map(|text| text.lines()).filter(|line| !line.trim().is_empty());
    let lines: Vec<String> = cache.chain(bandwidth).chain(last).map(str::to_owned).collect();
    match lines.iter().find(|line| parse(line).is_none()) {
        None => Ok(lines),
        Some(line) => Err(bad("linux.intelRdt.schemata", line)),
    }
}

fn bad(setting: &'static str, value: &str) -> Error {
    Error::Value { setting, value: value.to_owned() }
}

/// A line's resource and its values by domain.
type Line<'a> = (&'a str, Vec<(&'a str, &'a str)>);

fn parse(line: &str) -> Option<Line<'_>> {
    let (resource, values) = line.trim().split_once(':')?;
    let value = |one: &'_ str| -> Option<(String, String)> {
        let (domain, value) = one.split_once('=')?;
        Some((domain.trim().to_owned(), value.trim().to_owned()))
    };
    // The shape is checked here; what the values mean is the kernel's.
    values.split(';').all(|one| value(one).is_some()).then_some(())?;
    let values = values.split(';').filter_map(|one| one.split_once('='));
    Some((resource.trim(), values.map(|(domain, value)| (domain.trim(), value.trim())).collect()))
}

/// The first of the lines wanted whose values are not those of `present`, the
/// content of a `schemata` file. Domains that are not named may be anything.
pub(super) fn difference<'a>(present: &str, wanted: &'a [String]) -> Option<&'a str> {
    let present: Vec<Line> = present.lines().filter_map(parse).collect();
    let matches = |line: &str| {
        let Some((resource, values)) = parse(line) else { return false };
        let Some((_, there)) = present.iter().find(|(name, _)| *name == resource) else {
            return false;
        };
        values.iter().all(|(domain, value)| {
            let same = |(at, is): &&(&str, &str)| at == domain && plain(is) == plain(value);
            there.iter().any(|one| same(&one))
        })
    };
    wanted.iter().map(String::as_str).find(|line| !matches(line))
}

/// A number of either base, in one spelling.
fn plain(value: &str) -> String {
    let value = value.to_ascii_lowercase();
    let digits = value.strip_prefix("0x").unwrap_or(&value).trim_start_matches('0');
    digits.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn the_fields_become_lines_in_the_order_of_the_specification() {
        let all = owned(&["L2:0=f", "MB:0=50"]);
        for (cache, bandwidth, all, wanted) in [
            (Some("L3:0=f"), None, &all[..0], &["L3:0=f"][..]),
            (Some("L3:0=f;1=f0\nMB:0=10"), Some("MB:0=20"), &[], &["L3:0=f;1=f0", "MB:0=20"]),
            (Some("L3:0=f\nMB:0=10"), None, &[], &["L3:0=f", "MB:0=10"]),
            (None, Some("MB:0=20"), &all, &["MB:0=20", "L2:0=f", "MB:0=50"]),
            (Some(""), Some(""), &[], &[]),
        ] {
            assert_eq!(lines(cache, bandwidth, all).unwrap(), wanted, "{cache:?} {bandwidth:?}");
        }
    }

    #[test]
    fn what_is_no_line_is_refused_by_its_field() {
        let error = |cache, bandwidth, all: &[&str]| {
            lines(cache, bandwidth, &owned(all)).unwrap_err().to_string()
        };
        assert!(error(None, Some("L3:0=f"), &[]).contains("memBwSchema"));
        assert!(error(None, Some("MB:0=1\nL3:0=f"), &[]).contains("memBwSchema"));
        assert!(error(Some("L3"), None, &[]).contains("schemata"));
        assert!(error(None, None, &["L3:0"]).contains("schemata"));
    }

    #[test]
    fn a_group_matches_when_all_that_is_named_is_equal() {
        let present = "    MB:0=100;1=100\n    L3:0=00f;1=7ff\n";
        let differs = |line: &str| difference(present, &owned(&[line])).is_some();
        for same in ["L3:0=f", "L3:1=7FF;0=0xf", "MB:1=100", "L3: 0 = f "] {
            assert!(!differs(same), "{same}");
        }
        for other in ["L3:0=1f", "L3:2=f", "L2:0=f", "MB:0=10"] {
            assert!(differs(other), "{other}");
        }
    }
}
