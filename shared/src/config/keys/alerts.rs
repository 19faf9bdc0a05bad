//! Keys of alerts.

use super::Reload::Live;
use super::{DAY, HOUR, Key, MINUTE, SECOND, WEEK, key};
use crate::config::alerts::rules::BUILT_IN;
use crate::config::kind::Kind;
use std::time::Duration;

/// Bytes of `alerts.instance`.
const INSTANCE_BYTES_MAX: usize = 256;

pub const KEYS: &[Key] = &[
    key(
        "alerts.rules",
        BUILT_IN,
        Live,
        Kind::AlertRules(|d, rules| d.config.alerts.rules = rules.into()),
        "What is watched. A list of one's own takes the place of all the built-in rules: copy those that are to stay. `[]`: nothing is watched. A rule that is changed keeps its alerts as they are, as long as their labels are the same.",
    ),
    key(
        "alerts.webhooks",
        "[]",
        Live,
        Kind::Webhooks(|d, webhooks| d.webhooks = webhooks),
        "Who is told by HTTP when alerts fire and when they are over, in the format of Alertmanager's webhooks.",
    ),
    key(
        "alerts.instance",
        r#""""#,
        Live,
        Kind::OptionalText {
            bytes_max: INSTANCE_BYTES_MAX,
            allowed: (|c| c.is_ascii_graphic(), "printable ASCII without spaces"),
            put: |d, instance| d.config.alerts.instance = instance.map(Into::into),
        },
        "What the label `instance` of every alert says. Left out: the host's name and the control port, e.g. `proxy1:9003`.",
    ),
    key(
        "alerts.group_wait",
        "10s",
        Live,
        Kind::Duration(Duration::ZERO..=HOUR, |d, time| d.config.alerts.group_wait = time),
        "How long the first alert of a rule waits for others of the same rule, so that they go in one message. One that is over by then is told to nobody.",
    ),
    key(
        "alerts.group_interval",
        "1m",
        Live,
        Kind::Duration(SECOND..=DAY, |d, time| d.config.alerts.group_interval = time),
        "How long after a message about a rule the next one follows, if it has something new to say.",
    ),
    key(
        "alerts.repeat_interval",
        "4h",
        Live,
        Kind::Duration(MINUTE..=WEEK, |d, time| d.config.alerts.repeat_interval = time),
        "How long after a message that arrived it is sent again while its alerts still fire.",
    ),
];
