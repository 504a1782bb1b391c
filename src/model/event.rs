//! The events a pod's user reads (`podrt events`, `describe`).

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// Normal or Warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventType {
    Normal,
    Warning,
}

/// One event, counted when it repeats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodEvent {
    pub r#type: EventType,
    pub reason: String,
    pub message: String,
    /// `spec.containers{NAME}` for a container's event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field_path: Option<String>,
    pub count: u32,
    pub first_timestamp: Timestamp,
    pub last_timestamp: Timestamp,
}
