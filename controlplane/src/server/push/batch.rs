//! Many commands in one request: a batch, and the form that Centrifugo had before it had a path for each method.

use super::asking::Asking;
use super::fault::{Fault, METHOD_NOT_FOUND};
use super::fields::Fields;
use super::methods::{ANSWER_BYTES_MAX, Method};
use super::reply;
use crate::server::state::State;
use serde_json::value::RawValue;

/// Commands of one request.
const COMMANDS_MAX: usize = 1_000;

/// One after the other: asked for "parallel" too, which promises no order.
pub async fn run(state: &State, asking: &mut Asking<'_>, fields: &Fields<'_>) -> Result<String, Fault> {
    fields.flag("parallel")?;
    let commands: Vec<Fields<'_>> = fields
        .optional("commands", "a list of objects")?
        .ok_or_else(|| Fault::bad("bad request: commands is missing"))?;
    if commands.len() > COMMANDS_MAX {
        return Err(too_many());
    }
    let mut text = String::from(r#"{"replies":["#);
    for (index, command) in commands.iter().enumerate() {
        let said: Vec<_> = command.iter().collect();
        let (name, outcome) = match said[..] {
            [(name, params)] => (name, run_one(state, asking, name, Some(params), text.len()).await),
            _ => ("", Err(Fault::bad("bad request: a command is an object with one field, its method"))),
        };
        text.push_str(if index == 0 { "" } else { "," });
        match outcome {
            // `name` is one of ours, and so needs no escaping.
            Ok(result) => text.push_str(&format!(r#"{{"{name}":{result}}}"#)),
            Err(fault) => text.push_str(&fault.body().to_string()),
        }
    }
    text.push_str("]}");
    Ok(text)
}

/// A command of the old form.
pub struct Command<'a> {
    id: Option<u64>,
    method: String,
    params: Option<&'a RawValue>,
}

/// Reads them, one after the other.
pub fn commands(text: &str) -> Result<Vec<Command<'_>>, Fault> {
    let mut commands = Vec::new();
    for fields in serde_json::Deserializer::from_str(text).into_iter::<Fields<'_>>() {
        let fields =
            fields.map_err(|error| Fault::bad(format!("bad request: not a JSON object: {error}")))?;
        if commands.len() == COMMANDS_MAX {
            return Err(too_many());
        }
        commands.push(Command {
            id: fields.optional("id", "a number")?,
            method: fields.text("method")?.unwrap_or_default().into_owned(),
            params: fields.raw("params"),
        });
    }
    if commands.is_empty() {
        return Err(Fault::bad("bad request: there is no command"));
    }
    Ok(commands)
}

pub async fn run_commands(state: &State, asking: &mut Asking<'_>, commands: &[Command<'_>]) -> String {
    let mut text = String::new();
    for Command { id, method, params } in commands {
        let said = reply(&run_one(state, asking, method, *params, text.len()).await);
        let id = id.filter(|id| *id > 0).map(|id| format!(r#""id":{id},"#)).unwrap_or_default();
        text.push_str(if text.is_empty() { "{" } else { "\n{" });
        text.push_str(&id);
        text.push_str(said.get(1..).unwrap_or_default());
    }
    text
}

async fn run_one(
    state: &State,
    asking: &mut Asking<'_>,
    name: &str,
    params: Option<&RawValue>,
    answered_bytes: usize,
) -> Result<String, Fault> {
    let method = Method::named(name).ok_or_else(|| {
        Fault::new(
            METHOD_NOT_FOUND,
            format!("method not found: {name:.40?}"),
            "GET / lists what is served, as /api/METHOD",
        )
    })?;
    if answered_bytes > ANSWER_BYTES_MAX {
        let message = format!("limit exceeded: the answers before have more than {ANSWER_BYTES_MAX} bytes");
        return Err(Fault::too_much(message, "send fewer commands at once"));
    }
    let fields = Fields::of(params.map_or("", RawValue::get))?;
    method.run(state, asking, &fields).await
}

fn too_many() -> Fault {
    Fault::too_much(
        format!("limit exceeded: more than {COMMANDS_MAX} commands"),
        "send them in several requests",
    )
}
