//! Settings in layers: a commented default compiled in, a file over it, the environment over both.
//!
//! The environment names a setting `HOLDFAST__SECTION__KEY`. A section's or key's name that the
//! service does not know is an error, so that a misspelt setting never passes in silence.

use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::ffi::OsString;
use std::path::Path;

const ENV_PREFIX: &str = "HOLDFAST__";
const MASK: &str = "***";

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A layer cannot be read, or a value or name does not fit.
    #[error("settings: {0}")]
    Layer(#[from] config::ConfigError),
    /// The settings cannot be shown.
    #[error("cannot print the settings: {0}")]
    Print(#[from] toml::ser::Error),
    /// Values that do not go together.
    #[error("settings: {0}")]
    Conflict(String),
}

/// Reads the layers into `S`, whose every level denies unknown fields.
pub fn load<S: DeserializeOwned>(
    default_toml: &'static str,
    file: Option<&Path>,
) -> Result<S, SettingsError> {
    load_with(default_toml, file, variables(std::env::vars_os()))
}

/// The variables whose name and value are text; the others are none of ours.
pub fn variables(
    all: impl Iterator<Item = (OsString, OsString)>,
) -> impl Iterator<Item = (String, String)> {
    all.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn load_with<S: DeserializeOwned>(
    default_toml: &'static str,
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<S, SettingsError> {
    let ours = environment.filter(|(name, _)| name.starts_with(ENV_PREFIX));
    // Values stay the text they are, so that a password such as 0123 is not taken for a number;
    // a field that is a number or a bool reads it from the text.
    let environment = config::Environment::with_prefix("HOLDFAST")
        .prefix_separator("__")
        .separator("__")
        .source(Some(ours.collect()));
    let mut builder = config::Config::builder().add_source(config::File::from_str(
        default_toml,
        config::FileFormat::Toml,
    ));
    if let Some(path) = file {
        builder = builder.add_source(config::File::from(path));
    }
    Ok(builder.add_source(environment).build()?.try_deserialize()?)
}

/// The settings as TOML, secrets masked.
pub fn print<S: Serialize>(settings: &S) -> Result<String, SettingsError> {
    Ok(toml::to_string_pretty(settings)?)
}

/// A text that is never printed.
#[derive(Clone, Default)]
pub struct Secret(Option<SecretString>);

impl Secret {
    /// The text; empty when none was set.
    pub fn expose(&self) -> &str {
        self.0.as_ref().map_or("", |secret| secret.expose_secret())
    }

    /// Whether there is a text.
    pub fn is_set(&self) -> bool {
        !self.expose().is_empty()
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(Some(SecretString::from(text)))
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::from(text.as_str()))
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.is_set() { MASK } else { "" })
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(MASK)
    }
}

/// URLs that may carry a password, as a TOML list or one comma-separated text. Printed without
/// the password.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct UrlList(pub Vec<String>);

#[derive(Deserialize)]
#[serde(untagged)]
enum ListOrText {
    List(Vec<String>),
    Text(String),
}

impl<'de> Deserialize<'de> for UrlList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let urls = match ListOrText::deserialize(deserializer)? {
            ListOrText::List(urls) => urls,
            ListOrText::Text(text) => text.split(',').map(str::to_owned).collect(),
        };
        let urls = urls.iter().map(|url| url.trim().to_owned());
        Ok(Self(urls.filter(|url| !url.is_empty()).collect()))
    }
}

impl Serialize for UrlList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|url| mask_password(url)))
    }
}

impl std::fmt::Debug for UrlList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|url| mask_password(url)))
            .finish()
    }
}

