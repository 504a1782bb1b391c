//! Events: counted, combined, and not listened to when there are too many.

use crate::lifecycle::events::EventLog;
use crate::model::event::{EventType, PodEvent};
use crate::model::{Now, Timestamp};

use super::sim::S;

fn note(log: &mut EventLog, reason: &str, message: &str, at_s: u64) -> bool {
    let event = PodEvent {
        r#type: EventType::Warning,
        reason: reason.into(),
        message: message.into(),
        field_path: None,
        count: 1,
        first_timestamp: Timestamp(at_s * S),
        last_timestamp: Timestamp(at_s * S),
    };
    log.record(event, Now { boot_ns: at_s * S, wall: Timestamp(at_s * S) })
}

#[test]
fn an_event_that_repeats_is_counted() {
    let mut log = EventLog::default();
    for at in [1, 5, 9] {
        note(&mut log, "BackOff", "again", at);
    }
    let [event] = log.events() else { panic!("one event, not {:?}", log.events()) };
    assert_eq!(event.count, 3);
    assert_eq!((event.first_timestamp, event.last_timestamp), (Timestamp(S), Timestamp(9 * S)));
}

#[test]
fn from_the_tenth_text_on_similar_events_are_combined() {
    let mut log = EventLog::default();
    for number in 1..=12 {
        note(&mut log, "Unhealthy", &format!("failure {number}"), number);
    }
    assert_eq!(log.events().len(), 10);
    let last = log.events().last().expect("there are some");
    assert_eq!(last.message, "(combined from similar events): failure 12");
    assert_eq!(last.count, 3);
    note(&mut log, "Unhealthy", "failure 13", 700);
    assert_eq!(log.events().last().map(|event| event.message.as_str()), Some("failure 13"));
}

#[test]
fn a_pod_may_tell_25_events_at_once_and_one_each_five_minutes() {
    let mut log = EventLog::default();
    let told: usize = (0..40).map(|_| usize::from(note(&mut log, "BackOff", "x", 1))).sum();
    assert_eq!(told, 25);
    assert!(!note(&mut log, "BackOff", "x", 300));
    assert!(note(&mut log, "BackOff", "x", 301));
    assert!(!note(&mut log, "BackOff", "x", 302));
}
