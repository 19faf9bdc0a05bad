//! Who the client is: policy decides what it can, a verifier's thread checks hashed passwords.
//!
//! A failed login is answered late, ever later, and at last the client is banned: `policy/clients.rs` says so.

use crate::core::Core;
use crate::io::questions::Reply;
use crate::io::sessions::{Phase, Session, TICK};
use crate::io::verify::Job;
use crate::policy::auth::Check;
use crate::proto::handshake::{Credentials, Verdict};
use crate::rt;
use crate::service::Login;
use ringway_shared::reason::Reason;
use std::time::{Duration, Instant};

/// How much longer than its delay an answer may take before the connection is cut.
const DELAY_SLACK: Duration = Duration::from_secs(5);

/// Whether the credentials are a user's; if so the session is that user's from here on.
pub async fn authenticate(core: &Core, session: &Session, credentials: &Credentials) -> Verdict {
    let Some(login) = &session.service.login else { return Err(Reason::AuthFailed) };
    let client = session.peer().ip();
    let is_banned = || core.wiring.clients.is_banned(client, core.now_ns());
    if is_banned() {
        return Err(Reason::ClientBanned);
    }
    let asked = Instant::now();
    let user = recognise(core, login, session, credentials).await?;
    // Other guesses of this client may have been judged while this one was: the ban is for all of them.
    if is_banned() {
        return Err(Reason::ClientBanned);
    }
    let Some(user) = user else {
        return Err(refuse(core, session, credentials, asked).await);
    };
    let account = login.directory.account(user).clone();
    // The connection may be older than a reload that removed the user.
    if !core.service().knows(&account) {
        return Err(Reason::UserRemoved);
    }
    account.usage.cells[core.wiring.index].opened.add(1);
    session.facts.borrow_mut().account = Some(account);
    Ok(())
}

/// Which user it is, if it is one.
async fn recognise(
    core: &Core,
    login: &Login,
    session: &Session,
    credentials: &Credentials,
) -> Result<Option<usize>, Reason> {
    Ok(match login.directory.check(&credentials.name, &credentials.password) {
        Check::Accept(user) => Some(user),
        Check::Refuse => None,
        Check::Hash { user, phc } => {
            let accepted = verify(core, login, session, user, phc, credentials).await?;
            user.filter(|_| accepted)
        }
    })
}

/// Notes the failure and keeps the answer back for as long as policy says. Counted from the question: what a
/// hash took to verify would else tell whose it was.
async fn refuse(core: &Core, session: &Session, credentials: &Credentials, asked: Instant) -> Reason {
    let service = core.service();
    let logins = &service.config.socks5.logins;
    let failure = core.wiring.clients.login_failed(session.peer().ip(), logins, core.now_ns());
    drop(service);
    core.cells.logins_failed.add(1);
    if failure.banned {
        core.cells.clients_banned.add(1);
    }
    {
        let mut facts = session.facts.borrow_mut();
        let notes = facts.notes();
        notes.claimed = Some(String::from_utf8_lossy(&credentials.name).into());
        notes.banned = failure.banned;
    }
    core.sessions.enter_for(session, Phase::Verdict, failure.delay + DELAY_SLACK);
    loop {
        let left = failure.delay.saturating_sub(asked.elapsed());
        if left.is_zero() || session.cut_reason().is_some() {
            return session.cut_reason().unwrap_or(Reason::AuthFailed);
        }
        // Boxed: a timer is large, and only those who failed need one. A cut does not wake it.
        Box::pin(rt::sleep(left.min(TICK))).await;
    }
}

async fn verify(
    core: &Core,
    login: &Login,
    session: &Session,
    user: Option<usize>,
    hash: &str,
    credentials: &Credentials,
) -> Result<bool, Reason> {
    let name = user.map(|user| &login.directory.account(user).user.name);
    let password = &credentials.password;
    if name.is_some_and(|name| core.remembered.borrow().holds(name, hash, password, Instant::now())) {
        return Ok(true);
    }
    let question = core.questions.open();
    session.set_question(Some(question.ticket()));
    core.sessions.enter(session, Phase::Verdict);
    let job = Job {
        hash: hash.into(),
        password: password.clone(),
        decoy: user.is_none(),
        // Not the whole: under a flood each job would be begun just before its asker leaves, and none answered.
        deadline: Instant::now() + session.service.config.socks5.timeouts.authentication / 2,
        back: core.return_address(&question),
    };
    login.verifier.ask(job).map_err(|_| Reason::VerifierBusy)?;
    let answer = question.await;
    session.set_question(None);
    let Some(Reply::Verified(accepted)) = answer else {
        return Err(session.cut_reason().unwrap_or(Reason::VerifierBusy));
    };
    if let (true, Some(name)) = (accepted, name) {
        core.remembered.borrow_mut().keep(name, hash, password, Instant::now());
    }
    Ok(accepted)
}
