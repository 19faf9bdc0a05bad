//! How a server is told to subscribe and to publish, and what its deliveries look like.

use clap::ValueEnum;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Dialect {
    /// Who is connected is subscribed, and what somebody sends is broadcast: most small servers, and nchan with a
    /// --publish-url
    Raw,
    /// ringway's plain JSON protocol at /ws
    Ringway,
}

impl Dialect {
    /// What to say to be subscribed, if anything.
    #[must_use]
    pub fn subscribe(self, topic: &str) -> Option<String> {
        match self {
            Dialect::Raw => None,
            Dialect::Ringway => Some(format!(r#"{{"type":"subscribe","topic":"{topic}"}}"#)),
        }
    }

    /// What stands before and after a message in its publication.
    #[must_use]
    pub fn publication(self, topic: &str) -> (String, &'static str) {
        match self {
            Dialect::Raw => (String::new(), ""),
            Dialect::Ringway => (format!(r#"{{"type":"publish","topic":"{topic}","data":""#), "\"}"),
        }
    }

    /// Whether messages arrive with nothing around them.
    #[must_use]
    pub fn is_bare(self) -> bool {
        self == Dialect::Raw
    }

    /// What a server says that is no delivery.
    #[must_use]
    pub fn answer(self, message: &[u8]) -> Answer {
        let says = |text: &[u8]| message.windows(text.len()).any(|window| window == text);
        match self {
            Dialect::Ringway if says(br#""type":"subscribed""#) => Answer::Subscribed,
            Dialect::Ringway if says(br#""type":"error""#) => Answer::Error,
            Dialect::Ringway | Dialect::Raw => Answer::Other,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Subscribed,
    Error,
    Other,
}
