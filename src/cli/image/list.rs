//! `image list` and `image inspect`.

use serde_json::{Value, json};

use super::args::ListArgs;
use super::verbs::{failed, parse_name};
use crate::cli::error::CliError;
use crate::cli::print::{Output, Table, output};
use crate::image::{Listed, NameRecord, Reference, Store};
use crate::lifecycle::columns::human_duration;
use crate::model::Timestamp;

/// One line of the table: an image under one of its names.
struct Row<'a> {
    listed: &'a Listed,
    name: Option<&'a NameRecord>,
}

pub(super) fn list(store: &Store, args: &ListArgs, now: Timestamp) -> Result<String, CliError> {
    let format = Output::parse(&args.output)?;
    let images = store.list().map_err(|error| failed(&error))?;
    let filter = args.name.as_deref().map(Filter::new).transpose()?;
    let rows: Vec<Row<'_>> = images
        .iter()
        .flat_map(|listed| {
            let named = listed.names.iter().map(move |name| Row { listed, name: Some(name) });
            let nameless = listed.names.is_empty().then_some(Row { listed, name: None });
            named.chain(nameless)
        })
        .filter(|row| filter.as_ref().is_none_or(|filter| filter.takes(row.name)))
        .collect();
    if args.quiet {
        return Ok(ids(&rows, args.no_trunc));
    }
    let values = || Value::Array(images_of(&rows).map(summary).collect());
    Ok(match &format {
        Output::Json => output::to_json(&values()),
        Output::Yaml => output::to_yaml(&values()),
        Output::Name => rows.iter().map(|row| format!("{}\n", full_name(row))).collect(),
        Output::Table | Output::Wide => table(&rows, args, format == Output::Wide, now),
        template => {
            let images = images_of(&rows).map(summary).collect();
            return template.objects(images, false, true);
        }
    })
}

pub(super) fn inspect(store: &Store, images: &[String]) -> Result<String, CliError> {
    let find = |text: &String| store.find_listed(text).map_err(|error| failed(&error));
    let found = images.iter().map(find).collect::<Result<Vec<_>, _>>()?;
    Ok(output::to_json(&found.iter().map(details).collect()))
}

/// A repository, or one name of it.
struct Filter {
    name: Reference,
    whole_repository: bool,
}

impl Filter {
    fn new(text: &str) -> Result<Self, CliError> {
        let name = parse_name(text)?;
        let last = text.rsplit('/').next().unwrap_or_default();
        Ok(Self { whole_repository: !last.contains([':', '@']), name })
    }

    fn takes(&self, name: Option<&NameRecord>) -> bool {
        name.is_some_and(|record| {
            let other = &record.name;
            if self.whole_repository {
                other.repository() == self.name.repository()
            } else {
                *other == self.name
            }
        })
    }
}

