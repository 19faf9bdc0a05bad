//! Who the client is: policy decides what it can, a verifier's thread checks hashed passwords.

use crate::core::Core;
use crate::io::questions::Reply;
use crate::io::sessions::{Phase, Session};
use crate::io::verify::Job;
use crate::policy::auth::Check;
use crate::proto::socks5::Credentials;
use crate::service::Login;
use ringway_shared::reason::Reason;
use std::time::Instant;

/// Whether the credentials are a user's; if so the session is that user's from here on.
pub async fn authenticate(core: &Core, session: &Session, credentials: &Credentials) -> Result<bool, Reason> {
    let Some(login) = &session.service.login else { return Ok(false) };
    let user = match login.directory.check(&credentials.name, &credentials.password) {
        Check::Accept(user) => Some(user),
        Check::Refuse => None,
        Check::Hash { user, phc } => {
            let accepted = verify(core, login, session, user, phc, credentials).await?;
            user.filter(|_| accepted)
        }
    };
    let Some(user) = user else { return Ok(false) };
    let account = login.directory.account(user).clone();
    account.usage.cells[core.wiring.index].opened.add(1);
    session.facts.borrow_mut().account = Some(account);
    Ok(true)
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
