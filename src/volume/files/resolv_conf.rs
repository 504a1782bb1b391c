//! `/etc/resolv.conf`: the machine's file and the pod's own settings, within
//! the limits the kubelet keeps.

use std::collections::BTreeSet;

use crate::model::plan::DnsPlan;

const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
const MAX_SEARCH_BYTES: usize = 2048;
/// glibc 2.28 aborts on a domain of more than 255; a DNS name has at most 253.
const MAX_DOMAIN_BYTES: usize = 253;

/// `/etc/resolv.conf` and what had to be left out of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolvConf {
    pub text: String,
    /// Messages for Warning events `DNSConfigForming`.
    pub warnings: Vec<String>,
}

#[derive(Default)]
struct Config {
    nameservers: Vec<String>,
    searches: Vec<String>,
    options: Vec<String>,
}

/// `/etc/resolv.conf`; `host_file` is the machine's own, which `dns` may start
/// from.
#[must_use]
pub fn resolv_conf(dns: &DnsPlan, host_file: &str) -> ResolvConf {
    let mut config = if dns.from_host { parse(host_file) } else { Config::default() };
    append(&mut config.nameservers, &dns.nameservers);
    append(&mut config.searches, &dns.searches);
    merge_options(&mut config.options, dns.options.iter().map(String::as_str));
    let mut warnings = Vec::new();
    warnings.extend(limit_nameservers(&mut config.nameservers));
    warnings.extend(limit_searches(&mut config.searches));
    ResolvConf { text: render(&config), warnings }
}

/// Nameservers add up, the last `search` line wins, options merge by name.
fn parse(file: &str) -> Config {
    let mut config = Config::default();
    for line in file.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let mut fields = line.split_ascii_whitespace();
        match fields.next() {
            Some("nameserver") => config.nameservers.extend(fields.next().map(str::to_owned)),
            Some("search") => {
                let domains = fields.map(|domain| domain.strip_suffix('.').unwrap_or(domain));
                config.searches = domains.filter(|d| !d.is_empty()).map(str::to_owned).collect();
            }
            Some("options") => merge_options(&mut config.options, fields),
            _ => {}
        }
    }
    config
}

/// Adds the pod's own entries; what is there already is not repeated.
fn append(entries: &mut Vec<String>, more: &[String]) {
    if more.is_empty() {
        return;
    }
    entries.extend(more.iter().cloned());
    let mut seen = BTreeSet::new();
    entries.retain(|entry| seen.insert(entry.clone()));
}

/// `name` or `name:value`; a later value of a name replaces the earlier one.
fn merge_options<'a>(options: &mut Vec<String>, more: impl Iterator<Item = &'a str>) {
    let name = |option: &str| option.split(':').next().unwrap_or_default().to_owned();
    for option in more {
        match options.iter_mut().find(|known| name(known) == name(option)) {
            Some(known) => option.clone_into(known),
            None => options.push(option.to_owned()),
        }
    }
}

fn limit_nameservers(nameservers: &mut Vec<String>) -> Option<String> {
    let over = nameservers.len() > MAX_NAMESERVERS;
    nameservers.truncate(MAX_NAMESERVERS);
    over.then(|| {
        format!(
            "Nameserver limits were exceeded, some nameservers have been omitted, \
             the applied nameserver line is: {}",
            nameservers.join(" ")
        )
    })
}

fn limit_searches(searches: &mut Vec<String>) -> Option<String> {
    let before = searches.len();
    searches.truncate(MAX_SEARCHES);
    searches.retain(|domain| domain.len() <= MAX_DOMAIN_BYTES);
    while searches.join(" ").len() > MAX_SEARCH_BYTES {
        searches.pop();
    }
    (searches.len() < before).then(|| {
        format!(
            "Search Line limits were exceeded, some search paths have been omitted, \
             the applied search line is: {}",
            searches.join(" ")
        )
    })
}