/// The URL with its password, if it has one, replaced by `***`.
pub fn mask_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let authority_end = rest.find('/').unwrap_or(rest.len());
    let Some(at) = rest[..authority_end].rfind('@') else {
        return url.to_owned();
    };
    match rest[..at].split_once(':') {
        Some((user, _)) => format!("{scheme}://{user}:{MASK}{}", &rest[at..]),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, Serialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        stores: Stores,
    }

    #[derive(Debug, Deserialize, Serialize)]
    #[serde(deny_unknown_fields)]
    struct Stores {
        order_shards: UrlList,
        connections_max: u32,
        cached: bool,
        password: Secret,
    }

    const DEFAULT: &str = "[stores]\norder_shards = []\nconnections_max = 8\ncached = false\n\
                           password = \"\"\n";

    fn read(environment: &[(&str, &str)], file: Option<&Path>) -> Result<Settings, SettingsError> {
        let pairs = environment
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        load_with(DEFAULT, file, pairs)
    }

    #[test]
    fn the_environment_lies_over_the_file_over_the_default() {
        let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        std::fs::write(
            file.path(),
            "[stores]\nconnections_max = 9\npassword = \"f\"\n",
        )
        .unwrap();
        let environment = [
            (
                "HOLDFAST__STORES__ORDER_SHARDS",
                "mysql://u:p@a:1/x, mysql://b:2/y",
            ),
            ("HOLDFAST__STORES__PASSWORD", "12345"),
            ("HOLDFAST_CACHE", "elsewhere"),
        ];
        let settings = read(&environment, Some(file.path())).unwrap();
        assert_eq!(
            settings.stores.order_shards.0,
            ["mysql://u:p@a:1/x", "mysql://b:2/y"]
        );
        assert_eq!(settings.stores.connections_max, 9);
        assert_eq!(settings.stores.password.expose(), "12345");
    }

    #[test]
    fn a_secret_that_looks_like_a_number_or_a_bool_is_taken_as_it_is() {
        for password in ["0123", "1e3", "TRUE", "+5", "0x10", ""] {
            let environment = [
                ("HOLDFAST__STORES__PASSWORD", password),
                ("HOLDFAST__STORES__ORDER_SHARDS", "007"),
            ];
            let settings = read(&environment, None).unwrap();
            assert_eq!(settings.stores.password.expose(), password);
            assert_eq!(settings.stores.order_shards.0, ["007"]);
        }
    }

    #[test]
    fn numbers_and_bools_are_read_from_the_environment() {
        for (text, cached) in [("true", true), ("TRUE", true), ("false", false)] {
            let environment = [
                ("HOLDFAST__STORES__CONNECTIONS_MAX", "12"),
                ("HOLDFAST__STORES__CACHED", text),
            ];
            let stores = read(&environment, None).unwrap().stores;
            assert_eq!((stores.connections_max, stores.cached), (12, cached));
        }
        assert!(read(&[("HOLDFAST__STORES__CONNECTIONS_MAX", "many")], None).is_err());
        assert!(read(&[("HOLDFAST__STORES__CACHED", "perhaps")], None).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_variable_that_is_not_text_is_passed_over() {
        use std::os::unix::ffi::OsStringExt;
        let not_text = || OsString::from_vec(vec![0xff]);
        let all = [
            (OsString::from("A"), not_text()),
            (not_text(), OsString::from("b")),
            (OsString::from("C"), OsString::from("d")),
        ];
        let texts: Vec<_> = variables(all.into_iter()).collect();
        assert_eq!(texts, [("C".to_owned(), "d".to_owned())]);
    }

    #[test]
    fn an_unknown_name_is_an_error_that_names_it() {
        let error = read(&[("HOLDFAST__STORES__CONECTIONS_MAX", "1")], None).unwrap_err();
        assert!(error.to_string().contains("conections_max"), "{error}");
    }

    #[test]
    fn printed_settings_hide_secrets() {
        let environment = [
            ("HOLDFAST__STORES__ORDER_SHARDS", "mysql://u:hush@a:1/x"),
            ("HOLDFAST__STORES__PASSWORD", "hush"),
        ];
        let settings = read(&environment, None).unwrap();
        let printed = format!("{}{settings:?}", print(&settings).unwrap());
        assert!(!printed.contains("hush"), "{printed}");
        assert!(printed.contains("mysql://u:***@a:1/x"), "{printed}");
    }
}
