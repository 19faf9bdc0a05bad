//! What the control plane asks about the connections of this core: finding, showing, ending and adding them up, a slice of the tables at a time.

use crate::core::Core;
use crate::io::gateway;
use ringway_shared::connection::Service;
use ringway_shared::inspect::{
    Answer, Ask, By, Details, Filter, KILLS_MAX, KillOrder, Of, Place, ROWS_MAX, Reply, Row, SCANNED_MAX,
    Sketch,
};
use std::rc::Rc;
use std::time::Instant;

/// Connections or topics added up for one question: each costs more than a look.
pub const ADDED_MAX: usize = 1_024;

/// A part of the tables, while it is looked through.
pub struct Slice<'a> {
    pub filter: &'a Filter,
    pub now: Instant,
    scans_left: usize,
    finds_left: usize,
    /// Connections that fit.
    pub found: Vec<Place>,
}

impl<'a> Slice<'a> {
    fn new(filter: &'a Filter, finds_max: usize) -> Slice<'a> {
        Slice {
            filter,
            now: Instant::now(),
            scans_left: SCANNED_MAX,
            finds_left: finds_max,
            found: Vec::new(),
        }
    }

    /// Whether one more entry may be looked at; then it counts.
    pub fn goes_on(&mut self) -> bool {
        let on = self.scans_left > 0 && self.finds_left > 0;
        self.scans_left -= usize::from(on);
        on
    }

    pub fn found(&mut self, service: Service, index: u32) {
        self.finds_left -= 1;
        self.found.push(Place { service, index });
    }
}

/// Answers a question.
pub fn answer(core: &Rc<Core>, ask: Ask, reply: Reply) {
    reply(answer_to(core, ask));
}

fn answer_to(core: &Rc<Core>, ask: Ask) -> Answer {
    match ask {
        Ask::List { filter, from, rows_max } => {
            let (found, next) = find(core, &filter, from, rows_max.min(ROWS_MAX));
            Answer::Rows { rows: found.into_iter().filter_map(|place| row(core, place)).collect(), next }
        }
        Ask::Show { filter, from } => {
            let (found, next) = find(core, &filter, from, 1);
            let details = found.first().and_then(|place| details(core, *place));
            Answer::Details { next: next.filter(|_| details.is_none()), details: details.map(Box::new) }
        }
        Ask::Kill { order, .. } if is_late(&order) => Answer::TooLate,
        Ask::Kill { filter, from, most, dry_run, order } => {
            let (found, next) = find(core, &filter, from, most.min(KILLS_MAX) as usize);
            let killed = if dry_run { 0 } else { found.iter().filter(|it| kill(core, **it, &order)).count() };
            Answer::Killed { matched: found.len() as u64, killed: killed as u64, next }
        }
        Ask::Top { by, of, from, mut sketch } => {
            let next = match (by, of) {
                (By::Topic, _) => gateway::inspect::add_up_topics(core, of, from, &mut sketch),
                _ => add_up(core, by, of, from, &mut sketch),
            };
            Answer::Tops { sketch, next }
        }
    }
}

fn is_late(order: &KillOrder) -> bool {
    Instant::now() > order.until
}

/// Connections that fit, and where to go on.
fn find(core: &Core, filter: &Filter, from: Place, finds_max: usize) -> (Vec<Place>, Option<Place>) {
    let mut slice = Slice::new(filter, finds_max);
    let mut from = from;
    if from.service == Service::Socks5 {
        if filter.admits(Service::Socks5)
            && let Some(index) = core.sessions.find(from.index, &mut slice)
        {
            return (slice.found, Some(Place { index, ..from }));
        }
        from = Place { service: Service::WebSocket, index: 0 };
    }
    let next = match filter.admits(Service::WebSocket) {
        true => gateway::inspect::find(core, from.index, &mut slice),
        false => None,
    };
    (slice.found, next.map(|index| Place { index, ..from }))
}

fn row(core: &Core, place: Place) -> Option<Row> {
    match place.service {
        Service::Socks5 => core.sessions.row(core, place.index),
        Service::WebSocket => gateway::inspect::row(core, place.index),
    }
}

fn details(core: &Core, place: Place) -> Option<Details> {
    let topics = match place.service {
        Service::Socks5 => Vec::new(),
        Service::WebSocket => gateway::inspect::topics(core, place.index),
    };
    row(core, place).map(|row| Details { row, topics })
}

/// False: it was on its way out already.
fn kill(core: &Rc<Core>, place: Place, order: &KillOrder) -> bool {
    match place.service {
        Service::Socks5 => core.sessions.kill(place.index, &order.reason, &core.questions),
        Service::WebSocket => gateway::inspect::kill(core, place.index, &order.reason),
    }
}

/// Adds up a slice of the connections by user or target.
fn add_up(core: &Core, by: By, of: Of, from: Place, sketch: &mut Sketch) -> Option<Place> {
    let (found, next) = find(core, &Filter::default(), from, ADDED_MAX);
    for place in found {
        let amount = |bytes: u64| if of == Of::Bytes { bytes } else { 1 };
        match place.service {
            Service::Socks5 => {
                core.sessions.weigh(place.index, by, |key, bytes| sketch.add(key, amount(bytes)))
            }
            Service::WebSocket => {
                gateway::inspect::weigh(core, place.index, by, |key, bytes| sketch.add(key, amount(bytes)));
            }
        }
    }
    next
}
