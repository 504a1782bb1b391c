//! What a scope is asked for with.

use std::collections::BTreeMap;

use oci_spec::runtime::{LinuxCpu, LinuxMemory, LinuxResources};

use super::wire::Body;
use crate::cgroup::{Error, weight_of_shares};

/// A property of a unit, by systemd's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    pub(super) name: String,
    pub(super) value: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Boolean(bool),
    Text(String),
    Texts(Vec<String>),
    U32(u32),
    U64(u64),
    U32s(Vec<u32>),
    Bytes(Vec<u8>),
}

pub(super) fn property(name: &str, value: Value) -> Property {
    Property { name: name.to_owned(), value }
}

/// `a(sv)`.
pub(super) fn write(body: &mut Body, properties: &[Property]) {
    body.array(8, |body| {
        for property in properties {
            body.structure();
            body.text(&property.name);
            write_value(body, &property.value);
        }
    });
}

fn write_value(body: &mut Body, value: &Value) {
    match value {
        Value::Boolean(value) => {
            body.variant("b");
            body.boolean(*value);
        }
        Value::Text(text) => {
            body.variant("s");
            body.text(text);
        }
        Value::Texts(texts) => {
            body.variant("as");
            body.array(4, |body| texts.iter().for_each(|text| body.text(text)));
        }
        Value::U32(value) => {
            body.variant("u");
            body.u32(*value);
        }
        Value::U64(value) => {
            body.variant("t");
            body.u64(*value);
        }
        Value::U32s(values) => {
            body.variant("au");
            body.array(4, |body| values.iter().for_each(|value| body.u32(*value)));
        }
        Value::Bytes(bytes) => {
            body.variant("ay");
            body.array(1, |body| bytes.iter().for_each(|byte| body.byte(*byte)));
        }
    }
}

/// The limits, which systemd would else reset whenever it writes the unit's
/// settings anew. Those that have no property are only in the cgroup's files.
pub(super) fn limits(resources: &LinuxResources) -> Vec<Property> {
    let mut all = Vec::new();
    all.extend(resources.memory().as_ref().map(memory).unwrap_or_default());
    all.extend(resources.cpu().as_ref().map(cpu).unwrap_or_default());
    let pids = resources.pids().as_ref().map(oci_spec::runtime::LinuxPids::limit);
    all.extend(pids.filter(|limit| *limit != 0).map(|n| property("TasksMax", number(n))));
    all
}

/// Below zero is none.
fn number(value: i64) -> Value {
    Value::U64(u64::try_from(value).unwrap_or(u64::MAX))
}

fn memory(memory: &LinuxMemory) -> Vec<Property> {
    let given = |value: Option<i64>| value.filter(|value| *value != 0);
    let mut all = Vec::new();
    all.extend(given(memory.limit()).map(|limit| property("MemoryMax", number(limit))));
    all.extend(given(memory.reservation()).map(|low| property("MemoryLow", number(low))));
    let swap = match (given(memory.limit()), given(memory.swap())) {
        (_, Some(swap)) if swap < 0 => Some(-1),
        (Some(limit), Some(swap)) if limit > 0 && swap >= limit => Some(swap - limit),
        _ => None,
    };
    all.extend(swap.map(|swap| property("MemorySwapMax", number(swap))));
    all
}

fn cpu(cpu: &LinuxCpu) -> Vec<Property> {
    let mut all = Vec::new();
    let shares = cpu.shares().filter(|shares| *shares != 0);
    all.extend(shares.map(|n| property("CPUWeight", Value::U64(weight_of_shares(n)))));
    let period = cpu.period().filter(|period| *period != 0);
    all.extend(period.map(|period| property("CPUQuotaPeriodUSec", Value::U64(period))));
    if let Some(quota) = cpu.quota().filter(|quota| *quota != 0) {
        all.push(property("CPUQuotaPerSecUSec", Value::U64(per_second(quota, period))));
    }
    for (name, list) in [("AllowedCPUs", cpu.cpus()), ("AllowedMemoryNodes", cpu.mems())] {
        let bits = list.as_deref().filter(|list| !list.is_empty()).and_then(bits);
        all.extend(bits.map(|bits| property(name, Value::Bytes(bits))));
    }
    all
}

/// systemd keeps whole percents: rounded up, as runc does.
fn per_second(quota: i64, period: Option<u64>) -> u64 {
    const DEFAULT_PERIOD_US: u64 = 100_000;
    const PERCENT_US: u64 = 10_000;
    let Ok(quota) = u64::try_from(quota) else { return u64::MAX };
    let exact = quota.saturating_mul(1_000_000) / period.unwrap_or(DEFAULT_PERIOD_US);
    exact.next_multiple_of(PERCENT_US)
}

