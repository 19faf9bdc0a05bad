//! What a relay has in hand before its first read.

/// Bytes to go before all others. Boxed and mostly absent: each idle connection would pay for its room.
pub struct Opening {
    /// What the client sent behind its request.
    pub payload: Vec<u8>,
    /// So much of it has gone to the target already, along with the SYN.
    pub sent: usize,
    /// What the target sent behind an upstream proxy's answer.
    pub early: Vec<u8>,
}

impl Opening {
    /// `None`: nothing is in hand.
    #[must_use]
    pub fn of(payload: Vec<u8>, sent: usize, early: Vec<u8>) -> Option<Box<Opening>> {
        let opening = Opening { payload, sent, early };
        opening.is_left().then(|| Box::new(opening))
    }

    /// Itself, unless all of it has been taken.
    #[must_use]
    pub fn if_left(self: Box<Self>) -> Option<Box<Self>> {
        self.is_left().then_some(self)
    }

    fn is_left(&self) -> bool {
        !self.payload.is_empty() || !self.early.is_empty()
    }
}
