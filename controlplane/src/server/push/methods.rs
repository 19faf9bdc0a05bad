//! What each method reads, asks and answers, in Centrifugo's shapes. A result is JSON text: data stands in it byte for
//! byte as it was published.

use super::Desk;
use super::asking::Asking;
use super::fault::{Fault, INTERNAL};
use super::fields::{self, Fields};
use crate::server::state::State;
use ringway_shared::closing::Closing;
use ringway_shared::push::{Answer, Ask, Info, Kept, Place, Present};
use ringway_shared::push::{DATA_NESTING_MAX, is_nested_deeper};
use ringway_shared::topic::Topic;
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

/// Bytes of one publication's data.
const DATA_BYTES_MAX: usize = 1 << 20;
/// Channels of one broadcast.
const CHANNELS_MAX: usize = 10_000;
/// Publications of one answer.
const HISTORY_MAX: u32 = 10_000;
/// Bytes of one answer, about.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Bytes of an idempotency key: what the hub keeps.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 128;
/// Clients that a disconnect may spare.
const SPARED_MAX: usize = 1_000;
/// What a close frame can say beside its code (RFC 6455 section 5.5).
const REASON_BYTES_MAX: usize = 123;
/// The close codes that are an application's (RFC 6455 section 7.4.2).
const CLOSE_CODES: std::ops::RangeInclusive<u16> = 3000..=4999;

/// What Centrifugo knows of a publication and ringway does not.
const UNSUPPORTED_PUBLICATION: &[&str] = &["b64data", "tags", "delta", "version", "version_epoch"];
/// The same of a subscription.
const UNSUPPORTED_SUBSCRIPTION: &[&str] =
    &["expire_at", "info", "b64info", "data", "b64data", "recover_since", "override", "session"];

/// One thing the publish API does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Publish,
    Broadcast,
    Subscribe,
    Unsubscribe,
    Disconnect,
    Presence,
    PresenceStats,
    History,
    HistoryRemove,
    Channels,
    Info,
}

/// Their names: in paths, in batches.
const NAMES: &[(&str, Method)] = &[
    ("publish", Method::Publish),
    ("broadcast", Method::Broadcast),
    ("subscribe", Method::Subscribe),
    ("unsubscribe", Method::Unsubscribe),
    ("disconnect", Method::Disconnect),
    ("presence", Method::Presence),
    ("presence_stats", Method::PresenceStats),
    ("history", Method::History),
    ("history_remove", Method::HistoryRemove),
    ("channels", Method::Channels),
    ("info", Method::Info),
];

impl Method {
    pub fn named(name: &str) -> Option<Method> {
        NAMES.iter().find(|(held, _)| *held == name).map(|(_, method)| *method)
    }

    /// Does it; the result is a JSON object.
    pub async fn run(
        self,
        state: &State,
        asking: &mut Asking<'_>,
        fields: &Fields<'_>,
    ) -> Result<String, Fault> {
        match self {
            Method::Publish => publish(asking, fields).await,
            Method::Broadcast => broadcast(asking, fields).await,
            Method::Subscribe => subscribe(asking, fields).await,
            Method::Unsubscribe => unsubscribe(asking, fields).await,
            Method::Disconnect => disconnect(asking, fields).await,
            Method::Presence => presence(asking, fields).await,
            Method::PresenceStats => presence_stats(asking, fields).await,
            Method::History => history(asking, fields).await,
            Method::HistoryRemove => history_remove(asking, fields).await,
            Method::Channels => channels(asking, fields).await,
            Method::Info => info(state, asking).await,
        }
    }
}

type Outcome = Result<String, Fault>;

/// What a publication says besides where it goes.
struct Letter {
    data: Arc<str>,
    skip_history: bool,
    idempotency_key: Option<Box<str>>,
}

