//! Where a request was sent to, and by whose page.
//!
//! A page cannot choose its `Host`: a rebound one says the name it was loaded from. It cannot leave out its `Origin` where
//! something is changed, nor `Sec-Fetch-Site` in any browser of these years (Fetch Metadata). It can send no JSON content type to
//! another origin without asking first (Fetch, "CORS-safelisted request-header"), which nobody here answers.

use super::{Asking, Refused, refused};
use crate::guard::{Failure, Peer};
use crate::server::answer::Answer;
use hyper::HeaderMap;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue, ORIGIN, TRANSFER_ENCODING};
use ringway_dataplane::policy::origin::Origins;
use ringway_shared::config::Control;
use ringway_shared::origin::{authority, is_fixed_host};

const SITE: &str = "sec-fetch-site";
const MODE: &str = "sec-fetch-mode";
const DESTINATION: &str = "sec-fetch-dest";

/// The request is meant for an address, for `localhost` or for a name that is configured. No browser reaches the Unix socket.
pub fn host_is_ours(control: &Control, asking: &Asking<'_>) -> Result<(), Refused> {
    match asking.peer {
        Peer::Unix { .. } => Ok(()),
        _ => host_is_fixed(control, asking),
    }
}

/// The same, whatever the listener.
pub fn host_is_fixed(control: &Control, asking: &Asking<'_>) -> Result<(), Refused> {
    let of_target = asking.head.uri.authority().map(|authority| authority.as_str());
    let strange = hosts(asking.headers()).chain(of_target).find(|host| !is_ours(control, host));
    let Some(host) = strange else { return Ok(()) };
    let message = format!("the request is meant for {host:?}, which any name server could point here");
    let hint = "call the control port by its address or as localhost, or name it in control.allowed_hosts";
    Err(refused(Failure::Host, Answer::error(403, &message, hint)))
}

fn is_ours(control: &Control, host: &str) -> bool {
    let Some((name, _port)) = authority(host) else { return false };
    let name = name.strip_suffix('.').unwrap_or(&name);
    is_fixed_host(name) || control.allowed_hosts.iter().any(|allowed| allowed.fits(name))
}

/// No page acts, or looks, but the control port's own and those of listed origins. A link from elsewhere may be followed.
pub fn no_foreign_page(control: &Control, asking: &Asking<'_>) -> Result<(), Refused> {
    let headers = asking.headers();
    let tls = matches!(asking.peer, Peer::Tls { .. });
    let (own, listed) = (Origins::default(), Origins::new(&control.allowed_origins));
    let is_own = |origin: &str| hosts(headers).any(|host| own.allow(Some(origin), host, tls));
    let is_listed = |origin: &str| !control.allowed_origins.is_empty() && listed.allow(Some(origin), "", tls);
    let origins = || headers.get_all(ORIGIN).iter().map(text);
    if let Some(foreign) = origins().find(|origin| !is_own(origin) && !is_listed(origin)) {
        return Err(of_page(&format!("the request comes from a web page of {foreign:?}")));
    }
    match foreign_site(headers) {
        Some(_) if origins().any(is_listed) => Ok(()),
        Some(_) if !asking.changes_something() && follows_a_link(headers) => Ok(()),
        Some(site) => Err(of_page(&format!("the request comes from a web page (Sec-Fetch-Site: {site})"))),
        None => Ok(()),
    }
}

/// What a browser says of the page it comes from, if that is another site's.
pub fn foreign_site(headers: &HeaderMap) -> Option<&str> {
    headers.get_all(SITE).iter().map(text).find(|site| !matches!(*site, "none" | "same-origin"))
}

/// A navigation of a whole window: its answer is shown to the person at the browser and to nobody's script.
fn follows_a_link(headers: &HeaderMap) -> bool {
    let says = |name: &str, wanted: &str| {
        let mut values = headers.get_all(name).iter().map(text);
        values.next() == Some(wanted) && values.next().is_none()
    };
    says(MODE, "navigate") && says(DESTINATION, "document")
}

fn of_page(message: &str) -> Refused {
    let hint = "web pages may neither steer nor read ringway; use a program, let the page's server ask, or name its origin in control.allowed_origins";
    refused(Failure::Origin, Answer::error(403, message, hint))
}

/// What comes to change something is JSON, if it has a body.
pub fn body_is_json(asking: &Asking<'_>) -> Result<(), Refused> {
    let headers = asking.headers();
    let declared = headers.get_all(CONTENT_LENGTH).iter().any(|length| text(length).trim() != "0");
    let has_body = declared || headers.contains_key(TRANSFER_ENCODING);
    if asking.changes_something() && has_body { is_json(asking) } else { Ok(()) }
}

/// It is JSON, by its one content type.
pub fn is_json(asking: &Asking<'_>) -> Result<(), Refused> {
    let kinds: Vec<_> = asking.headers().get_all(CONTENT_TYPE).iter().map(text).collect();
    match kinds[..] {
        [kind] if is_json_kind(kind) => Ok(()),
        _ => {
            let hint = if asking.is_push() {
                "send Content-Type: application/json (curl: -H 'Content-Type: application/json'), or configure control.api_keys"
            } else {
                "send Content-Type: application/json (curl: -H 'Content-Type: application/json')"
            };
            let answer = Answer::error(415, "the request's content type is not JSON", hint);
            Err(refused(Failure::ContentType, answer))
        }
    }
}

fn is_json_kind(kind: &str) -> bool {
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn hosts(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.get_all(HOST).iter().map(text)
}

/// What is not ASCII is none of the values that are compared with it.
fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or("?")
}
