//! The rules of an ACL: `socks5.acl`, and `acl` in the users file.

use super::fields::{Field, Fields, Shape, words};
use super::nets;
use super::place::Span;
use super::read::{self, Read, quote, wrong};
use super::suggest;
use super::value::Value;
use super::yaml::Node;
use super::{Action, Commands, Days, Destination, Rule, Via};
use crate::session::Command;
use std::sync::Arc;

/// Bytes of the name of an upstream proxy or a group of them.
pub const GROUP_BYTES_MAX: usize = 64;
/// What names of proxies and groups are made of: they are labels of metrics and words of logs.
pub const GROUP_CHARACTERS: (fn(char) -> bool, &str) =
    (|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'), "letters, digits, - _ and .");
/// What stands in the place of a group for "through none".
pub const DIRECT: &str = "direct";

const ACTIONS: [(&str, bool); 2] = [("allow", true), ("deny", false)];
pub const COMMANDS: [(&str, Command); 3] =
    [("connect", Command::Connect), ("bind", Command::Bind), ("udp_associate", Command::UdpAssociate)];
/// Monday first, as [`Days`] counts.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const MINUTES_PER_DAY: u16 = 24 * 60;

/// The fields of a rule.
pub static FIELDS: [Field; 9] = [
    field("action", true, Shape::Word(&words(&ACTIONS)), "What happens to a request that matches."),
    field("from", false, Shape::Texts("10.0.0.0/8"), "Client networks."),
    field(
        "to",
        false,
        Shape::Texts("example.org"),
        "Target networks and domains; a domain means itself and all below it. Networks are held against the very \
         address that is dialled.",
    ),
    field("ports", false, Shape::Ports, "Target ports and ranges of them, e.g. `[25, 6000-6063]`."),
    field("commands", false, Shape::Words(&words(&COMMANDS)), "What was asked for."),
    field(
        "days",
        false,
        Shape::Texts("mon-fri"),
        "Days of the week, local time: `mon` to `sun`, and ranges.",
    ),
    field(
        "hours",
        false,
        Shape::Text("08:00-18:00"),
        "Hours of the day, local time, the end excluded. `22:00-06:00` goes over midnight and belongs to the day it begins on.",
    ),
    field(
        "via",
        false,
        Shape::Text("exits"),
        "With `allow`: the group of `socks5.upstream.proxies` to go through, or `direct`. Left out: as \
         `socks5.upstream.default` says.",
    ),
    // Last, so that a user's own rules can do without it.
    field(
        "users",
        false,
        Shape::Texts("alice"),
        "Names of the users file, each of which must be there. Not in a user's own `acl`.",
    ),
];

const fn field(name: &'static str, required: bool, shape: Shape, doc: &'static str) -> Field {
    Field { name, shape, required, doc }
}

/// A rule, and where it says what other keys must agree with.
#[derive(Clone)]
pub struct WrittenRule {
    pub rule: Rule,
    pub via_span: Span,
    pub users_span: Span,
}

/// `socks5.acl`.
pub fn of_everybody(node: &Node) -> Read<Vec<WrittenRule>> {
    // Which groups there are is known once every layer has been read: the checks look.
    rules(node, "socks5", &FIELDS, None)
}

/// The `acl` of one user. `groups` are those that rules may go by, if that is clear.
pub fn of_user(node: &Node, name: &str, groups: Option<&[Arc<str>]>) -> Read<Vec<Rule>> {
    let written = rules(node, &format!("users[{name}]"), &FIELDS[..FIELDS.len() - 1], groups)?;
    Ok(written.into_iter().map(|written| written.rule).collect())
}

fn rules(
    node: &Node,
    owner: &str,
    known: &'static [Field],
    groups: Option<&[Arc<str>]>,
) -> Read<Vec<WrittenRule>> {
    let mut labels = (0..).map(|index| format!("{owner}.acl[{index}]"));
    read::list(node, |node| rule(node, known, groups, labels.next().unwrap_or_default()))
}

fn rule(
    node: &Node,
    known: &'static [Field],
    groups: Option<&[Arc<str>]>,
    label: String,
) -> Read<WrittenRule> {
    let mut fields = Fields::of(node, known)?;
    let allow = fields.required("action", |node| Ok(read::word(node, &ACTIONS)?.1));
    let from = fields.optional("from", |node| read::filled_list(node, nets::network));
    let users = fields.optional("users", |node| read::filled_list(node, |item| Ok(read::text(item)?.into())));
    let to = fields.optional("to", |node| read::filled_list(node, nets::destination));
    let ports =
        fields.optional("ports", |node| read::filled_list(node, |item| nets::ports(item, &(0..=u16::MAX))));
    let commands = fields.optional("commands", commands);
    let days = fields.optional("days", days);
    let hours = fields.optional("hours", hours);
    let via = fields.optional("via", |node| via(node, groups));
    if allow == Some(false) && fields.has("via") {
        fields.fault("via", "leads nowhere in a rule that denies: remove it, or write action: allow");
    }
    let (via_span, users_span) = (fields.span("via"), fields.span("users"));
    let rule = allow.map(|allow| Rule {
        label: label.into(),
        action: if allow { Action::Allow { via } } else { Action::Deny },
        from: from.unwrap_or_default(),
        users: users.unwrap_or_default(),
        to: to.unwrap_or_default(),
        ports: ports.unwrap_or_default(),
        commands,
        days: days.unwrap_or(Days::ALL),
        hours,
    });
    fields.end(rule.map(|rule| WrittenRule { rule, via_span, users_span }))
}

fn commands(node: &Node) -> Read<Commands> {
    let named = read::filled_list(node, |item| Ok(read::word(item, &COMMANDS)?.1))?;
    Ok(named.into_iter().fold(Commands::default(), Commands::with))
}

/// The name of a group, or of a proxy.
pub fn group(node: &Node) -> Read<Arc<str>> {
    match read::optional_text(node, GROUP_BYTES_MAX, GROUP_CHARACTERS)? {
        Some(name) => Ok(name.into()),
        None => wrong(node.span, "is empty: name a group, or remove it"),
    }
}

fn via(node: &Node, groups: Option<&[Arc<str>]>) -> Read<Via> {
    let group = group(node)?;
    if &*group == DIRECT {
        return Ok(Via::Direct);
    }
    match groups.and_then(|groups| no_such_group(&group, groups)) {
        Some(message) => wrong(node.span, message),
        None => Ok(Via::Group(group)),
    }
}

fn days(node: &Node) -> Read<Days> {
    let ranges = read::filled_list(node, day_range)?;
    Ok(Days(ranges.into_iter().fold(0, |all, days| all | days)))
}

/// `tue`, `mon-fri`, or over the week's end: `sat-mon`.
fn day_range(node: &Node) -> Read<u8> {
    let text = read::scalar(node, "a day such as mon")?;
    let number = |text: &str| DAYS.iter().position(|day| day.eq_ignore_ascii_case(text));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (Some(first), Some(last)) = (number(first), number(last)) else {
        let remedy = format!("is not a day: write one of {}, or a range such as mon-fri", DAYS.join(", "));
        return wrong(node.span, format!("{} {remedy}", quote(text)));
    };
    let length = (last + DAYS.len() - first) % DAYS.len();
    Ok((0..=length).fold(0, |days, step| days | 1 << ((first + step) % DAYS.len())))
}

/// `08:00-18:00`, in minutes of the day.
fn hours(node: &Node) -> Read<(u16, u16)> {
    let text = read::scalar(node, "hours such as 08:00-18:00")?;
    let minutes = text.split_once('-').and_then(|(from, to)| Some((minute(from)?, minute(to)?)));
    match minutes {
        Some((from, _)) if from == MINUTES_PER_DAY => {
            wrong(node.span, format!("{} begins at the day's end: write 00:00", quote(text)))
        }
        Some((from, to)) if from == to => {
            wrong(node.span, format!("{} holds no minute: leave hours out for the whole day", quote(text)))
        }
        Some(minutes) => Ok(minutes),
        None => wrong(
            node.span,
            format!("{} is not a span of hours: write for example 08:00-18:00 or 22:00-06:00", quote(text)),
        ),
    }
}

/// The minute of the day at `8:30`; `24:00` is its end.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let digits = |text: &str| !text.is_empty() && text.len() <= 2 && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(hours) || !digits(minutes) || minutes.len() != 2 {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    let minute = hours * 60 + minutes;
    (minutes < 60 && minute <= MINUTES_PER_DAY).then_some(minute)
}

