//! The part of `describe pod` that is about volumes.

use serde_json::Value;

use super::Page;

const COLUMN: usize = 12;

pub fn section(page: &mut Page, pod: &Value) {
    let volumes = pod["spec"]["volumes"].as_array().map_or(&[][..], Vec::as_slice);
    if volumes.is_empty() {
        page.line(0, "Volumes:  <none>");
        return;
    }
    page.line(0, "Volumes:");
    for volume in volumes {
        page.line(2, &format!("{}:", volume["name"].as_str().unwrap_or_default()));
        one(page, volume);
    }
}

fn one(page: &mut Page, volume: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut field = |name: &str, value: &str| page.field(4, COLUMN, name, value);
    let optional = |source: &Value| (source["optional"].as_bool() == Some(true)).to_string();
    if let Some(source) = volume.get("emptyDir") {
        field("Type", "EmptyDir (a temporary directory that shares a pod's lifetime)");
        field("Medium", &text(&source["medium"]));
        let limit = source["sizeLimit"].as_str().unwrap_or("<unset>");
        field("SizeLimit", limit);
    } else if let Some(source) = volume.get("hostPath") {
        field("Type", "HostPath (bare host directory volume)");
        field("Path", &text(&source["path"]));
        field("HostPathType", &text(&source["type"]));
    } else if let Some(source) = volume.get("configMap") {
        field("Type", "ConfigMap (a volume populated by a ConfigMap)");
        field("Name", &text(&source["name"]));
        field("Optional", &optional(source));
    } else if let Some(source) = volume.get("secret") {
        field("Type", "Secret (a volume populated by a Secret)");
        field("SecretName", &text(&source["secretName"]));
        field("Optional", &optional(source));
    } else if volume.get("downwardAPI").is_some() {
        field("Type", "DownwardAPI (a volume populated by information about the pod)");
    } else if volume.get("projected").is_some() {
        field("Type", "Projected (a volume that contains injected data from multiple sources)");
    } else if let Some(source) = volume.get("image") {
        field("Type", "Image (a container image or OCI artifact)");
        field("Reference", &text(&source["reference"]));
        field("PullPolicy", &text(&source["pullPolicy"]));
    } else if let Some(source) = volume.get("persistentVolumeClaim") {
        field(
            "Type",
            "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)",
        );
        field("ClaimName", &text(&source["claimName"]));
        field("ReadOnly", &(source["readOnly"].as_bool() == Some(true)).to_string());
    }
}
