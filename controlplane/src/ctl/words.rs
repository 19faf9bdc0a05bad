//! From the command line to a request: clap's commands are made from [`VERBS`] and the routes that they are for.

use super::fields::{Field, fields_of};
use super::verbs::{GROUPS, Show, VERBS, Verb, parameters};
use crate::server::Route;
use clap::builder::PossibleValuesParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command, Error, FromArgMatches, Subcommand, value_parser};
use serde_json::{Map, Value as Json};
use std::path::PathBuf;

/// A request to be made, and what becomes of its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub if_match: Option<String>,
    pub body: Option<String>,
    pub show: Show,
    /// Only what holds this text is shown.
    pub filter: Option<String>,
    /// Where the answer goes, instead of standard output.
    pub output: Option<PathBuf>,
}

const FILTER: &str = "FILTER";
const OUTPUT: &str = "OUTPUT";
const IF_MATCH: &str = "IF-MATCH";
const PATH: &str = "PATH";
const BODY: &str = "BODY";
/// For what has no command of its own.
const PLAIN: &[&str] = &["get", "post", "put", "delete"];

impl Subcommand for Call {
    fn augment_subcommands(command: Command) -> Command {
        let served: Vec<&Verb> = VERBS.iter().filter(|verb| !verb.routes().is_empty()).collect();
        let mut command = command.subcommand_required(true).arg_required_else_help(true);
        let mut done: Vec<&str> = Vec::new();
        for verb in &served {
            let first = verb.words.split(' ').next().unwrap_or_default();
            if !done.contains(&first) {
                done.push(first);
                command = command.subcommand(group(first, &served));
            }
        }
        PLAIN.iter().fold(command, |command, method| command.subcommand(plain(method)))
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        PLAIN.contains(&name) || VERBS.iter().any(|verb| verb.words.split(' ').next() == Some(name))
    }
}

/// The command of this name, with those below it.
fn group(name: &'static str, served: &[&'static Verb]) -> Command {
    let itself = served.iter().find(|verb| verb.words == name);
    let mut command = match itself {
        Some(verb) => arguments(Command::new(name), verb),
        None => {
            let about = GROUPS.iter().find(|(group, _)| *group == name).map_or("", |(_, about)| about);
            Command::new(name).about(about).subcommand_required(true).arg_required_else_help(true)
        }
    };
    for verb in served {
        if let Some(second) = verb.words.strip_prefix(name).and_then(|rest| rest.strip_prefix(' ')) {
            command = command.subcommand(arguments(Command::new(second), verb));
        }
    }
    command
}

/// A request that is written out.
fn plain(method: &'static str) -> Command {
    let command = Command::new(method)
        .about(format!("{} PATH, whatever that is", method.to_uppercase()))
        .arg(Arg::new(PATH).required(true).help("The path and the query, e.g. /stats."))
        .arg(output());
    if method == "get" || method == "delete" {
        return command;
    }
    command
        .arg(Arg::new(BODY).help("The body, JSON; - reads it from standard input."))
        .arg(Arg::new(IF_MATCH).long("if-match").value_name("ETAG").help("The ETag that must be in force."))
}

fn output() -> Arg {
    Arg::new(OUTPUT)
        .long("output")
        .short('o')
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("Writes the answer to a file.")
}

fn about(verb: &Verb, route: &Route) -> &'static str {
    let about = if verb.about.is_empty() { route.summary } else { verb.about };
    // As clap writes those that are derived.
    about.trim_end_matches('.')
}

/// What a verb's routes take, as arguments.
fn arguments(command: Command, verb: &Verb) -> Command {
    let routes = verb.routes();
    let Some(route) = routes.first() else { return command };
    let mut command = command.about(about(verb, route));
    for input in inputs(verb, &routes) {
        command = command.arg(argument(verb, &input));
    }
    if answers(&routes, 412) {
        command =
            command.arg(Arg::new(IF_MATCH).long("if-match").value_name("ETAG").help(
                "The ETag of the configuration that must be in force: `ringway ctl generations` has it.",
            ));
    }
    if matches!(verb.show, Show::Samples | Show::Named) {
        command = command.arg(Arg::new(FILTER).help("Shows only what has this in its name."));
    }
    command.arg(output())
}

fn answers(routes: &[&Route], status: u16) -> bool {
    routes.iter().any(|route| route.answers.iter().any(|said| said.status == status))
}

/// A parameter of a route, or a field of its body.
struct Input {
    field: Field,
    in_path: bool,
    /// Whether it can be left out.
    is_optional: bool,
}

