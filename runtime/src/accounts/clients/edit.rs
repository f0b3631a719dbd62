//! Changes to the text of a list, which leave every other line of it as its administrator wrote it.

use super::write::entry;
use super::{Client, Clients, ClientsFault, Fault};
use crate::keys::PublicKey;

/// Adds clients at the end. One that stands there already, with the same name and key, stays as it is, whatever
/// its limits.
///
/// # Errors
/// If the text is no list, or no longer one with these clients.
pub fn added(text: &str, clients: &[Client]) -> Result<String, ClientsFault> {
    let listed = Clients::parse(text)?;
    let mut text = text.to_owned();
    for client in clients {
        if !listed
            .iter()
            .any(|one| one.name == client.name && one.key == client.key)
        {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&entry(client));
        }
    }
    Clients::parse(&text)?;
    Ok(text)
}

/// Makes comments of the lines of these clients. Names that do not stand there are passed over.
///
/// # Errors
/// If the text is no list, or lists them in another way than as tables of their own.
pub fn removed(text: &str, names: &[&str]) -> Result<String, ClientsFault> {
    let left: Vec<Client> = Clients::parse(text)?
        .into_iter()
        .filter(|one| !names.contains(&&*one.name))
        .collect();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let heads: Vec<usize> = (0..lines.len()).filter(|&at| is_head(&lines[at])).collect();
    for (number, &head) in heads.iter().enumerate() {
        let end = heads.get(number + 1).copied().unwrap_or(lines.len());
        let table = &mut lines[head..end];
        // What is a table by itself says whose it is; what is not is told by the check below.
        let name = Clients::parse(&table.join("\n"))
            .ok()
            .and_then(|one| one.into_iter().next().map(|client| client.name));
        if name.is_some_and(|name| names.contains(&&*name)) {
            // Comments behind it may be about the next one: they stay.
            let said = table.iter_mut().filter(|line| !is_comment(line));
            said.for_each(|line| line.insert_str(0, "# removed: "));
        }
    }
    let mut text = lines.join("\n");
    text.push('\n');
    // Whatever way of writing was not understood above is not guessed at.
    match Clients::parse(&text) {
        Ok(listed) if listed.iter().eq(&left) => Ok(text),
        _ => Err(Fault::Inseparable {
            names: names.join("`, `"),
        }
        .into()),
    }
}

/// Gives a client another key, and leaves its limits as they are. One that does not stand there is passed over.
///
/// # Errors
/// As [`removed`], or if the key is another's.
pub fn rekeyed(text: &str, name: &str, key: PublicKey) -> Result<String, ClientsFault> {
    let listed = Clients::parse(text)?;
    let Some(old) = listed.iter().find(|one| one.name == name).map(|one| one.key) else {
        return Ok(text.to_owned());
    };
    // The text of a key stands in a list once, but for comments, where it may be exchanged as well.
    let text = text.replace(&old.to_string(), &key.to_string());
    let mut wanted: Vec<Client> = listed.into_iter().collect();
    wanted
        .iter_mut()
        .filter(|one| one.name == name)
        .for_each(|one| one.key = key);
    match Clients::parse(&text)?.iter().eq(&wanted) {
        true => Ok(text),
        false => Err(Fault::Inseparable {
            names: name.to_owned(),
        }
        .into()),
    }
}

fn is_head(line: &str) -> bool {
    let line: String = line.chars().filter(|c| !c.is_whitespace()).collect();
    line == "[[client]]" || line.starts_with("[[client]]#")
}

fn is_comment(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with('#')
}
