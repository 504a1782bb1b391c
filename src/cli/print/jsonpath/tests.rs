use proptest::prelude::*;
use serde_json::json;

use super::*;

fn render(template: &str) -> Result<String, String> {
    let object = json!({
        "kind": "List",
        "items": [
            {"metadata": {"name": "a", "labels": {"app.io/x": "1"}}, "n": 1,
             "conds": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}]},
            {"metadata": {"name": "b"}, "n": 5, "conds": []},
        ],
    });
    let template = Template::parse(template).map_err(|e| e.to_string())?;
    template.render(&object)
}

#[test]
fn templates_print_what_kubectl_prints() {
    let table = [
        ("{.kind}", "List"),
        ("kind is {.kind}!", "kind is List!"),
        ("{$.kind}", "List"),
        ("{.items[*].metadata.name}", "a b"),
        ("{.items[0].metadata.name}", "a"),
        ("{.items[-1].metadata.name}", "b"),
        ("{.items[0:1].metadata.name}", "a"),
        ("{.items[0,1].n}", "1 5"),
        ("{.items[*]['n','missing']}", "1 5"),
        ("{.items[0].metadata.labels.app\\.io/x}", "1"),
        ("{.items[0].metadata.labels['app\\.io/x']}", "1"),
        ("{..name}", "a b"),
        ("{.missing}", ""),
        ("{.items[0].conds[?(@.type==\"Ready\")].status}", "True"),
        ("{.items[?(@.n>2)].metadata.name}", "b"),
        ("{.items[?(@.n>=1)].n}", "1 5"),
        ("{.items[?(@.metadata.labels)].metadata.name}", "a"),
        ("{range .items[*]}{.metadata.name}{\"\\t\"}{.n}{\"\\n\"}{end}", "a\t1\nb\t5\n"),
        (
            "{range .items[*]}{.metadata.name}:{range .conds[*]}{.type},{end};{end}",
            "a:Ready,Other,;b:;",
        ),
        ("{.items[1].metadata}", "{\"name\":\"b\"}"),
        ("{.items[0].conds[*].status}", "True False"),
        ("no braces", "no braces"),
    ];
    for (template, want) in table {
        assert_eq!(render(template).as_deref(), Ok(want), "{template}");
    }
}

#[test]
fn what_cannot_be_read_or_reached_is_named() {
    let table = [
        ("{.kind", "error parsing jsonpath {.kind, unclosed action"),
        ("{range .items[*]}x", "error parsing jsonpath {range .items[*]}x, unclosed range"),
        ("{end}", "error parsing jsonpath {end}, not in range, nothing to end"),
        ("{.items[x]}", "error parsing jsonpath {.items[x]}, invalid array index x"),
        ("{.items[7]}", "array index out of bounds: index 7, length 2"),
        ("{.items[-3]}", "array index out of bounds: index -3, length 2"),
        ("{.items[", "error parsing jsonpath {.items[, unterminated array"),
    ];
    for (template, want) in table {
        assert_eq!(render(template).unwrap_err(), want, "{template}");
    }
}

#[test]
fn short_forms_are_completed() {
    for text in ["metadata.name", ".metadata.name", "{.metadata.name}", "{metadata.name}"] {
        assert_eq!(relaxed(text), "{.metadata.name}", "{text}");
    }
}

proptest! {
    #[test]
    fn no_template_makes_reading_or_printing_panic(text in "[{}\\[\\].@?()='\"a0:*,\\\\-]{0,30}") {
        let _ = render(&text);
    }
}
