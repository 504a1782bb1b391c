//! Markdown.

use super::timing::Series;

/// The date, the kernel, the processors and the peers' versions.
pub fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|l| l.strip_prefix("model name")).unwrap_or("");
    let cores = cpu.lines().filter(|l| l.starts_with("processor")).count();
    let model = model.trim_start_matches([' ', '\t', ':']);
    let date = podrt::sys::clock::now().wall.to_string();
    let c_library = if cfg!(target_env = "musl") {
        "musl, static"
    } else {
        "glibc, static (not the measured build: musl is)"
    };
    let versions: Vec<String> =
        ["crun", "runc", "podman"].iter().filter_map(|p| version(p)).collect();
    format!(
        "{} · Linux {} · {cores} × {model} · podrt {} ({c_library}) · {}",
        &date[..10],
        kernel.trim(),
        env!("CARGO_PKG_VERSION"),
        versions.join(", ")
    )
}

fn version(program: &str) -> Option<String> {
    let output = std::process::Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next()?;
    let number = line.split_whitespace().find(|w| w.starts_with(|c: char| c.is_ascii_digit()))?;
    Some(format!("{program} {number}"))
}

/// One comparison: contenders in rows, steps in columns, the last the sum.
pub fn print(title: &str, steps: &[&str], rows: &[(String, Option<Vec<Series>>)], base: &str) {
    println!("### {title}\n\nmin / median, ms\n");
    println!("| | {} | ratio to {base} |", steps.join(" | "));
    println!("|---|{}---|", "---|".repeat(steps.len()));
    let sum_of = |series: &[Series]| series.last().map_or(0.0, Series::median_ms);
    let base_sum = rows
        .iter()
        .find(|(name, _)| name == base)
        .and_then(|(_, series)| series.as_deref().map(sum_of));
    for (name, series) in rows {
        let Some(series) = series else {
            println!("| {name} | {}not measured: not installed |", "| ".repeat(steps.len()));
            continue;
        };
        let cells: Vec<String> =
            series.iter().map(|s| format!("{:.2} / {:.2}", s.min_ms(), s.median_ms())).collect();
        let ratio =
            base_sum.map_or_else(|| "–".into(), |base| format!("{:.2}", sum_of(series) / base));
        println!("| {name} | {} | {ratio} |", cells.join(" | "));
    }
    println!();
}