/// What to say of a group that does not exist; `None` if it does.
pub fn no_such_group(group: &str, groups: &[Arc<str>]) -> Option<String> {
    if groups.iter().any(|known| **known == *group) {
        return None;
    }
    let names = groups.iter().map(|group| &**group);
    let remedy = match suggest::nearest(group, names) {
        Some(meant) => format!("did you mean {meant:?}?"),
        None => "give it proxies in socks5.upstream.proxies, or write direct".to_owned(),
    };
    Some(format!("no upstream proxy is in the group {}; {remedy}", quote(group)))
}

/// A rule as it would be written.
pub fn show(rule: &Rule) -> Value {
    let text = |text: &str| Value::Text(text.to_owned());
    let (action, via) = match &rule.action {
        Action::Deny => ("deny", None),
        Action::Allow { via: None } => ("allow", None),
        Action::Allow { via: Some(Via::Direct) } => ("allow", Some(text(DIRECT))),
        Action::Allow { via: Some(Via::Group(group)) } => ("allow", Some(text(group))),
    };
    let filled = |list: Value| if list == Value::List(Vec::new()) { None } else { Some(list) };
    let ports = rule.ports.iter().map(|ports| match (ports.start(), ports.end()) {
        (low, high) if low == high => Value::Number(u64::from(*low)),
        (low, high) => Value::Text(format!("{low}-{high}")),
    });
    let days = (rule.days != Days::ALL).then(|| {
        Value::texts((0..7).filter(|day| rule.days.contains(*day)).map(|day| DAYS[usize::from(day)]))
    });
    let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
    let fields = [
        ("action", Some(text(action))),
        ("from", filled(Value::texts(&rule.from))),
        ("users", filled(Value::texts(&rule.users))),
        ("to", filled(Value::texts(rule.to.iter().map(show_destination)))),
        ("ports", filled(Value::List(ports.collect()))),
        ("commands", rule.commands.map(show_commands)),
        ("days", days),
        ("hours", rule.hours.map(|(from, to)| Value::Text(format!("{}-{}", clock(from), clock(to))))),
        ("via", via),
    ];
    Value::Map(fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
}

pub fn show_destination(destination: &Destination) -> String {
    match destination {
        Destination::Network(network) => network.to_string(),
        Destination::Domain(domain) => domain.to_string(),
    }
}

fn show_commands(commands: Commands) -> Value {
    Value::texts(
        Command::ALL.iter().filter(|command| commands.contains(**command)).map(|command| command.label()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;

    fn read(text: &str) -> Result<Vec<Rule>, String> {
        let node = yaml::parse(text).unwrap();
        of_everybody(&node)
            .map(|rules| rules.into_iter().map(|written| written.rule).collect())
            .map_err(|wrongs| wrongs.iter().map(|w| format!("{}: {}\n", w.path, w.message)).collect())
    }

    fn one(text: &str) -> Rule {
        read(&format!("[{text}]")).unwrap().remove(0)
    }

    #[test]
    fn a_rule_with_every_criterion_is_read_and_shown_alike() {
        let text = r#"{action: allow, from: [192.0.2.0/24, "2001:db8::/32"], users: [alice], to: [10.0.0.0/8, Example.ORG.],
            ports: [25, 6000-6063], commands: [connect, bind], days: [mon, thu-sat], hours: "22:00-6:30", via: exits}"#;
        let rule = one(text);
        assert_eq!(&*rule.label, "socks5.acl[0]");
        assert_eq!(rule.hours, Some((1320, 390)));
        assert_eq!(rule.days, Days(0b0111001));
        assert_eq!(rule.ports, [25..=25, 6000..=6063]);
        assert_eq!(rule.to[1], Destination::Domain("example.org".into()));
        assert_eq!(one(&show(&rule).to_string()), rule);
    }

    #[test]
    fn a_rule_without_criteria_matches_everything() {
        let rule = one("{action: deny}");
        assert_eq!(show(&rule).to_string(), "{action: deny}");
        assert_eq!((rule.days, rule.hours, rule.commands), (Days::ALL, None, None));
    }

    #[test]
    fn days_go_over_the_week_and_hours_over_midnight() {
        for (days, bits) in [("[sat-mon]", 0b1100001), ("[MON]", 1), ("[mon-sun]", 0x7f), ("[sun]", 64)] {
            assert_eq!(one(&format!("{{action: deny, days: {days}}}")).days, Days(bits), "{days}");
        }
        for (hours, minutes) in
            [("00:00-24:00", (0, 1440)), ("22:00-06:00", (1320, 360)), ("8:05-9:00", (485, 540))]
        {
            assert_eq!(one(&format!("{{action: deny, hours: {hours}}}")).hours, Some(minutes), "{hours}");
        }
    }

    #[test]
    fn every_fault_of_every_rule_is_told_with_its_path() {
        let told = read(
            "[{to: [10.0.0.1/8, ok.example, '*.x']}, {action: dney, hours: 8-9, ports: [9-1]},\n\
             {action: deny, via: exits, from: [], user: [a]}, {action: deny, days: [monday], commands: [ping]},\n\
             {action: deny, action: allow}, deny, {action: deny, hours: '08:00-08:00'}, {action: deny, hours: '24:00-1:00'}]",
        )
        .unwrap_err();
        let expected = [
            "[0].action: is missing",
            "[0].to[0]: \"10.0.0.1/8\" has bits beyond its mask: write 10.0.0.0/8",
            "[0].to[2]: \"*.x\" needs no star",
            "[1].action: \"dney\" is not one of allow, deny; did you mean \"deny\"?",
            "[1].ports[0]: \"9-1\" begins above its end: write 1-9",
            "[1].hours: \"8-9\" is not a span of hours",
            "may stand here; did you mean \"users\"?",
            "[2].from: is an empty list: leave it out to match everything",
            "[2].via: leads nowhere in a rule that denies",
            "[3].commands[0]: \"ping\" is not one of",
            "[3].days[0]: \"monday\" is not a day",
            "[4].action: is set a second time",
            "[5]: must be a mapping with action",
            "[6].hours: \"08:00-08:00\" holds no minute",
            "[7].hours: \"24:00-1:00\" begins at the day's end",
        ];
        for line in expected {
            assert!(told.contains(line), "{line}\nis not in\n{told}");
        }
        assert_eq!(told.lines().count(), expected.len(), "{told}");
    }

    #[test]
    fn a_users_own_rules_name_no_users() {
        let node = yaml::parse("[{action: deny, users: [bob]}]").unwrap();
        assert!(of_user(&node, "alice", None).is_err());
        let node = yaml::parse("[{action: deny}]").unwrap();
        assert_eq!(&*of_user(&node, "alice", None).unwrap()[0].label, "users[alice].acl[0]");
    }
}
