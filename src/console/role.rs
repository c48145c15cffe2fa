//! What people may see: the roles that a configuration gives them.

use serde::{Deserialize, Deserializer};

use super::Viewer;

/// A role. Everybody who is let in is a viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees names and ids of tokens and callers.
    Auditor,
    /// May judge requests by policies of their own.
    Author,
    Viewer,
}

/// The roles of somebody: `"auditor"`, or a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles(Vec<Role>);

impl Roles {
    pub(super) fn give(&self, viewer: &mut Viewer) {
        for role in &self.0 {
            match role {
                Role::Auditor => viewer.is_auditor = true,
                Role::Author => viewer.is_author = true,
                Role::Viewer => {}
            }
        }
    }
}

impl<'de> Deserialize<'de> for Roles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        one_or_more(deserializer).map(Self)
    }
}

/// One value, or a list of them.
pub(super) fn one_or_more<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let value = toml::Value::deserialize(deserializer)?;
    let values = match value {
        toml::Value::Array(values) => values,
        one => vec![one],
    };
    let values = values.into_iter().map(T::deserialize);
    let values: Result<Vec<T>, _> = values.collect();
    values.map_err(|error| serde::de::Error::custom(error.message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_a_word_or_one_of_a_list() {
        #[derive(Deserialize)]
        struct Of {
            roles: Roles,
        }
        let roles = |text: &str| toml::from_str::<Of>(text).map(|it| it.roles);
        assert_eq!(roles("roles = 'auditor'").unwrap().0, [Role::Auditor]);
        let both = roles("roles = ['author', 'viewer']").unwrap();
        assert_eq!(both.0, [Role::Author, Role::Viewer]);
        let error = roles("roles = 'admin'").unwrap_err().to_string();
        assert!(error.contains("unknown variant `admin`"), "{error}");
    }
}
