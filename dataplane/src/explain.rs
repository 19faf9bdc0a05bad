//! What policy would say of a connection, and why: `ringway acl test`. Asks what `io/route.rs` asks, in its order, and
//! dials nothing.

use crate::io::local_time::LocalClock;
use crate::io::own::Own;
use crate::policy::acl::{Acl, Case, Match, Ruling};
use crate::policy::targets::{Facts, Targets, Verdict, classify};
use crate::policy::upstreams;
use ringway_shared::config::{Action, Config, Rule, User, UserUdp, Via};
use ringway_shared::session::{Command, Host, Target};
use std::net::{IpAddr, SocketAddr};

pub use crate::policy::acl::LocalTime;
pub use crate::proto::host::read as read_host;

/// A connection somebody might ask for.
pub struct Question {
    pub client: IpAddr,
    pub user: Option<String>,
    pub command: Command,
    pub target: Target,
    /// What the target's name is taken to mean.
    pub address: Option<IpAddr>,
    /// `None`: now.
    pub at: Option<LocalTime>,
}

/// The answer, and how it came about.
pub struct Explanation {
    /// What was asked in turn, each with what came of it.
    pub steps: Vec<Step>,
    pub answer: Answer,
}

pub struct Step {
    pub asked: String,
    pub found: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Allow(Via),
    Deny,
    /// It hangs on the address that the name has.
    Open,
}

/// Answers a question. Errors: there is no such user, or none is named where nobody else is served.
pub fn explain(config: &Config, question: &Question) -> Result<Explanation, String> {
    let socks5 = &config.socks5;
    if question.user.is_none() && socks5.users.is_some() {
        return Err(
            "with socks5.auth: password nobody is served without a name: say with --user whose".into()
        );
    }
    let user = question.user.as_ref().map(|name| user_named(config, name)).transpose()?;
    let case = Case {
        client: question.client,
        user: user.map(|user| &*user.name),
        command: question.command,
        host: Some(&question.target.host),
        port: question.target.port,
        address: None,
        at: question.at.unwrap_or_else(|| LocalClock::system().now()),
    };
    let acl = Acl::new(socks5.acl.clone(), socks5.upstream.default.clone());
    let inquiry = Inquiry { config, user, acl, case, steps: Vec::new() };
    Ok(inquiry.hold(question.address))
}

fn user_named<'a>(config: &'a Config, name: &str) -> Result<&'a User, String> {
    let mut users = config.socks5.users.iter().flat_map(|users| &users.entries);
    let user = users.find(|user| *user.name == *name);
    user.map(|user| &**user).ok_or_else(|| format!("there is no user {name:?} in the users file"))
}

/// A question being answered.
struct Inquiry<'a> {
    config: &'a Config,
    user: Option<&'a User>,
    acl: Acl,
    case: Case<'a>,
    steps: Vec<Step>,
}