fn images_of<'a>(rows: &'a [Row<'a>]) -> impl Iterator<Item = &'a Listed> {
    let mut before = None;
    rows.iter()
        .map(|row| row.listed)
        .filter(move |listed| before.replace(listed.record.id) != Some(listed.record.id))
}

fn ids(rows: &[Row<'_>], whole: bool) -> String {
    let id = |listed: &Listed| match whole {
        true => format!("{}\n", listed.record.id),
        false => format!("{}\n", listed.record.id.short()),
    };
    images_of(rows).map(id).collect()
}

fn full_name(row: &Row<'_>) -> String {
    row.name.map_or_else(|| row.listed.record.id.to_string(), |name| name.name.to_string())
}

fn table(rows: &[Row<'_>], args: &ListArgs, wide: bool, now: Timestamp) -> String {
    let mut heading = vec!["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"];
    if wide {
        heading.extend(["DIGEST", "LAYERS"]);
    }
    let mut table = Table::new(&heading);
    for row in rows {
        let record = &row.listed.record;
        let (repository, tag) = match row.name {
            Some(name) => (name.name.familiar_repository(), name.name.tag().unwrap_or("<none>")),
            None => ("<none>".to_owned(), "<none>"),
        };
        let id = if args.no_trunc { record.id.to_string() } else { record.id.short() };
        let created = age(record.created.as_deref(), now);
        let mut cells = vec![repository, tag.to_owned(), id, created, size(record.size_bytes())];
        if wide {
            let manifest = row.name.map_or(record.manifest, |name| name.manifest);
            cells.extend([manifest.to_string(), record.layers.len().to_string()]);
        }
        table.row(cells);
    }
    let text = table.render();
    if args.no_headers {
        text.lines().skip(1).map(|line| format!("{line}\n")).collect()
    } else {
        text
    }
}

fn age(created: Option<&str>, now: Timestamp) -> String {
    created
        .and_then(Timestamp::parse_rfc3339)
        .map_or_else(|| "N/A".to_owned(), |time| human_duration(now.since(time)) + " ago")
}

/// Four digits and a decimal unit, as docker prints sizes: `4.26MB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let (mut whole, mut unit) = (u128::from(bytes) * 1000, 0);
    while whole >= 1_000_000 && unit + 1 < UNITS.len() {
        (whole, unit) = (whole / 1000, unit + 1);
    }
    let digits = match whole {
        0..10_000 => 2,
        10_000..100_000 => 1,
        _ => 0,
    };
    let text = format!("{}.{:03}", whole / 1000, whole % 1000);
    let kept = &text[..text.len() - 3 + digits];
    let kept = if kept.contains('.') { kept.trim_end_matches('0') } else { kept };
    format!("{}{}", kept.trim_end_matches('.'), UNITS[unit])
}

fn summary(listed: &Listed) -> Value {
    let record = &listed.record;
    json!({
        "id": record.id,
        "names": listed.names.iter().map(|name| name.name.to_string()).collect::<Vec<_>>(),
        "digests": digests(listed),
        "created": record.created,
        "sizeBytes": record.size_bytes(),
    })
}

/// The fields that `docker image inspect` has, as far as an image has them.
fn details(listed: &Listed) -> Value {
    let record = &listed.record;
    let tags = listed.names.iter().filter(|name| name.name.tag().is_some());
    let empty = |keys: &[String]| -> Value {
        keys.iter().map(|key| (key.clone(), json!({}))).collect::<serde_json::Map<_, _>>().into()
    };
    json!({
        "Id": record.id,
        "RepoTags": tags.map(|name| name.name.familiar()).collect::<Vec<_>>(),
        "RepoDigests": digests(listed),
        "Created": record.created,
        "Architecture": record.architecture,
        "Os": record.os,
        "Size": record.size_bytes(),
        "Config": {
            "Entrypoint": record.config.entrypoint,
            "Cmd": record.config.cmd,
            "Env": record.config.env,
            "User": record.config.user,
            "WorkingDir": record.config.working_dir,
            "StopSignal": record.config.stop_signal.map(|signal| signal.to_string()),
            "Volumes": empty(&record.config.volumes),
            "ExposedPorts": empty(&record.config.exposed_ports),
            "Labels": record.config.labels,
        },
        "RootFS": {
            "Type": "layers",
            "Layers": record.layers.iter().map(|layer| layer.diff_id).collect::<Vec<_>>(),
        },
    })
}

fn digests(listed: &Listed) -> Vec<String> {
    let pinned = |name: &NameRecord| name.name.with_digest(name.manifest).familiar();
    let mut digests: Vec<String> = listed.names.iter().map(pinned).collect();
    digests.sort();
    digests.dedup();
    digests
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_docker_prints_them() {
        let table = [
            (0, "0B"),
            (999, "999B"),
            (1000, "1kB"),
            (4_261_550, "4.26MB"),
            (16_499_999, "16.4MB"),
            (120_000_000, "120MB"),
            (1_234_567_890, "1.23GB"),
        ];
        for (bytes, want) in table {
            assert_eq!(size(bytes), want, "{bytes}");
        }
        assert!(size(u64::MAX).ends_with("PB"));
    }
}
