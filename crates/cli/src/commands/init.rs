//! `estreamer init`.

use crate::arguments::Init;
use crate::exit::{Exit, Failure};

pub(crate) fn run(arguments: &Init) -> Result<Exit, Failure> {
    let mut names = arguments.names.clone();
    if names.is_empty() {
        names.push(rustix::system::uname().nodename().to_string_lossy().into_owned());
        names.push("localhost".to_owned());
    }
    server::Home::init(&arguments.dir, &names)?;
    let dir = arguments.dir.display();
    println!("{dir} is ready: authority, server certificate for {}, settings.toml", names.join(", "));
    println!("Next: estreamer clients add --home {dir} CLIENT_ADDRESS; estreamer server --home {dir}");
    Ok(Exit::Done)
}
