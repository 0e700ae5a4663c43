//! `estreamer init`.

use super::admin;
use crate::arguments::Init;
use crate::exit::{Exit, Failure, say};
use ::admin::Password;

pub(crate) fn run(arguments: &Init) -> Result<Exit, Failure> {
    let mut names = arguments.names.clone();
    if names.is_empty() {
        names.push(rustix::system::uname().nodename().to_string_lossy().into_owned());
        names.push("localhost".to_owned());
    }
    // What is wrong with the password is said before anything is made.
    let file = arguments.admin_password_file.as_deref();
    let given = if file.is_some() || std::env::var_os(admin::VARIABLE).is_some() { admin::given(file)? } else { None };
    if let Some(password) = &given {
        ::admin::check_password(password)?;
    }
    let home = server::Home::init(&arguments.dir, &names)?;
    let dir = arguments.dir.display();
    say(format_args!("{dir} is ready: authority, server certificate for {}, settings.toml", names.join(", ")));
    let password = Password::of(&home);
    let given = if given.is_none() && !password.is_set() { admin::given(None)? } else { given };
    match given {
        Some(given) => {
            password.set(&given)?;
            say(format_args!("Administration page, when the service runs: {}", page(&home)?));
        }
        None if password.is_set() => {}
        None => {
            say(format_args!("The administration page is off; to switch it on: estreamer admin password --home {dir}"))
        }
    }
    say(format_args!("Next: estreamer clients add --home {dir} CLIENT_ADDRESS; estreamer server --home {dir}"));
    Ok(Exit::Done)
}

fn page(home: &server::Home) -> Result<String, Failure> {
    let addresses = home.settings()?.admin_listen;
    let addresses: Vec<String> = addresses.iter().map(|address| format!("https://{address}/")).collect();
    Ok(addresses.join(", "))
}