impl Letter {
    fn read(fields: &Fields<'_>) -> Result<Letter, Fault> {
        fields.refuse(UNSUPPORTED_PUBLICATION)?;
        let data = fields
            .raw("data")
            .map(RawValue::get)
            .ok_or_else(|| Fault::bad("bad request: data is missing"))?;
        if data.len() > DATA_BYTES_MAX {
            let message = format!("limit exceeded: data has {} bytes, {DATA_BYTES_MAX} at most", data.len());
            return Err(Fault::too_much(message, "publish where the data is to be found instead"));
        }
        if is_nested_deeper(data, DATA_NESTING_MAX) {
            return Err(Fault::bad(format!("bad request: data is nested deeper than {DATA_NESTING_MAX}")));
        }
        Ok(Letter {
            data: data.into(),
            skip_history: fields.flag("skip_history")?,
            idempotency_key: fields.short_text("idempotency_key", IDEMPOTENCY_KEY_BYTES_MAX)?,
        })
    }

    fn to(&self, topic: Arc<str>) -> Ask {
        Ask::Publish {
            topic,
            data: self.data.clone(),
            skip_history: self.skip_history,
            idempotency_key: self.idempotency_key.clone(),
        }
    }
}

async fn publish(asking: &mut Asking<'_>, fields: &Fields<'_>) -> Outcome {
    let topic = fields.topic("channel")?;
    let letter = Letter::read(fields)?;
    published(asking.home(&topic, letter.to(topic.clone())).await?)
}

fn published(answer: Answer) -> Outcome {
    match answer {
        Answer::Published(Place { offset, epoch }) => {
            Ok(json!({"offset": offset, "epoch": &*epoch}).to_string())
        }
        _ => Err(unexpected()),
    }
}

