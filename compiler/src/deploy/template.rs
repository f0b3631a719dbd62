//! Files that are filled in. A field is written `{{FIELD}}`; each must have its value, and each value its field.

/// A template and its fields.
pub(super) struct Template {
    text: &'static str,
}

macro_rules! templates {
    ($($name:ident = $file:literal;)*) => {
        $(pub(super) const $name: Template = Template { text: include_str!(concat!("templates/", $file)) };)*

        #[cfg(test)]
        pub(super) const ALL: &[(&str, &str)] = &[$((stringify!($name), $name.text)),*];
    };
}

templates! {
    SERVER = "server.toml";
    HELPER = "helper.toml";
    CLIENT = "client.toml";
    UNIT = "trefoil.service";
    COMPOSE = "compose.yaml";
    CONTAINER = "Containerfile";
}

impl Template {
    /// The text with these values in place of its fields.
    pub(super) fn fill(&self, values: &[(&str, &str)]) -> String {
        let mut text = self.text.to_owned();
        for (field, value) in values {
            let field = format!("{{{{{field}}}}}");
            assert!(text.contains(&field), "{field} is a field of the template");
            text = text.replace(&field, value);
        }
        assert!(!text.contains("{{"), "every field has a value: {text}");
        text
    }
}
