//! `estreamer tokens`.

use crate::arguments::Tokens;
use crate::exit::{Exit, Failure, say};
use server::Home;
use std::path::Path;

pub(crate) fn run(arguments: &Tokens) -> Result<Exit, Failure> {
    match arguments {
        Tokens::Add(token) => {
            let secret = of(&token.home)?.add(&token.name)?;
            say(secret);
            eprintln!("This is the token of {}. It is kept nowhere: note it now", token.name);
        }
        Tokens::List { home } => of(home)?.names()?.iter().for_each(say),
        Tokens::Remove(token) => {
            of(&token.home)?.remove(&token.name)?;
            say(format_args!("the token of {} is removed: it is refused from now on", token.name));
        }
    }
    Ok(Exit::Done)
}

fn of(home: &Path) -> Result<publish::Tokens, Failure> {
    Ok(tokens(&Home::open(home)?))
}

/// The tokens of a home.
pub(crate) fn tokens(home: &Home) -> publish::Tokens {
    publish::Tokens::new(&home.dir().join("publish.tokens"))
}
