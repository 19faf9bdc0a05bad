//! Sec-WebSocket-Extensions: its grammar (RFC 6455 section 9.1), and the choice among its offers (RFC 7692 section 5).

use super::{Negotiated, Settings, WINDOW_BITS_MAX, WINDOW_BITS_MIN};
use std::fmt::Write;

const NAME: &str = "permessage-deflate";
/// RFC 7692 sections 7.1.2.1 and 7.1.2.2; its smallest is one that zlib cannot make.
const OFFERED_BITS_MIN: u8 = 8;

/// Not made as RFC 6455 section 9.1 says. It asks to fail the whole connection over that, not just an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Whether a Sec-WebSocket-Extensions field is well-formed, whatever it offers.
///
/// # Errors
/// [`Malformed`], to be answered with status 400.
pub fn well_formed(field: &str) -> Result<(), Malformed> {
    offers(field).map(|_| ())
}

/// Takes the first offer that can be honoured. `fields` are the values of all Sec-WebSocket-Extensions fields in
/// order: together they are one list (RFC 6455 section 9.1).
///
/// Gives the agreement and the field that answers it. `None`: nothing is agreed and nothing to answer, for each
/// offer is of another extension, has a parameter that is unknown, stands twice or has a bad value (RFC 7692
/// section 7), or demands a server window of 8 bits; or a field is malformed.
#[must_use]
pub fn negotiate(fields: &[&str], settings: &Settings) -> Option<(Negotiated, String)> {
    let fields: Result<Vec<_>, _> = fields.iter().map(|field| offers(field)).collect();
    let mut offers = fields.ok()?.into_iter().flatten().filter(|offer| offer.name == NAME);
    offers.find_map(|offer| {
        let wishes = Wishes::of(&offer)?;
        Some(wishes.answer(settings))
    })
}

/// One element of the list: an extension and its parameters.
struct Offer<'a> {
    name: &'a str,
    parameters: Vec<(&'a str, Option<String>)>,
}

/// What an offer of permessage-deflate says (RFC 7692 section 7.1).
#[derive(Default)]
struct Wishes {
    // Its server_no_context_takeover is granted to all, asked for or not (section 7.1.1.1).
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// With no value it only says that the client can be told a smaller one.
    client_max_window_bits: Option<u8>,
}

impl Wishes {
    fn of(offer: &Offer) -> Option<Wishes> {
        let mut wishes = Wishes::default();
        for (at, (name, value)) in offer.parameters.iter().enumerate() {
            if offer.parameters[..at].iter().any(|(earlier, _)| earlier == name) {
                return None;
            }
            match (*name, value.as_deref()) {
                ("server_no_context_takeover", None) => {}
                ("client_no_context_takeover", None) => wishes.client_no_context_takeover = true,
                ("server_max_window_bits", Some(value)) => {
                    let bits = window_bits(value).filter(|bits| *bits >= WINDOW_BITS_MIN)?;
                    wishes.server_max_window_bits = Some(bits);
                }
                ("client_max_window_bits", None) => wishes.client_max_window_bits = Some(WINDOW_BITS_MAX),
                ("client_max_window_bits", Some(value)) => {
                    wishes.client_max_window_bits = Some(window_bits(value)?);
                }
                _ => return None,
            }
        }
        Some(wishes)
    }

    fn answer(&self, settings: &Settings) -> (Negotiated, String) {
        let ours = settings.window_bits();
        let negotiated = Negotiated {
            // From the client it is a hint that it will keep none (section 7.1.1.2): then neither shall we.
            client_no_context_takeover: self.client_no_context_takeover || !settings.context_takeover,
            server_window_bits: self.server_max_window_bits.map_or(ours, |bits| bits.min(ours)),
            client_window_bits: self.client_max_window_bits.map_or(WINDOW_BITS_MAX, |bits| bits.min(ours)),
        };
        let mut text = format!("{NAME}; server_no_context_takeover");
        if negotiated.client_no_context_takeover {
            text.push_str("; client_no_context_takeover");
        }
        // Section 7.1.2.1: who offered it must be answered it; to the others it is news only when it is smaller.
        if self.server_max_window_bits.is_some() || negotiated.server_window_bits < WINDOW_BITS_MAX {
            let _ = write!(text, "; server_max_window_bits={}", negotiated.server_window_bits);
        }
        // Section 7.1.2.2: only who offered it may be told, and needs to be when its own is not small enough.
        if self.client_max_window_bits.is_some_and(|bits| bits > ours) {
            let _ = write!(text, "; client_max_window_bits={}", negotiated.client_window_bits);
        }
        (negotiated, text)
    }
}

/// A decimal number without leading zeros, from 8 to 15 (RFC 7692 section 7.1.2).
fn window_bits(value: &str) -> Option<u8> {
    let digits = value.bytes().all(|byte| byte.is_ascii_digit()) && !value.starts_with('0');
    value.parse().ok().filter(|bits| digits && (OFFERED_BITS_MIN..=WINDOW_BITS_MAX).contains(bits))
}

/// Reads one field: a list (RFC 9110 section 5.6.1, whose elements a recipient must accept empty) of extensions.
fn offers(field: &str) -> Result<Vec<Offer<'_>>, Malformed> {
    let mut rest = field;
    let mut offers = Vec::new();
    loop {
        rest = spaces(rest);
        if !rest.is_empty() && !rest.starts_with(',') {
            let (offer, after) = offer(rest)?;
            offers.push(offer);
            rest = spaces(after);
        }
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None if rest.is_empty() => return Ok(offers),
            None => return Err(Malformed),
        }
    }
}

/// `extension = token *( ";" token [ "=" ( token | quoted-string ) ] )`
fn offer(text: &str) -> Result<(Offer<'_>, &str), Malformed> {
    let (name, mut rest) = token(text)?;
    let mut parameters = Vec::new();
    while let Some(after) = spaces(rest).strip_prefix(';') {
        let (parameter, after) = token(spaces(after))?;
        let (value, after) = match spaces(after).strip_prefix('=').map(spaces) {
            Some(text) if text.starts_with('"') => {
                let (value, after) = quoted(&text[1..])?;
                (Some(value), after)
            }
            Some(text) => {
                let (value, after) = token(text)?;
                (Some(value.to_owned()), after)
            }
            None => (None, after),
        };
        parameters.push((parameter, value));
        rest = after;
    }
    Ok((Offer { name, parameters }, rest))
}

/// RFC 9110 section 5.6.2: one or more of its characters, and what follows them.
fn token(text: &str) -> Result<(&str, &str), Malformed> {
    let end = text.bytes().position(|byte| !is_token(byte)).unwrap_or(text.len());
    if end == 0 { Err(Malformed) } else { Ok(text.split_at(end)) }
}

/// What stands after a `"`, up to the next. Unescaped it must be a token (RFC 6455 section 9.1).
fn quoted(text: &str) -> Result<(String, &str), Malformed> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        let meant = match character {
            '"' if value.is_empty() => return Err(Malformed),
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => characters.next().ok_or(Malformed)?.1,
            plain => plain,
        };
        if !u8::try_from(meant).is_ok_and(is_token) {
            return Err(Malformed);
        }
        value.push(meant);
    }
    Err(Malformed)
}

pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn spaces(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}
