//! Login, logout, password.

use crate::answer::{Answer, Problem};
use crate::app::{App, COOKIE_NAME, audit, unauthorized};
use crate::call::{Call, Who};
use crate::logins::Login;
use crate::password::PasswordError;
use hyper::StatusCode;
use hyper::header::SET_COOKIE;
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    password: String,
}

pub(crate) fn log_in(app: &App, call: &Call) -> Result<Answer, Problem> {
    let credentials: Credentials = call.json()?;
    let stranger = Who::Stranger(call.peer);
    check(app, call, &credentials.password, StatusCode::UNAUTHORIZED)?;
    let generation = app.password.generation().map_err(Problem::internal)?.unwrap_or_default();
    let (secret, login) = app.logins.create(call.peer, generation, app.clock.now()).map_err(Problem::internal)?;
    audit(&stranger, "logged in as administrator");
    let cookie = format!("{COOKIE_NAME}={secret}; HttpOnly; Secure; SameSite=Strict; Path=/");
    Ok(described(&login).with(SET_COOKIE, &cookie))
}

pub(crate) fn show(_: &App, call: &Call) -> Result<Answer, Problem> {
    match &call.who {
        Who::Login(login) => Ok(described(login)),
        _ => Ok(unauthorized()),
    }
}

pub(crate) fn log_out(app: &App, call: &Call) -> Result<Answer, Problem> {
    if let Who::Login(login) = &call.who {
        app.logins.end(&login.id);
        audit(&call.who, "logged out");
    }
    let gone = format!("{COOKIE_NAME}=; Max-Age=0; HttpOnly; Secure; SameSite=Strict; Path=/");
    Ok(Answer::done().with(SET_COOKIE, &gone))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    old: String,
    new: String,
}

pub(crate) fn change_password(app: &App, call: &Call) -> Result<Answer, Problem> {
    let change: Change = call.json()?;
    check(app, call, &change.old, StatusCode::FORBIDDEN)?;
    app.password.set(&change.new).map_err(|error| match error {
        PasswordError::Short { .. } | PasswordError::Long => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()).code("password")
        }
        error => Problem::internal(error),
    })?;
    let generation = app.password.generation().map_err(Problem::internal)?.unwrap_or_default();
    let kept = if let Who::Login(login) = &call.who { login.id.as_str() } else { "" };
    app.logins.keep_only(kept, &generation);
    audit(&call.who, "changed the password; all other logins end");
    Ok(Answer::done())
}

/// Whether a password is right; `status` says it is not.
fn check(app: &App, call: &Call, password: &str, status: StatusCode) -> Result<(), Problem> {
    app.attempts.begin(call.peer, app.clock.now()).map_err(|seconds| {
        let error = format!("too many wrong passwords; try again in {seconds} seconds");
        Problem::new(StatusCode::TOO_MANY_REQUESTS, error).retry_after(seconds)
    })?;
    if app.password.verify(password).map_err(Problem::internal)? {
        app.attempts.succeeded(call.peer);
        return Ok(());
    }
    audit(&Who::Stranger(call.peer), "gave a wrong password");
    let remedy = "\"estreamer admin password\" on the server sets a new one";
    Err(Problem::new(status, "the password is wrong").remedy(remedy).code("password"))
}

fn described(login: &Login) -> Answer {
    Answer::json(&json!({ "csrf": login.csrf, "expires": login.expires() }))
}