/// What a verb's routes take, each name once: what stands in the path, then what is given by its place, then the others.
fn inputs(verb: &Verb, routes: &[&'static Route]) -> Vec<Input> {
    let mut found: Vec<Input> = Vec::new();
    let parameters = parameters(routes).into_iter().map(|(known, in_path)| {
        let schema = serde_json::from_str(known.schema).unwrap_or_default();
        let (name, summary) = (known.name.to_owned(), known.summary.to_owned());
        let field = Field { name, schema, summary, required: in_path };
        Input { field, in_path, is_optional: !in_path || verb.without.is_some() }
    });
    let fields = routes.iter().filter_map(|route| fields_of(route)).flatten();
    let fields = fields.map(|field| Input { is_optional: !field.required, field, in_path: false });
    for input in parameters.chain(fields) {
        if !found.iter().any(|other| other.field.name == input.field.name) {
            found.push(input);
        }
    }
    found.sort_by_key(|input| {
        let place = verb.placed.iter().position(|name| *name == input.field.name);
        (!input.in_path, place.unwrap_or(verb.placed.len()))
    });
    found
}

/// What clap knows an input by: the options of `ringway ctl` itself, such as `--key`, have names as well.
fn id(name: &str) -> String {
    format!("input.{name}")
}

fn argument(verb: &Verb, input: &Input) -> Arg {
    let field = &input.field;
    let name = field.name.replace('_', "-");
    let has_place = input.in_path || verb.placed.contains(&field.name.as_str());
    let mut arg = Arg::new(id(&field.name)).help(field.summary.clone()).required(!input.is_optional);
    if !has_place {
        arg = arg.long(name.clone());
    }
    if field.is_flag() {
        return arg.action(ArgAction::SetTrue);
    }
    let shown = if field.is_map() { "NAME=VALUE".to_owned() } else { name.to_uppercase() };
    arg = arg.value_name(shown).allow_hyphen_values(field.may_begin_with_hyphen());
    if field.is_list() || field.is_map() {
        arg = arg.action(ArgAction::Append);
        // An option is repeated: else it would take what is given by its place.
        arg = if has_place { arg.num_args(1..) } else { arg };
    }
    match field.words() {
        Some(words) => arg.value_parser(PossibleValuesParser::new(words)),
        None => arg,
    }
}

impl FromArgMatches for Call {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let missing = || Error::raw(ErrorKind::MissingSubcommand, "say what to do; --help lists it\n");
        let (first, matches) = matches.subcommand().ok_or_else(missing)?;
        if PLAIN.contains(&first) {
            return written_out(first, matches);
        }
        let (words, matches) = match matches.subcommand() {
            Some((second, below)) => (format!("{first} {second}"), below),
            None => (first.to_owned(), matches),
        };
        let verb = VERBS.iter().find(|verb| verb.words == words).ok_or_else(missing)?;
        call(verb, matches)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn written_out(method: &str, matches: &ArgMatches) -> Result<Call, Error> {
    let path = matches.get_one::<String>(PATH).cloned().unwrap_or_default();
    if !path.starts_with('/') {
        return Err(Error::raw(ErrorKind::ValueValidation, format!("{path:?}: a path begins with /\n")));
    }
    let body = optional::<String>(matches, BODY).map(|text| super::fields::read_dash(&text)).transpose();
    Ok(Call {
        method: method.to_uppercase(),
        target: path,
        if_match: optional(matches, IF_MATCH),
        body: body.map_err(|fault| Error::raw(ErrorKind::ValueValidation, fault))?,
        show: Show::Tables,
        filter: None,
        output: optional(matches, OUTPUT),
    })
}

/// An argument that this command may not have at all.
fn optional<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, id: &str) -> Option<T> {
    matches.try_get_one::<T>(id).ok().flatten().cloned()
}

fn call(verb: &Verb, matches: &ArgMatches) -> Result<Call, Error> {
    let routes = verb.routes();
    let said = Said(matches);
    let places_given = |route: &&&Route| {
        let mut places = route.parameters.iter().filter(|known| route.is_in_path(known.name));
        places.all(|known| said.is_given(known.name))
    };
    let route = routes.iter().find(places_given);
    let route = route.ok_or_else(|| Error::raw(ErrorKind::MissingRequiredArgument, "which one?\n"))?;
    let fields = fields_of(route).unwrap_or_default();
    for Input { field, .. } in inputs(verb, &routes) {
        let name = field.name.as_str();
        let belongs =
            route.parameters.iter().any(|own| own.name == name) || fields.iter().any(|own| own.name == name);
        if said.is_given(name) && !belongs {
            let message = format!("{} is not for {} {}\n", name.replace('_', "-"), route.method, route.path);
            return Err(Error::raw(ErrorKind::ArgumentConflict, message));
        }
    }
    let mut members = Map::new();
    for field in fields.iter().filter(|field| said.is_given(&field.name)) {
        let value = match said.texts(&field.name) {
            Some(texts) => {
                field.value(&texts).map_err(|fault| Error::raw(ErrorKind::ValueValidation, fault))?
            }
            None => Json::Bool(true),
        };
        members.insert(field.name.clone(), value);
    }
    Ok(Call {
        method: route.method.to_owned(),
        target: target(route, &said),
        if_match: optional(matches, IF_MATCH),
        body: route.body.map(|_| Json::Object(members).to_string()),
        show: verb.show,
        filter: optional(matches, FILTER),
        output: optional(matches, OUTPUT),
    })
}

/// What the command line says by name. A name that the command does not have is not given.
struct Said<'a>(&'a ArgMatches);

impl Said<'_> {
    fn texts(&self, name: &str) -> Option<Vec<String>> {
        let values = self.0.try_get_many::<String>(&id(name)).ok().flatten();
        values.map(|values| values.cloned().collect())
    }

    fn is_given(&self, name: &str) -> bool {
        let flag = self.0.try_get_one::<bool>(&id(name)).ok().flatten().copied();
        flag.unwrap_or(false) || self.texts(name).is_some()
    }
}

/// The path with what stands in it, and the query.
fn target(route: &Route, said: &Said<'_>) -> String {
    let mut path = route.path.to_owned();
    let mut query = form_urlencoded::Serializer::new(String::new());
    for known in route.parameters.iter().filter(|known| said.is_given(known.name)) {
        let texts = said.texts(known.name);
        if route.is_in_path(known.name) {
            path =
                path.replace(&format!("{{{}}}", known.name), &segment(&texts.unwrap_or_default().concat()));
        } else {
            query.append_pair(known.name, &texts.map_or_else(|| "1".to_owned(), |texts| texts.join(",")));
        }
    }
    let query = query.finish();
    if query.is_empty() { path } else { format!("{path}?{query}") }
}

/// One segment of a path: what is not plain is written as `%XX`.
fn segment(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests;
