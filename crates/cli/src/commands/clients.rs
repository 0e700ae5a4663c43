//! `estreamer clients`.

use super::domain;
use crate::arguments::Clients;
use crate::exit::{Exit, Failure};
use server::Home;
use std::path::PathBuf;

pub(crate) fn run(arguments: &Clients) -> Result<Exit, Failure> {
    match arguments {
        Clients::Add { home, host, password, out, place } => {
            let home = Home::open(home)?;
            let path = out.clone().unwrap_or_else(|| PathBuf::from(format!("{}.pkcs12", host.replace('/', "_"))));
            if path.exists() {
                return Err(Failure::new(format!(
                    "{} exists; move it away or name another file with --out",
                    path.display()
                )));
            }
            let netmap = domain::of_client(&home, place)?;
            let added = home.clients()?.add_in(&home, host, password.as_deref(), netmap)?;
            pki::files::write_private(&path, &added.bundle)?;
            println!("{} is a client; its key and certificate are in {}", added.client.name, path.display());
            println!("The certificate is valid until {}", pki::time_text(added.client.not_after));
        }
        Clients::List { home } => {
            let opened = Home::open(home)?;
            let clients = opened.clients()?.list(false)?;
            let domains = domain::known(&opened)?;
            if clients.is_empty() {
                println!("No clients. Create one: estreamer clients add --home {} HOST", home.display());
            }
            for client in clients {
                let domain = client.netmap.map_or_else(|| "default".to_owned(), |n| domain::show(&domains, n));
                println!(
                    "{}\tuntil {}\t{}\t{domain}",
                    client.name,
                    pki::time_text(client.not_after),
                    client.fingerprint
                );
            }
        }
        Clients::Remove { home, host } => {
            Home::open(home)?.clients()?.remove(host)?;
            println!("{host} is removed: its certificate is refused from now on");
        }
    }
    Ok(Exit::Done)
}