fn render(config: &Config) -> String {
    let mut text = String::new();
    let mut line = |key: &str, words: &[String]| {
        if !words.is_empty() {
            text.push_str(&format!("{key} {}\n", words.join(" ")));
        }
    };
    line("search", &config.searches);
    for nameserver in &config.nameservers {
        line("nameserver", std::slice::from_ref(nameserver));
    }
    line("options", &config.options);
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOST: &str = "# nameserver 9.9.9.9
nameserver 1.1.1.1
search old.example
 search example.com. . lan
nameserver 1.0.0.1
options ndots:2 rotate
options ndots:3
sortlist 1.2.3.4
";

    fn dns(from_host: bool, nameservers: &[&str], searches: &[&str], options: &[&str]) -> DnsPlan {
        let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        DnsPlan {
            from_host,
            cluster_dns_missing: false,
            nameservers: own(nameservers),
            searches: own(searches),
            options: own(options),
        }
    }

    #[test]
    fn the_machines_file_is_normalised() {
        assert_eq!(
            resolv_conf(&dns(true, &[], &[], &[]), HOST).text,
            "search example.com lan\nnameserver 1.1.1.1\nnameserver 1.0.0.1\n\
             options ndots:3 rotate\n"
        );
    }

    #[test]
    fn the_pods_settings_are_added_once_and_its_options_win() {
        let plan = dns(true, &["1.1.1.1", "8.8.8.8"], &["lan", "svc"], &["ndots:5", "debug"]);
        let made = resolv_conf(&plan, HOST);
        assert_eq!(
            made.text,
            "search example.com lan svc\nnameserver 1.1.1.1\nnameserver 1.0.0.1\n\
             nameserver 8.8.8.8\noptions ndots:5 rotate debug\n"
        );
        assert!(made.warnings.is_empty());
    }

    #[test]
    fn without_the_machines_file_only_the_pods_settings_count() {
        assert_eq!(
            resolv_conf(&dns(false, &["8.8.8.8"], &[], &[]), HOST).text,
            "nameserver 8.8.8.8\n"
        );
        assert_eq!(resolv_conf(&dns(false, &[], &[], &[]), HOST).text, "");
    }

    #[test]
    fn what_exceeds_the_limits_is_cut_and_told() {
        let made = resolv_conf(&dns(true, &["8.8.8.8", "8.8.4.4"], &[], &[]), HOST);
        assert_eq!(
            made.warnings,
            ["Nameserver limits were exceeded, some nameservers have been omitted, \
              the applied nameserver line is: 1.1.1.1 1.0.0.1 8.8.8.8"]
        );
        let many: Vec<String> = (0..33).map(|n| format!("d{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let made = resolv_conf(&dns(false, &[], &many, &[]), "");
        assert!(made.warnings[0].starts_with("Search Line limits were exceeded, some"));
        assert!(made.warnings[0].ends_with("d30 d31"));
        let long = "x".repeat(254);
        assert_eq!(resolv_conf(&dns(false, &[], &[&long, "a"], &[]), "").text, "search a\n");
    }

    proptest! {
        #[test]
        fn the_limits_hold_for_every_input(
            host in "((nameserver|search|options|#)?[ a-z.:0-9]{0,300}\n){0,20}",
            searches in proptest::collection::vec("[a-z.]{0,260}", 0..50),
        ) {
            let searches: Vec<&str> = searches.iter().map(String::as_str).collect();
            let text = resolv_conf(&dns(true, &[], &searches, &[]), &host).text;
            let count = |key: &str| text.lines().filter(|line| line.starts_with(key)).count();
            prop_assert!(count("nameserver ") <= MAX_NAMESERVERS);
            prop_assert!(count("search ") <= 1);
            let line = text.lines().find(|line| line.starts_with("search ")).unwrap_or_default();
            prop_assert!(line.len() <= MAX_SEARCH_BYTES + "search ".len());
        }
    }
}