impl Inquiry<'_> {
    fn hold(mut self, address: Option<IpAddr>) -> Explanation {
        let answer = self.ask(address);
        Explanation { steps: self.steps, answer }
    }

    fn ask(&mut self, address: Option<IpAddr>) -> Answer {
        if !self.command_is_served() {
            return Answer::Deny;
        }
        let answer = match (self.case.host, address) {
            (Some(Host::Address(ip)), _) => self.ask_by_address(*ip),
            (_, address) => self.ask_by_name(address),
        };
        match answer {
            Answer::Allow(Via::Group(group)) if self.case.command != Command::Connect => {
                self.step(
                    "the way",
                    format!("leads through the proxies of {group}, which serve connect alone"),
                );
                Answer::Deny
            }
            answer => answer,
        }
    }

    /// The name alone may decide: it is refused, or proxies that look names up themselves take it.
    fn ask_by_name(&mut self, address: Option<IpAddr>) -> Answer {
        let proxies = &self.config.socks5.upstream.proxies;
        let ruling = self.ruling();
        match (&ruling, address) {
            (Ruling::Deny { .. }, _) => self.compare(),
            (Ruling::Allow { via: Via::Group(group), .. }, _) if upstreams::take_names(proxies, group) => {
                self.compare();
                self.step(
                    "the name",
                    format!("goes to the proxies of {group}, which look it up: no address is judged"),
                );
            }
            (_, Some(address)) => return self.ask_by_address(address),
            (_, None) => {
                self.compare();
                self.step("the address", "is not known: its class, and rules about networks, are not judged");
            }
        }
        ruling.into()
    }

    fn ask_by_address(&mut self, ip: IpAddr) -> Answer {
        if !self.may_be_dialled(ip) {
            return Answer::Deny;
        }
        self.case.address = Some(ip);
        self.compare();
        self.ruling().into()
    }

    fn command_is_served(&mut self) -> bool {
        let command = self.case.command;
        let served = self.config.socks5.commands.contains(command);
        let verb = if served { "serves" } else { "does not serve" };
        self.step("socks5.commands", format!("{verb} {}", command.label()));
        let off = command == Command::UdpAssociate && self.user.is_some_and(|user| user.udp == UserUdp::Off);
        if off {
            self.step("the user's entry", "says udp: off");
        }
        served && !off
    }

    /// As [`Targets`] judges its class and network.
    fn may_be_dialled(&mut self, ip: IpAddr) -> bool {
        let socks5 = &self.config.socks5;
        let own = Own(socks5.listen.iter().chain(&self.config.control.listen).copied().collect());
        let address = SocketAddr::new(ip.to_canonical(), self.case.port);
        let targets = Targets::new(socks5.allow_targets, socks5.deny_targets.clone());
        let asked = format!("the address {}", address.ip());
        match targets.judge(Facts { address, own: own.contains(address) }) {
            Verdict::Allow(_) => {
                let class = classify(ip).map_or("public", |class| class.label());
                self.step(&asked, format!("may be reached: {class}"));
                true
            }
            Verdict::Deny(denial) => {
                self.step(&asked, format!("is refused: {}", denial.hint));
                false
            }
        }
    }

    fn ruling(&self) -> Ruling {
        self.acl.judge(self.own_rules(), &self.case)
    }

    /// Tells of every rule up to the one that decides.
    fn compare(&mut self) {
        let mut compared = Vec::new();
        let mut decided = false;
        for (rule, matched) in self.acl.explain(self.own_rules(), &self.case) {
            compared.push(Step { asked: rule.label.to_string(), found: told(rule, matched) });
            decided = !matches!(matched, Match::No(_));
            if decided {
                break;
            }
        }
        self.steps.append(&mut compared);
        if !decided {
            self.step("no rule", "matches: allowed");
        }
    }

    fn own_rules(&self) -> &[Rule] {
        self.user.map_or(&[], |user| &*user.acl)
    }

    fn step(&mut self, asked: &str, found: impl Into<String>) {
        self.steps.push(Step { asked: asked.into(), found: found.into() });
    }
}

impl From<Ruling> for Answer {
    fn from(ruling: Ruling) -> Answer {
        match ruling {
            Ruling::Allow { via, .. } => Answer::Allow(via),
            Ruling::Deny { .. } => Answer::Deny,
            Ruling::Open { .. } => Answer::Open,
        }
    }
}