/// One publication to many channels. What goes wrong with one is told in its place.
async fn broadcast(asking: &mut Asking<'_>, fields: &Fields<'_>) -> Outcome {
    let names: Vec<String> = fields
        .optional("channels", "a list of strings")?
        .ok_or_else(|| Fault::bad("bad request: channels is missing"))?;
    if names.is_empty() {
        return Err(Fault::bad("bad request: channels is empty"));
    }
    if names.len() > CHANNELS_MAX {
        let message = format!("limit exceeded: {} channels, {CHANNELS_MAX} at most", names.len());
        return Err(Fault::too_much(
            message,
            "send several broadcasts, or let clients subscribe to one channel",
        ));
    }
    let letter = Letter::read(fields)?;
    let topics: Vec<_> = names.iter().map(|name| fields::topic(name)).collect();
    let asks = topics.iter().flatten().map(|topic| (&**topic, letter.to(topic.clone())));
    let mut answers = asking.homes(asks).await.into_iter();
    let mut text = String::from(r#"{"responses":["#);
    for (index, topic) in topics.into_iter().enumerate() {
        let outcome =
            topic.and_then(|_| answers.next().unwrap_or_else(|| Err(unexpected())).and_then(published));
        let comma = if index == 0 { "" } else { "," };
        text.push_str(comma);
        text.push_str(&super::reply(&outcome));
    }
    text.push_str("]}");
    Ok(text)
}

async fn subscribe(asking: &mut Asking<'_>, fields: &Fields<'_>) -> Outcome {
    fields.refuse(UNSUPPORTED_SUBSCRIPTION)?;
    let ask = Ask::Subscribe { topic: fields.topic("channel")?, who: fields.who()? };
    done(asking.everybody(&ask).await?)
}

async fn unsubscribe(asking: &mut Asking<'_>, fields: &Fields<'_>) -> Outcome {
    fields.refuse(&["session"])?;
    let topic = match fields.text("channel")? {
        // As with Centrifugo: from all channels.
        None => None,
        Some(name) if name.is_empty() => None,
        Some(name) => Some(fields::topic(&name)?),
    };
    done(asking.everybody(&Ask::Unsubscribe { who: fields.who()?, topic }).await?)
}

async fn disconnect(asking: &mut Asking<'_>, fields: &Fields<'_>) -> Outcome {
    fields.refuse(&["session"])?;
    let who = fields.who()?;
    let spared: Vec<Box<str>> = fields.optional("whitelist", "a list of strings")?.unwrap_or_default();
    if spared.len() > SPARED_MAX {
        let message = format!("limit exceeded: whitelist holds {}, {SPARED_MAX} at most", spared.len());
        return Err(Fault::too_much(message, "disconnect single clients instead"));
    }
    let (code, reason) = farewell(fields)?;
    done(asking.everybody(&Ask::Disconnect { who, spared, code, reason }).await?)
}

/// What the close frame says. A code of 0 and an empty reason are those of one that nobody gave.
fn farewell(fields: &Fields<'_>) -> Result<(u16, Box<str>), Fault> {
    let said = fields.object("disconnect")?;
    let code = said.as_ref().map(|said| said.optional::<u64>("code", "a number")).transpose()?.flatten();
    let reason = said.map(|said| said.short_text("reason", REASON_BYTES_MAX)).transpose()?.flatten();
    let reason = reason.unwrap_or_else(|| Closing::Kicked.text().into());
    let code = match code.unwrap_or_default() {
        0 => Closing::Kicked.code(),
        code => u16::try_from(code).ok().filter(|code| CLOSE_CODES.contains(code)).ok_or_else(|| {
            let (low, high) = (CLOSE_CODES.start(), CLOSE_CODES.end());
            Fault::bad(format!("bad request: disconnect.code must be a number from {low} to {high}"))
        })?,
    };
    Ok((code, reason))
}

/// What is asked about a user is done where it has connections; having none is no fault.
fn done(answers: Vec<Answer>) -> Outcome {
    let all_done = answers.iter().all(|answer| matches!(answer, Answer::Done { .. }));
    if all_done { Ok("{}".to_owned()) } else { Err(unexpected()) }
}

async fn presence(asking: &mut Asking<'_>, fields: &Fields<'_>) -> Outcome {
    let topic = fields.topic("channel")?;
    let Answer::Presence(present) = asking.home(&topic, Ask::Presence { topic: topic.clone() }).await? else {
        return Err(unexpected());
    };
    let clients: Vec<String> = present.iter().map(client).collect();
    Ok(format!(r#"{{"presence":{{{}}}}}"#, clients.join(",")))
}

fn client(present: &Present) -> String {
    let (client, user) = (Json::from(&*present.client), Json::from(&*present.user));
    let info = present.info.as_deref().map(|info| format!(r#","conn_info":{info}"#)).unwrap_or_default();
    format!(r#"{client}:{{"client":{client},"user":{user}{info}}}"#)
}

async fn presence_stats(asking: &mut Asking<'_>, fields: &Fields<'_>) -> Outcome {
    let topic = fields.topic("channel")?;
    match asking.home(&topic, Ask::PresenceStats { topic: topic.clone() }).await? {
        Answer::PresenceStats { clients, users } => {
            Ok(json!({"num_clients": clients, "num_users": users}).to_string())
        }
        _ => Err(unexpected()),
    }
}

async fn history(asking: &mut Asking<'_>, fields: &Fields<'_>) -> Outcome {
    let topic = fields.topic("channel")?;
    // As with Centrifugo: 0 asks for the position alone, -1 for all there is.
    let limit = match fields.optional::<i64>("limit", "a whole number")?.unwrap_or_default() {
        // One too many shows that there are more.
        -1 => HISTORY_MAX + 1,
        limit if (0..=i64::from(HISTORY_MAX)).contains(&limit) => limit as u32,
        limit if limit < 0 => return Err(Fault::bad("bad request: limit must be -1, 0 or more")),
        limit => return Err(too_many_publications(&format!("limit is {limit}"))),
    };
    let since = fields.place("since")?;
    let reverse = fields.flag("reverse")?;
    let ask = Ask::History { topic: topic.clone(), since, limit: Some(limit), reverse };
    let Answer::History { publications, place } = asking.home(&topic, ask).await? else {
        return Err(unexpected());
    };
    let bytes: usize = publications.iter().map(|kept| kept.data.len()).sum();
    if publications.len() > HISTORY_MAX as usize || bytes > ANSWER_BYTES_MAX {
        return Err(too_many_publications("there are more"));
    }
    Ok(page(&publications, &place, bytes))
}

fn too_many_publications(what: &str) -> Fault {
    let message = format!(
        "limit exceeded: {what}, an answer has {HISTORY_MAX} publications and {ANSWER_BYTES_MAX} bytes at most"
    );
    Fault::too_much(
        message,
        "set `limit`, and go on with `since`: the last publication's offset, and the epoch",
    )
}

fn page(publications: &[Kept], place: &Place, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 40 * publications.len() + 100);
    text.push_str(r#"{"publications":["#);
    for (index, Kept { offset, data }) in publications.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(text, r#"{comma}{{"data":{data},"offset":{offset}}}"#);
    }
    let _ = write!(text, r#"],"offset":{},"epoch":{}}}"#, place.offset, Json::from(&*place.epoch));
    text
}

async fn history_remove(asking: &mut Asking<'_>, fields: &Fields<'_>) -> Outcome {
    let topic = fields.topic("channel")?;
    match asking.home(&topic, Ask::HistoryRemove { topic: topic.clone() }).await? {
        Answer::HistoryRemoved => Ok("{}".to_owned()),
        _ => Err(unexpected()),
    }
}

async fn channels(asking: &mut Asking<'_>, fields: &Fields<'_>) -> Outcome {
    let pattern = fields.text("pattern")?.filter(|pattern| !pattern.is_empty());
    let pattern = pattern.map(|pattern| channel_pattern(&pattern)).transpose()?;
    let mut all: BTreeMap<Arc<str>, u32> = BTreeMap::new();
    for answer in asking.everybody(&Ask::Channels { pattern }).await? {
        let Answer::Channels(channels) = answer else { return Err(unexpected()) };
        channels.into_iter().for_each(|(name, clients)| *all.entry(name).or_default() += clients);
    }
    let entry = |(name, clients): (&Arc<str>, &u32)| {
        format!(r#"{}:{{"num_clients":{clients}}}"#, Json::from(&**name))
    };
    let entries: Vec<String> = all.iter().map(entry).collect();
    Ok(format!(r#"{{"channels":{{{}}}}}"#, entries.join(",")))
}

/// A channel, or a pattern as clients subscribe to.
fn channel_pattern(pattern: &str) -> Result<Arc<str>, Fault> {
    let topic = Topic::parse(pattern);
    topic
        .map(|topic| topic.name().into())
        .map_err(|fault| Fault::bad(format!("bad request: pattern {}", fault.text())))
}

/// All workers are one node.
async fn info(state: &State, asking: &mut Asking<'_>) -> Outcome {
    let mut total = Info::default();
    for answer in asking.everybody(&Ask::Info).await? {
        let Answer::Info(Info { clients, topics, subscriptions }) = answer else { return Err(unexpected()) };
        total.clients += clients;
        total.topics += topics;
        total.subscriptions += subscriptions;
    }
    let Desk { uid, node, .. } = &state.push;
    let node = json!({
        "uid": uid,
        "name": node,
        "version": state.facts.version,
        "num_clients": total.clients,
        "num_users": (state.staff.online_users)(),
        "num_channels": total.topics,
        "num_subs": total.subscriptions,
        "uptime": state.snapshot().uptime.as_secs(),
    });
    Ok(json!({"nodes": [node]}).to_string())
}

fn unexpected() -> Fault {
    Fault::new(INTERNAL, "internal server error: a worker answered something else", "please report it")
}
