//! Where settings come from, and which of them a role takes.

use clap::{CommandFactory, Parser};

use super::*;
use crate::keys::PublicKey;
use crate::net::ServeOptions;

#[derive(Debug, Parser)]
struct Flags {
    #[command(flatten)]
    settings: Settings,
}

fn key(byte: u8) -> PublicKey {
    PublicKey::from_bytes([byte; 32])
}

fn flags(line: &str) -> Settings {
    let words = std::iter::once("party").chain(line.split_whitespace());
    Flags::try_parse_from(words).unwrap().settings
}

fn parsed(text: &str) -> Result<Settings, SettingsError> {
    Settings::parse(text, Path::new("party.toml"))
}

fn server() -> String {
    let key = key(1);
    format!(
        "role = \"server\"\nkey = \"k\"\nplans = \"p\"\nlisten = \"0.0.0.0:1\"\nclients = \"c\"\n\
         helper = \"h:2\"\nhelper-key = \"{key}\"\n"
    )
}

/// Every setting is a flag, has its variable, and is read from a file under the flag's name.
#[test]
fn each_setting_is_a_flag_a_variable_and_a_name_in_the_file() {
    let command = Flags::command();
    let arguments: Vec<_> = command
        .get_arguments()
        .filter(|one| one.get_id() != "help")
        .collect();
    assert_eq!(arguments.len(), Settings::NAMES.len());
    for (name, variable) in Settings::NAMES {
        assert_eq!(*variable, format!("TREFOIL_{}", name.to_uppercase()));
        let argument = arguments.iter().find(|one| one.get_id() == *name).unwrap();
        assert_eq!(argument.get_long(), Some(&*written(name)));
        assert_eq!(argument.get_env(), Some((*variable).as_ref()));
        assert!(argument.get_help().is_some());
        // It is known: an empty text is refused by its reader.
        let error = parsed(&format!("{} = \"\"", written(name))).unwrap_err();
        assert!(matches!(error, SettingsError::Value { .. }), "{error}");
    }
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let file = parsed("sessions = 3\nqueue = 5\ntimeout = 1.5\nsession-memory = \"2GB\"").unwrap();
    let settings = flags("--sessions 4").or(file);
    assert_eq!((settings.sessions, settings.queue), (Some(4), Some(5)));
    let settings = settings.or(parsed(&server()).unwrap()).server().unwrap();
    let options = settings.hall.options;
    assert_eq!((options.sessions, options.queue), (4, 5));
    assert_eq!(options.timeout, Duration::from_millis(1500));
    assert_eq!(options.session_memory, 2_000_000_000);
    assert_eq!(options.grace, ServeOptions::default().grace);
}

#[test]
fn paths_in_a_file_are_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("party.toml");
    std::fs::write(&file, "key = \"party.key\"\nplans = \"/abs\"").unwrap();
    let settings = Settings::read(&file).unwrap();
    assert_eq!(settings.key, Some(folder.path().join("party.key")));
    assert_eq!(settings.plans, Some(PathBuf::from("/abs")));
    assert!(matches!(
        Settings::read(&folder.path().join("none")),
        Err(SettingsError::Read { .. })
    ));
}

#[test]
fn what_a_file_must_not_say_is_named() {
    for (text, words) in [
        ("sesions = 3", "did you mean \"sessions\"?"),
        ("session_memory = 3", "did you mean \"session-memory\"?"),
        (
            "sessions = 0",
            "`sessions` to a value that it does not take: give a whole number",
        ),
        ("sessions = [1]", "it is a text or a number"),
        ("helper-key = \"x\"", "is not a public key"),
        ("role = \"boss\"", "give server, helper or client"),
        ("sessions 3", "is no TOML"),
        ("log-level = \"loud\"", "error, warn, info or debug"),
        ("[limits]\nsessions = 3", "is no setting"),
    ] {
        let error = parsed(text).unwrap_err().to_string();
        let unknown_table = text.starts_with('[') && error.contains("it is a text or a number");
        assert!(error.contains(words) || unknown_table, "{text}: {error}");
    }
}

#[test]
fn a_role_needs_its_own_and_takes_no_others() {
    for missing in ["key", "plans", "listen", "clients", "helper", "helper-key"] {
        let text: String = server()
            .lines()
            .filter(|line| !line.starts_with(&format!("{missing} ")))
            .fold(String::new(), |text, line| text + line + "\n");
        let error = parsed(&text).unwrap().server().unwrap_err().to_string();
        assert!(error.contains(&format!("needs `{missing}`")), "{error}");
        assert!(error.contains("TREFOIL_"), "{error}");
    }
    let error = parsed(&(server() + "retries = 3")).unwrap().server().unwrap_err();
    assert!(error.to_string().contains("a server has no `retries`"), "{error}");
    let error = parsed(&server()).unwrap().helper_of().unwrap_err();
    assert!(error.to_string().contains("a helper has no `helper"), "{error}");
}

#[test]
fn one_key_is_not_two_parties() {
    let client = |server: PublicKey, helper: PublicKey| {
        let text = format!(
            "key = \"k\"\nplan = \"p\"\nserver = \"s:1\"\nserver-key = \"{server}\"\nhelper = \"h:2\"\n\
             helper-key = \"{helper}\"\n"
        );
        parsed(&text).unwrap().client()
    };
    assert_eq!(client(key(1), key(2)).unwrap().retries, 10);
    assert!(matches!(
        client(key(1), key(1)),
        Err(SettingsError::OneKey { .. })
    ));
}

/// A variable that is another role's is passed over; what a flag or the file says is not.
#[test]
fn the_environment_may_be_that_of_several_parties() {
    let environment = |name: &str| match name {
        "TREFOIL_RETRIES" => Some("3".to_owned()),
        "TREFOIL_PLAN" => Some("p".to_owned()),
        _ => None,
    };
    let mut given = flags("--retries 3 --plan p");
    given.mark_ambient(environment);
    assert_eq!(given.ambient, ["plan", "retries"]);
    let file = parsed(&server()).unwrap();
    given.or(file.clone()).server().unwrap();
    let mut given = flags("--retries 4");
    given.mark_ambient(environment);
    let error = given.or(file).server().unwrap_err();
    assert!(error.to_string().contains("a server has no `retries`"), "{error}");
}