fn told(rule: &Rule, matched: Match) -> String {
    let action = match &rule.action {
        Action::Deny => "deny".to_owned(),
        Action::Allow { via: None } => "allow".to_owned(),
        Action::Allow { via: Some(Via::Direct) } => "allow via direct".to_owned(),
        Action::Allow { via: Some(Via::Group(group)) } => format!("allow via {group}"),
    };
    match matched {
        Match::Yes => format!("({action}) matches"),
        Match::Unknown => format!("({action}) would match if its networks hold the address"),
        Match::No(criterion) => format!("({action}) does not match: {}", criterion.label()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_shared::config::{HostFacts, SourceFile, Sources, load};

    const CONFIG: &str = r#"
socks5:
  auth: password
  users_file: users.yaml
  commands: [connect, udp_associate]
  deny_targets: [203.0.113.0/24]
  acl:
    - {action: deny, to: [bad.example]}
    - {action: allow, to: [onion], via: by_name}
    - {action: deny, from: [192.0.2.0/24], ports: [25]}
    - {action: deny, to: [198.51.100.0/24], days: [sat-sun]}
    - {action: allow, users: [alice], via: exits}
  upstream:
    proxies:
      - {name: a, group: exits, protocol: socks5, address: "192.0.2.10:1080"}
      - {name: b, group: by_name, protocol: socks5, address: "192.0.2.11:1080", names: remote}
"#;
    const USERS: &str = r#"
users:
  - {name: alice, password: "{plain}x", udp: off, acl: [{action: deny, to: [games.example]}]}
  - {name: bob, password: "{plain}x"}
"#;

    fn config() -> Config {
        let file = SourceFile { name: "ringway.yaml".into(), text: CONFIG.into() };
        let sources = Sources {
            file: Some(file),
            env: Vec::new(),
            sets: Vec::new(),
            overrides: Vec::new(),
            held: Vec::new(),
            host: HostFacts::default(),
            read_file: &|_| Ok(USERS.into()),
        };
        load(&sources).unwrap_or_else(|faults| panic!("{faults}")).config
    }

    fn question(host: &str, port: u16) -> Question {
        Question {
            client: [192, 0, 2, 1].into(),
            user: Some("bob".into()),
            command: Command::Connect,
            target: Target { host: read_host(host.as_bytes()).unwrap(), port },
            address: None,
            at: Some(LocalTime { day: 5, minute: 0 }),
        }
    }

    /// The answer, and the last step that led to it.
    fn told(question: &Question) -> (Answer, String) {
        let explanation = explain(&config(), question).unwrap();
        let last = explanation.steps.last().unwrap();
        (explanation.answer, format!("{} {}", last.asked, last.found))
    }

    #[test]
    fn the_first_rule_that_matches_decides_and_is_told_last() {
        let denied = told(&question("www.BAD.example.", 443));
        assert_eq!(denied, (Answer::Deny, "socks5.acl[0] (deny) matches".into()));
        let smtp = Question { address: Some([8, 8, 8, 8].into()), ..question("mail.example", 25) };
        assert_eq!(told(&smtp), (Answer::Deny, "socks5.acl[2] (deny) matches".into()));
        let web = Question { address: Some([8, 8, 8, 8].into()), ..question("good.example", 443) };
        let explanation = explain(&config(), &web).unwrap();
        let steps: Vec<_> =
            explanation.steps.iter().map(|step| format!("{} {}", step.asked, step.found)).collect();
        assert_eq!(
            steps,
            [
                "socks5.commands serves connect",
                "the address 8.8.8.8 may be reached: public",
                "socks5.acl[0] (deny) does not match: to",
                "socks5.acl[1] (allow via by_name) does not match: to",
                "socks5.acl[2] (deny) does not match: ports",
                "socks5.acl[3] (deny) does not match: to",
                "socks5.acl[4] (allow via exits) does not match: users",
                "no rule matches: allowed",
            ]
        );
    }

    #[test]
    fn a_users_own_rules_come_first_and_a_way_is_told() {
        let alice = |host| Question {
            user: Some("alice".into()),
            address: Some([8, 8, 8, 8].into()),
            ..question(host, 443)
        };
        assert_eq!(
            told(&alice("games.example")),
            (Answer::Deny, "users[alice].acl[0] (deny) matches".into())
        );
        let exits = Answer::Allow(Via::Group("exits".into()));
        assert_eq!(told(&alice("good.example")), (exits, "socks5.acl[4] (allow via exits) matches".into()));
        let bob = Question { user: Some("bob".into()), ..alice("good.example") };
        assert_eq!(told(&bob), (Answer::Allow(Via::Direct), "no rule matches: allowed".into()));
        assert!(explain(&config(), &Question { user: Some("eve".into()), ..alice("good.example") }).is_err());
        assert!(explain(&config(), &Question { user: None, ..bob }).is_err_and(|why| why.contains("--user")));
    }

    #[test]
    fn the_class_of_an_address_comes_before_all_rules() {
        let (answer, last) = told(&question("169.254.169.254", 80));
        assert_eq!(answer, Answer::Deny);
        assert!(last.contains("name it in socks5.allow_targets"), "{last}");
        let (_, last) = told(&question("203.0.113.9", 80));
        assert!(last.contains("socks5.deny_targets names it"), "{last}");
        let (_, last) =
            told(&Question { address: Some([127, 0, 0, 1].into()), ..question("rebound.example", 1080) });
        assert!(last.contains("class loopback"), "{last}");
    }

    #[test]
    fn a_name_without_its_address_may_leave_the_answer_open() {
        let (answer, last) = told(&question("good.example", 443));
        assert_eq!(answer, Answer::Open);
        assert!(last.contains("rules about networks, are not judged"), "{last}");
        let monday = Some(LocalTime { day: 0, minute: 0 });
        assert_eq!(
            told(&Question { at: monday, ..question("good.example", 443) }).0,
            Answer::Allow(Via::Direct)
        );
    }

    #[test]
    fn a_name_that_an_upstream_looks_up_needs_no_address() {
        let (answer, last) =
            told(&Question { address: Some([127, 0, 0, 1].into()), ..question("x.onion", 80) });
        assert_eq!(answer, Answer::Allow(Via::Group("by_name".into())));
        assert!(last.contains("no address is judged"), "{last}");
    }

    #[test]
    fn proxies_are_a_way_for_connections_alone() {
        let udp = Question {
            command: Command::UdpAssociate,
            address: Some([8, 8, 8, 8].into()),
            ..question("x.onion", 53)
        };
        let (answer, last) = told(&udp);
        assert_eq!(answer, Answer::Deny);
        assert!(last.contains("by_name, which serve connect alone"), "{last}");
    }

    #[test]
    fn a_command_that_is_not_served_is_refused_first() {
        let (answer, last) = told(&Question { command: Command::Bind, ..question("good.example", 80) });
        assert_eq!((answer, &*last), (Answer::Deny, "socks5.commands does not serve bind"));
        let udp = Question {
            command: Command::UdpAssociate,
            user: Some("alice".into()),
            ..question("8.8.8.8", 53)
        };
        assert_eq!(told(&udp), (Answer::Deny, "the user's entry says udp: off".into()));
        assert_eq!(told(&Question { user: Some("bob".into()), ..udp }).0, Answer::Allow(Via::Direct));
    }
}
