//! Questions: those about a topic go to its home, those about all to every worker.

use super::Hub;
use super::homes::Keep;
use super::names;
use super::post::What;
use super::values::{Effect, NodeInfo, Question, Refusal, Reply, Ticket};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Topics that one worker names in an answer to [`Question::Channels`].
pub const CHANNELS_MAX: usize = 65_536;

/// Questions on their way.
#[derive(Default)]
pub(super) struct Surveys {
    /// Those that other workers have to answer, one each.
    asked: usize,
    /// Those that all have to.
    surveys: HashMap<u64, Survey>,
    last: u64,
}

struct Survey {
    ticket: Ticket,
    /// Workers that have not answered.
    missing: usize,
    channels: BTreeMap<Arc<str>, u64>,
    nodes: Vec<NodeInfo>,
    question: Question,
}

impl Surveys {
    pub fn open(&self) -> usize {
        self.asked + self.surveys.len()
    }

    pub fn opened(&mut self, remote: bool) {
        self.asked += usize::from(remote);
    }

    pub fn closed(&mut self, remote: bool) {
        self.asked -= usize::from(remote);
    }
}

impl Hub {
    /// Asks. The answer is an [`Effect::Answer`].
    ///
    /// Errors, with no effect to follow: a bad name, too much on the way.
    pub fn ask(&mut self, question: Question, ticket: Ticket, now_ms: u64) -> Result<(), Refusal> {
        self.now_ms = now_ms;
        match question.topic() {
            Some(topic) => {
                let home = self.home(names::parse_topic(topic)?);
                self.may_send(home)?;
                self.surveys.opened(home != self.worker);
                self.backlogs.post(home, What::Ask { question: Box::new(question), ticket });
            }
            None => {
                for worker in 0..self.backlogs.workers() {
                    self.may_send(worker)?;
                }
                self.survey(question, ticket);
            }
        }
        self.settle();
        Ok(())
    }

    /// How much this hub holds.
    #[must_use]
    pub fn info(&self) -> NodeInfo {
        let counts = self.counts();
        let totals = self.homes.totals();
        NodeInfo {
            worker: self.worker,
            connections: counts.connections as usize,
            subscriptions: counts.subscriptions as usize,
            names: self.local.names(),
            topics: totals.topics,
            present: totals.present,
            history_publications: totals.history_publications,
            history_bytes: totals.history_bytes,
            queued_publications: counts.queued,
            queued_bytes: counts.queued_bytes,
        }
    }

    /// As the home of the topic it is about.
    pub(super) fn answer(&mut self, question: &Question) -> Reply {
        let answer = match question {
            Question::Presence { topic } => {
                self.kept(topic).map(|()| Reply::Presence(self.homes.presence(topic)))
            }
            Question::PresenceStats { topic } => self.kept(topic).map(|()| self.homes.presence_stats(topic)),
            Question::History(question) => {
                let keep = Keep::of(self.namespaces.of(&question.topic));
                self.homes.history(question, keep, self.now_ms)
            }
            Question::HistoryRemove { topic } => {
                self.homes.remove_history(topic);
                Ok(Reply::HistoryRemoved)
            }
            Question::Channels { .. } | Question::Info => Ok(self.describe(question)),
        };
        answer.unwrap_or_else(Reply::Refused)
    }

    /// What this worker alone has: its part of what is asked of all.
    #[must_use]
    pub fn describe(&self, question: &Question) -> Reply {
        let Question::Channels { pattern } = question else { return Reply::Info(vec![self.info()]) };
        let pattern = pattern.as_deref().unwrap_or("*");
        let channels = match pattern.strip_suffix('*') {
            Some(prefix) => self.local.channels(prefix).take(CHANNELS_MAX),
            None => return Reply::Channels(self.local.channel(pattern).into_iter().collect()),
        };
        Reply::Channels(channels.map(|(topic, count)| (topic.clone(), count)).collect())
    }

    /// How many of this worker's connections are subscribed to a topic by its name.
    #[must_use]
    pub fn subscribers(&self, topic: &str) -> u64 {
        self.local.subscribers(topic)
    }

    pub(super) fn surveyed(&mut self, number: u64, part: Reply) {
        let Some(survey) = self.surveys.surveys.get_mut(&number) else { return };
        match part {
            Reply::Channels(channels) => {
                channels
                    .into_iter()
                    .for_each(|(topic, count)| *survey.channels.entry(topic).or_default() += count);
            }
            Reply::Info(nodes) => survey.nodes.extend(nodes),
            _ => {}
        }
        survey.missing -= 1;
        if survey.missing == 0
            && let Some(survey) = self.surveys.surveys.remove(&number)
        {
            let Survey { ticket, channels, mut nodes, question, .. } = survey;
            nodes.sort_by_key(|node| node.worker);
            let reply = match question {
                Question::Info => Reply::Info(nodes),
                _ => Reply::Channels(channels.into_iter().collect()),
            };
            self.effects.push_back(Effect::Answer { ticket, reply });
        }
    }

    fn survey(&mut self, question: Question, ticket: Ticket) {
        self.surveys.last += 1;
        let number = self.surveys.last;
        let workers = self.backlogs.workers();
        for worker in 0..workers {
            let question = Box::new(question.clone());
            self.backlogs.post(worker, What::Survey { question, survey: number });
        }
        let (channels, nodes) = (BTreeMap::new(), Vec::new());
        let survey = Survey { ticket, missing: workers, channels, nodes, question };
        self.surveys.surveys.insert(number, survey);
    }

    fn kept(&self, topic: &str) -> Result<(), Refusal> {
        if self.namespaces.of(topic).presence { Ok(()) } else { Err(Refusal::NotKept) }
    }
}

impl Question {
    /// The topic that it is about, if it is about one.
    fn topic(&self) -> Option<&str> {
        match self {
            Question::Presence { topic }
            | Question::PresenceStats { topic }
            | Question::HistoryRemove { topic } => Some(topic),
            Question::History(question) => Some(&question.topic),
            Question::Channels { .. } | Question::Info => None,
        }
    }
}
