//! `estreamer admin`, and the password of administrators.

use crate::arguments::{Admin, AdminTokens};
use crate::exit::{Exit, Failure, say};
use admin::{MIN_PASSWORD, Password};
use server::Home;
use std::io::IsTerminal;
use std::path::Path;

/// Where a password may be given.
pub(crate) const VARIABLE: &str = "ESTREAMER_ADMIN_PASSWORD";

pub(crate) fn run(arguments: &Admin) -> Result<Exit, Failure> {
    match arguments {
        Admin::Password { of, password_file } => {
            let home = Home::open(&of.home)?;
            let given = given(password_file.as_deref())?;
            let Some(password) = given else {
                return Err(Failure::new(format!(
                    "there is no terminal to ask for a password; give it in {VARIABLE} or with --password-file"
                )));
            };
            Password::of(&home).set(&password)?;
            say("The password is set. Who was logged in must log in again");
        }
        Admin::Tokens(tokens) => return tokens_of(tokens),
        Admin::RenewServerCertificate { of, names } => {
            let renewed = Home::open(&of.home)?.renew_server(names)?;
            say(format_args!("The server's certificate is valid until {}", pki::time_text(renewed.not_after)));
            say("A running service uses it after a reload: estreamer manage reload, or SIGHUP");
        }
    }
    Ok(Exit::Done)
}

fn tokens_of(arguments: &AdminTokens) -> Result<Exit, Failure> {
    match arguments {
        AdminTokens::Add { of, name } => {
            say(admin::tokens(&Home::open(&of.home)?).add(name)?);
            eprintln!("This is the token of {name}. It is kept nowhere: note it now");
        }
        AdminTokens::List { of } => admin::tokens(&Home::open(&of.home)?).names()?.iter().for_each(say),
        AdminTokens::Remove { of, name } => {
            admin::tokens(&Home::open(&of.home)?).remove(name)?;
            say(format_args!("the token of {name} is removed: it is refused from now on"));
        }
    }
    Ok(Exit::Done)
}

/// The password from a file, the environment or a terminal; `None` where there is none of them.
pub(crate) fn given(file: Option<&Path>) -> Result<Option<String>, Failure> {
    if let Some(file) = file {
        let bytes = pki::read_private(file)?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| Failure::new(format!("{}: the password is no UTF-8 text", file.display())))?;
        return Ok(Some(text.lines().next().unwrap_or_default().to_owned()));
    }
    if let Some(password) = std::env::var_os(VARIABLE) {
        let password = password.into_string().map_err(|_| Failure::new(format!("{VARIABLE} is no UTF-8 text")))?;
        return Ok(Some(password));
    }
    if !std::io::stdin().is_terminal() {
        return Ok(None);
    }
    ask().map(Some)
}

/// Asks until a password is long enough and twice the same.
fn ask() -> Result<String, Failure> {
    let asked = |prompt: &str| {
        let failed = |error| Failure::new(format!("the terminal cannot be asked for a password: {error}"));
        client::password::ask(prompt).map_err(failed)
    };
    loop {
        let first = asked(&format!("Password of the administration page (at least {MIN_PASSWORD} characters): "))?;
        if first.chars().count() < MIN_PASSWORD {
            eprintln!("It has {} characters; give at least {MIN_PASSWORD}", first.chars().count());
        } else if *asked("Once more: ")? != *first {
            eprintln!("They differ");
        } else {
            return Ok(first.to_string());
        }
    }
}
