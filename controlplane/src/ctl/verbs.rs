//! What `ringway ctl` can be told: a command, and the route it is for. The arguments are the route's parameters and the fields of its
//! body; so a route that gains one gains an option here.

use crate::server::{Parameter, Route, routes};

/// How an answer is shown, unless `--json` asks for it as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// JSON as tables, anything else as it came.
    Tables,
    /// What `GET /health` and `GET /stats` say, in short.
    Status,
    /// Prometheus text, filtered.
    Samples,
    /// An object of objects: a row for each, whose names hold the filter.
    Named,
    /// JSON as it came: a document for programs.
    Document,
    /// What the history says, a row for each time and key.
    Traffic,
}

/// One command.
pub struct Verb {
    /// What is written after `ringway ctl`.
    pub words: &'static str,
    pub method: &'static str,
    pub path: &'static str,
    /// The route that is meant if what stands in the path is not given.
    pub without: Option<(&'static str, &'static str)>,
    /// Parameters and fields that are given by their place, in this order. Those of the path come first anyway.
    pub placed: &'static [&'static str],
    pub show: Show,
    /// What help says of it; the route's own summary if it says nothing.
    pub about: &'static str,
}

const fn verb(words: &'static str, method: &'static str, path: &'static str) -> Verb {
    Verb { words, method, path, without: None, placed: &[], show: Show::Tables, about: "" }
}

const fn get(words: &'static str, path: &'static str) -> Verb {
    verb(words, "GET", path)
}

const fn post(words: &'static str, path: &'static str) -> Verb {
    verb(words, "POST", path)
}

impl Verb {
    const fn placing(mut self, placed: &'static [&'static str]) -> Verb {
        self.placed = placed;
        self
    }

    const fn shown(mut self, show: Show) -> Verb {
        self.show = show;
        self
    }

    const fn or(mut self, method: &'static str, path: &'static str) -> Verb {
        self.without = Some((method, path));
        self
    }

    const fn about(mut self, about: &'static str) -> Verb {
        self.about = about;
        self
    }

    /// The routes it is for; none if this build does not serve it.
    pub fn routes(&self) -> Vec<&'static Route> {
        let own = [Some((self.method, self.path)), self.without];
        own.into_iter().flatten().filter_map(|(method, path)| route(method, path)).collect()
    }
}

fn route(method: &str, path: &str) -> Option<&'static Route> {
    routes().find(|route| route.method == method && route.path == path)
}

/// Groups of commands, and what is said of them.
pub const GROUPS: &[(&str, &str)] = &[
    ("override", "Limits that are other than configured, for a time."),
    ("log", "What is logged, and how much."),
    ("connections", "Who is connected: list, look closer, kill."),
    ("silence", "Alerts that webhooks are not told of, for a time."),
];

pub const VERBS: &[Verb] = &[
    get("status", "/health")
        .shown(Show::Status)
        .about("How ringway is: its health, and what is asked first."),
    get("health", "/health"),
    get("stats", "/stats"),
    get("live", "/livez").about("Whether every worker lives."),
    get("ready", "/readyz").about("Whether new connections are welcome."),
    get("metrics", "/metrics").shown(Show::Samples).about("The metrics, or those of one name."),
    get("config", "/config").shown(Show::Named),
    post("reload", "/admin/reload-config"),
    post("rollback", "/admin/config/rollback").placing(&["generation"]),
    get("generations", "/admin/config/generations"),
    get("override list", "/admin/override"),
    post("override set", "/admin/override").placing(&["set"]),
    verb("override clear", "DELETE", "/admin/override").placing(&["key"]),
    get("log show", "/admin/log"),
    verb("log set", "PUT", "/admin/log").placing(&["level"]),
    verb("log clear", "DELETE", "/admin/log"),
    get("connections list", "/api/v1/connections"),
    get("connections show", "/api/v1/connections/{id}"),
    verb("connections kill", "DELETE", "/api/v1/connections/{id}").or("POST", "/api/v1/connections/kill"),
    get("top", "/api/v1/top"),
    get("feed", "/api/v1/feed/{topic}"),
    get("traffic", "/api/v1/history").placing(&["key"]).shown(Show::Traffic),
    post("ticket", "/api/v1/feed/ticket"),
    get("alerts", "/api/v1/alerts"),
    post("silence add", "/api/v1/alerts/silences").placing(&["matchers"]),
    verb("silence rm", "DELETE", "/api/v1/alerts/silences/{id}"),
    post("upgrade", "/admin/upgrade"),
    post("drain", "/admin/drain"),
    get("drain status", "/admin/drain"),
    post("undrain", "/admin/undrain"),
    post("upgrade", "/admin/upgrade"),
    get("memory", "/admin/memory"),
    post("collect", "/admin/memory/collect"),
    get("flight", "/debug/flight"),
    get("hist", "/debug/hist/{name}").or("GET", "/debug/hist"),
    get("bundle", "/debug/bundle"),
    post("publish", "/api/publish").placing(&["channel", "data"]),
    post("broadcast", "/api/broadcast").placing(&["data", "channels"]),
    post("subscribe", "/api/subscribe").placing(&["channel"]),
    post("unsubscribe", "/api/unsubscribe"),
    post("disconnect", "/api/disconnect"),
    post("presence", "/api/presence").placing(&["channel"]),
    post("presence-stats", "/api/presence_stats").placing(&["channel"]),
    post("history", "/api/history").placing(&["channel"]),
    post("history-remove", "/api/history_remove").placing(&["channel"]),
    post("channels", "/api/channels").placing(&["pattern"]),
    post("info", "/api/info"),
    post("batch", "/api/batch").placing(&["commands"]),
    post("command", "/api").placing(&["method", "params"]),
    get("openapi", "/openapi.json").shown(Show::Document),
    get("routes", "/").about("Everything the control port serves."),
];

/// Routes that answer as another one does, and those that are for browsers alone, or speak no HTTP.
#[cfg(test)]
pub const WITHOUT_VERB: &[(&str, &str)] = &[
    ("GET", "/admin/gc-stats"),
    ("POST", "/admin/gc"),
    ("GET", "/dashboard/{file}"),
    ("GET", "/dashboard/panels/{file}"),
    ("GET", "/ws"),
];

/// Parameters of all routes of a verb, each once, those of the path first.
pub fn parameters(routes: &[&'static Route]) -> Vec<(&'static Parameter, bool)> {
    let mut found: Vec<(&'static Parameter, bool)> = Vec::new();
    for route in routes {
        for known in route.parameters {
            if !found.iter().any(|(other, _)| other.name == known.name) {
                found.push((known, route.is_in_path(known.name)));
            }
        }
    }
    found.sort_by_key(|(_, in_path)| !in_path);
    found
}