/// A list like `0-3,8` as a mask, the lowest byte first.
fn bits(list: &str) -> Option<Vec<u8>> {
    const MOST: usize = 8192;
    let mut bits = Vec::new();
    for part in list.split(',').map(str::trim) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        for bit in first..=last.min(MOST) {
            bits.resize(bits.len().max(bit / 8 + 1), 0);
            bits[bit / 8] |= 1 << (bit % 8);
        }
    }
    Some(bits)
}

/// `org.systemd.property.*`: a caller's own properties, in the text form of
/// GVariant. A name that ends in `Sec` counts in seconds.
///
/// # Errors
/// [`Error::Property`] for a value of another form.
pub fn from_annotations(annotations: &BTreeMap<String, String>) -> Result<Vec<Property>, Error> {
    let own = annotations.iter().filter_map(|(key, text)| {
        key.strip_prefix("org.systemd.property.").map(|name| (name, text))
    });
    own.map(|(name, text)| {
        let bad = || Error::Property { name: name.to_owned(), value: text.clone() };
        let value = value(text.trim()).ok_or_else(bad)?;
        match (name.strip_suffix("Sec"), &value) {
            (Some(stem), _) if stem.ends_with('U') => Ok(property(name, value)),
            (Some(stem), Value::U64(seconds)) => {
                let microseconds = seconds.saturating_mul(1_000_000);
                Ok(property(&format!("{stem}USec"), Value::U64(microseconds)))
            }
            (Some(_), _) => Err(bad()),
            (None, _) => Ok(property(name, value)),
        }
    })
    .collect()
}

fn value(text: &str) -> Option<Value> {
    if let Some(list) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let texts = list.split(',').map(|part| quoted(part.trim()));
        return texts.collect::<Option<_>>().map(Value::Texts);
    }
    match text.split_once(' ') {
        Some(("uint32", number)) => number.trim().parse().ok().map(Value::U32),
        Some(("uint64" | "int64" | "int32", number)) => number.trim().parse().ok().map(Value::U64),
        _ if text == "true" => Some(Value::Boolean(true)),
        _ if text == "false" => Some(Value::Boolean(false)),
        _ => quoted(text).map(Value::Text).or_else(|| text.parse().ok().map(Value::U64)),
    }
}

fn quoted(text: &str) -> Option<String> {
    let inside = ['\'', '"']
        .into_iter()
        .find_map(|mark| text.strip_prefix(mark).and_then(|rest| rest.strip_suffix(mark)))?;
    (!inside.contains(['\'', '"', '\\'])).then(|| inside.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn limits_become_the_properties_of_systemd() {
        let resources = serde_json::from_value(json!({
            "memory": {"limit": 100, "swap": 150, "reservation": 50},
            "cpu": {"shares": 1024, "quota": 55_555, "period": 100_000, "cpus": "0,9"},
            "pids": {"limit": -1},
        }))
        .unwrap();
        assert_eq!(
            limits(&resources),
            [
                property("MemoryMax", Value::U64(100)),
                property("MemoryLow", Value::U64(50)),
                property("MemorySwapMax", Value::U64(50)),
                property("CPUWeight", Value::U64(100)),
                property("CPUQuotaPeriodUSec", Value::U64(100_000)),
                property("CPUQuotaPerSecUSec", Value::U64(560_000)),
                property("AllowedCPUs", Value::Bytes(vec![1, 2])),
                property("TasksMax", Value::U64(u64::MAX)),
            ]
        );
    }

    #[test]
    fn annotations_become_properties_or_are_refused_by_name() {
        let read = |name: &str, text: &str| {
            let key = format!("org.systemd.property.{name}");
            from_annotations(&BTreeMap::from([(key, text.to_owned())]))
        };
        let one = |name: &str, value| Ok(vec![property(name, value)]);
        assert_eq!(
            read("CollectMode", "'inactive-or-failed'"),
            one("CollectMode", Value::Text("inactive-or-failed".to_owned()))
        );
        assert_eq!(read("TimeoutStopUSec", "uint64 5"), one("TimeoutStopUSec", Value::U64(5)));
        assert_eq!(read("TimeoutStopSec", "2"), one("TimeoutStopUSec", Value::U64(2_000_000)));
        assert_eq!(
            read("DefaultDependencies", "true"),
            one("DefaultDependencies", Value::Boolean(true))
        );
        let after = Value::Texts(vec!["a.service".to_owned(), "b.service".to_owned()]);
        assert_eq!(read("After", "['a.service', 'b.service']"), one("After", after));
        for bad in ["", "x", "{'a': 1}", "'it''s'"] {
            assert!(read("Name", bad).is_err(), "{bad}");
        }
        assert!(
            from_annotations(&BTreeMap::from([("other".to_owned(), "x".to_owned())]))
                .unwrap()
                .is_empty()
        );
    }
}
