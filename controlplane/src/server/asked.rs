//! What a page is asked: a request whose body has been read.

use super::answer::Answer;
use super::route::Route;
use crate::guard::Principal;
use hyper::HeaderMap;
use hyper::body::Bytes;
use std::str::FromStr;

/// Pairs of one query; more are refused.
const PAIRS_MAX: usize = 64;

/// A request whose body has been read.
pub struct Asked {
    /// What the segments of the route's path stand for.
    places: Vec<(&'static str, String)>,
    /// The query's pairs, decoded.
    pairs: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub by: Principal,
}

impl Asked {
    /// Takes the query apart. Errors: it is malformed, says something twice, or, where something would be changed,
    /// holds what the route does not know: a misspelt `dry_run` must not act.
    pub fn new(
        route: &Route,
        places: Vec<(&'static str, String)>,
        query: &str,
        headers: HeaderMap,
        by: Principal,
    ) -> Result<Asked, Answer> {
        let pairs: Vec<(String, String)> =
            form_urlencoded::parse(query.as_bytes()).into_owned().take(PAIRS_MAX + 1).collect();
        let refused = |message: String| Answer::error(400, &message, "GET /openapi.json has the parameters");
        if pairs.len() > PAIRS_MAX {
            return Err(refused(format!("the query has more than {PAIRS_MAX} parameters")));
        }
        for (index, (name, _)) in pairs.iter().enumerate() {
            let known = |name: &str| {
                route.parameters.iter().any(|known| known.name == name && !route.is_in_path(name))
            };
            if route.method != "GET" && !known(name) {
                return Err(refused(format!("{name:?}: {} has no such parameter", route.path)));
            }
            if known(name) && pairs[..index].iter().any(|(other, _)| other == name) {
                return Err(refused(format!("{name} is given twice")));
            }
        }
        Ok(Asked { places, pairs, headers, body: Bytes::new(), by })
    }

    /// What a segment of the path stands for; empty if the route has none of that name.
    #[must_use]
    pub fn place(&self, name: &str) -> &str {
        self.places.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// A parameter of the query.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A parameter that is a number within `range`, or its fault.
    pub fn number<N>(&self, name: &str, range: std::ops::RangeInclusive<N>) -> Result<Option<N>, Answer>
    where
        N: FromStr + PartialOrd + std::fmt::Display,
    {
        let Some(text) = self.value(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| {
            let message = format!("{name} must be a number from {} to {}", range.start(), range.end());
            Answer::error(400, &message, "GET /openapi.json has the parameters")
        })
    }

    /// A parameter that is a switch: `1`, `true` or nothing but its name is on; `0` and `false` are off.
    pub fn flag(&self, name: &str) -> Result<bool, Answer> {
        match self.value(name) {
            None | Some("0" | "false") => Ok(false),
            Some("" | "1" | "true") => Ok(true),
            Some(_) => Err(Answer::error(400, &format!("{name} must be 1 or 0"), "leave it out for 0")),
        }
    }
}
