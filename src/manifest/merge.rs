//! What `apply` makes of a live object: the manifest of now wins, what only the
//! manifest of before had goes, everything else stays as it lives.

use serde_json::{Map, Value};

/// Merges `given` into `live`, knowing what was given the last time.
#[must_use]
pub fn three_way(last: Option<&Value>, given: &Value, live: &Value) -> Value {
    merge(&Place::default(), last, given, live)
}

/// Where a value stands, as far as lists care.
#[derive(Debug, Clone, Copy, Default)]
struct Place<'a> {
    field: &'a str,
}

fn merge(place: &Place<'_>, last: Option<&Value>, given: &Value, live: &Value) -> Value {
    match (given, live) {
        (Value::Object(given), Value::Object(live)) => {
            Value::Object(maps(last.and_then(Value::as_object), given, live))
        }
        (Value::Array(given), Value::Array(live)) => {
            let last = last.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            match key_of(place.field, given, live) {
                Some(key) => Value::Array(lists(place.field, key, last, given, live)),
                None => Value::Array(given.clone()),
            }
        }
        _ => given.clone(),
    }
}

fn maps(
    last: Option<&Map<String, Value>>,
    given: &Map<String, Value>,
    live: &Map<String, Value>,
) -> Map<String, Value> {
    let is_given = |field: &String| given.get(field).is_some_and(|value| !value.is_null());
    let was_given = |field: &String| last.is_some_and(|last| last.contains_key(field));
    let mut merged: Map<String, Value> = live
        .iter()
        .filter(|(field, _)| {
            // Null in a manifest asks for the field's removal.
            is_given(field) || !(was_given(field) || given.contains_key(*field))
        })
        .map(|(field, value)| (field.clone(), value.clone()))
        .collect();
    for (field, value) in given.iter().filter(|(field, _)| is_given(field)) {
        let last = last.and_then(|last| last.get(field));
        let live = live.get(field).unwrap_or(&Value::Null);
        merged.insert(field.clone(), merge(&Place { field }, last, value, live));
    }
    merged
}

/// Lists whose items have names: the order of `given`, then what lives besides.
fn lists(field: &str, key: &str, last: &[Value], given: &[Value], live: &[Value]) -> Vec<Value> {
    let find = |list: &[Value], item: &Value| list.iter().find(|i| i[key] == item[key]).cloned();
    let mut merged = Vec::new();
    for item in given {
        let mut new = match find(live, item) {
            Some(live) => merge(&Place::default(), find(last, item).as_ref(), item, &live),
            None => item.clone(),
        };
        // A volume has one source: the one it had before goes.
        if let (true, Some(fields), Some(wanted)) =
            (field == "volumes", new.as_object_mut(), item.as_object())
        {
            fields.retain(|field, _| wanted.contains_key(field));
        }
        merged.push(new);
    }
    let besides = live.iter().filter(|item| find(given, item).or(find(last, item)).is_none());
    merged.extend(besides.cloned());
    merged
}

/// What tells the items of a list apart (the API's patch merge keys); `None`
/// for a list that counts as one value.
fn key_of(field: &str, given: &[Value], live: &[Value]) -> Option<&'static str> {
    let key = match field {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "volumes"
        | "env"
        | "imagePullSecrets"
        | "resourceClaims" => "name",
        "volumeMounts" => "mountPath",
        "volumeDevices" => "devicePath",
        "hostAliases" => "ip",
        "topologySpreadConstraints" => "topologyKey",
        "ownerReferences" => "uid",
        "ports" if live.iter().chain(given).all(|p| p.get("containerPort").is_some()) => {
            "containerPort"
        }
        "ports" => "port",
        _ => return None,
    };
    let all = given.iter().chain(live).all(|item| item.get(key).is_some());
    all.then_some(key)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_given_wins_what_was_given_goes_and_the_rest_stays() {
        let last = json!({"metadata": {"labels": {"a": "1", "old": "x"}}, "data": {"k": "1"}});
        let given = json!({"metadata": {"labels": {"a": "2"}}, "data": {"k": "1", "new": "y"}});
        let live = json!({
            "metadata": {"labels": {"a": "1", "old": "x", "by-hand": "z"}, "uid": "u"},
            "data": {"k": "changed", "other": "o"},
        });
        assert_eq!(
            three_way(Some(&last), &given, &live),
            json!({
                "metadata": {"labels": {"a": "2", "by-hand": "z"}, "uid": "u"},
                "data": {"k": "1", "other": "o", "new": "y"},
            })
        );
    }

    #[test]
    fn items_with_names_are_merged_and_others_are_one_value() {
        let last = json!({"containers": [{"name": "a", "command": ["x"]}, {"name": "gone"}]});
        let given =
            json!({"containers": [{"name": "b", "image": "i"}, {"name": "a", "args": ["y"]}]});
        let live = json!({"containers": [
            {"name": "a", "command": ["x"], "args": ["old", "list"], "tty": false},
            {"name": "gone"}, {"name": "injected"},
        ]});
        assert_eq!(
            three_way(Some(&last), &given, &live)["containers"],
            json!([
                {"name": "b", "image": "i"},
                {"name": "a", "args": ["y"], "tty": false},
                {"name": "injected"},
            ])
        );
    }

    #[test]
    fn a_volume_keeps_only_its_new_source() {
        let given = json!({"volumes": [{"name": "v", "configMap": {"name": "c"}}]});
        let live = json!({"volumes": [{"name": "v", "emptyDir": {}}]});
        let merged = three_way(None, &given, &live);
        assert_eq!(merged, given);
    }

    #[test]
    fn null_removes_a_field() {
        let (given, live) = (json!({"a": null, "b": 1}), json!({"a": 1, "c": 2}));
        assert_eq!(three_way(None, &given, &live), json!({"b": 1, "c": 2}));
    }

    #[test]
    fn applying_what_lives_changes_nothing() {
        let live =
            json!({"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 1}]}]}});
        assert_eq!(three_way(Some(&live), &live, &live), live);
    }
}
