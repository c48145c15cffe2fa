//! Who says it: what every message tells about the gate.
//!
//! The table `[otlp.resource]` comes first, then `OTEL_SERVICE_NAME`, then `OTEL_RESOURCE_ATTRIBUTES`, then what is known
//! without them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use super::spans::pair;

/// Attributes by name, few and short.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>")]
pub struct Named(BTreeMap<String, String>);

/// By what a gate is told from others, and known again after a restart.
#[derive(Clone, Debug)]
pub struct Instance(String);

/// What the environment says.
#[derive(Debug, Default)]
pub(super) struct Environment {
    attributes: Named,
    service: Option<String>,
    /// Why `OTEL_RESOURCE_ATTRIBUTES` is not looked at.
    pub(super) refused: Option<String>,
}

impl TryFrom<BTreeMap<String, String>> for Named {
    type Error = String;

    fn try_from(named: BTreeMap<String, String>) -> Result<Self, String> {
        let is_text = |text: &str, most: usize| {
            !text.is_empty() && text.len() <= most && !text.chars().any(char::is_control)
        };
        if named.len() > MOST {
            return Err(format!("there are at most {MOST} attributes of a resource"));
        }
        let wrong = named
            .iter()
            .any(|(name, value)| !is_text(name, LONGEST_NAME) || !is_text(value, LONGEST_VALUE));
        if wrong {
            return Err(format!(
                "a name of an attribute has 1 to {LONGEST_NAME} bytes, and a value 1 to {LONGEST_VALUE}, without control characters"
            ));
        }
        Ok(Self(named))
    }
}

impl Named {
    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl Instance {
    /// The machine (in Kubernetes: the pod), and where it listens there.
    pub fn of(listen: SocketAddr) -> Self {
        let host = rustix::system::uname();
        let host = host.nodename().to_string_lossy();
        Self(format!("{host}/{listen}"))
    }
}

impl Environment {
    /// As the specification of OpenTelemetry has it: a list with a mistake is not looked at, and that is said.
    fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let attributes = set("OTEL_RESOURCE_ATTRIBUTES")
            .map(|list| attributes(&list).and_then(Named::try_from))
            .transpose();
        let service = set("OTEL_SERVICE_NAME").map(|name| {
            let one = BTreeMap::from([(SERVICE.to_owned(), name.clone())]);
            Named::try_from(one).map(|_| name)
        });
        let (service, wrong) = match service.transpose() {
            Ok(service) => (service, None),
            Err(reason) => (None, Some(format!("OTEL_SERVICE_NAME: {reason}"))),
        };
        let (attributes, refused) = match attributes {
            Ok(attributes) => (attributes.unwrap_or_default(), None),
            Err(reason) => (
                Named::default(),
                Some(format!("OTEL_RESOURCE_ATTRIBUTES: {reason}")),
            ),
        };
        Self {
            attributes,
            service,
            refused: refused.or(wrong),
        }
    }
}

/// `name=value,…`, each of both percent-encoded.
fn attributes(list: &str) -> Result<BTreeMap<String, String>, String> {
    let decoded = |text: &str| {
        let decoded = percent_decode_str(text.trim()).decode_utf8();
        decoded.map(String::from)
    };
    let pairs = list.split(',').map(|pair| {
        let (name, value) = pair.split_once('=')?;
        Some((decoded(name).ok()?, decoded(value).ok()?))
    });
    pairs
        .collect::<Option<_>>()
        .ok_or_else(|| "write name=value,name=value, percent-encoded".to_owned())
}

/// What the environment of this program says.
pub(super) fn environment() -> Environment {
    Environment::read(|name| std::env::var(name).ok())
}

pub(super) fn resource(
    configured: &Named,
    instance: &Instance,
    environment: &Environment,
) -> Resource {
    let mut all = BTreeMap::from([
        (SERVICE, "dtgate"),
        ("service.instance.id", instance.0.as_str()),
        ("service.version", env!("CARGO_PKG_VERSION")),
    ]);
    all.extend(environment.attributes.pairs());
    all.extend(
        environment
            .service
            .iter()
            .map(|name| (SERVICE, name.as_str())),
    );
    all.extend(configured.pairs());
    let text = |text: &str| any_value::Value::StringValue(text.to_owned());
    Resource {
        attributes: all
            .into_iter()
            .map(|(name, value)| pair(name, text(value)))
            .collect(),
        ..Resource::default()
    }
}

const SERVICE: &str = "service.name";
/// More is no description of a program.
const MOST: usize = 64;
const LONGEST_NAME: usize = 128;
const LONGEST_VALUE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    /// What a resource says with this table and these variables.
    fn told(table: &str, variables: &[(&str, &str)]) -> (BTreeMap<String, String>, Option<String>) {
        let environment = Environment::read(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        });
        let instance = Instance("a/127.0.0.1:1".to_owned());
        let resource = resource(&toml::from_str(table).unwrap(), &instance, &environment);
        let texts = resource.attributes.into_iter().map(|pair| {
            match pair.value.and_then(|value| value.value) {
                Some(any_value::Value::StringValue(text)) => (pair.key, text),
                other => panic!("{other:?}"),
            }
        });
        (texts.collect(), environment.refused)
    }

    #[test]
    fn the_table_comes_before_the_environment_and_that_before_what_is_known() {
        let (plain, refused) = told(
            "",
            &[("OTEL_RESOURCE_ATTRIBUTES", ""), ("OTEL_SERVICE_NAME", "")],
        );
        assert_eq!(plain["service.name"], "dtgate");
        assert_eq!(plain["service.instance.id"], "a/127.0.0.1:1");
        assert_eq!(plain["service.version"], env!("CARGO_PKG_VERSION"));
        assert_eq!((plain.len(), refused), (3, None));

        let list = (
            "OTEL_RESOURCE_ATTRIBUTES",
            "service.name=list, k8s.pod.name = gate%2D0 ,x=a%2Cb%3Dc=d",
        );
        let (by_list, refused) = told("", &[list]);
        assert_eq!(by_list["service.name"], "list");
        assert_eq!(
            (&*by_list["k8s.pod.name"], &*by_list["x"]),
            ("gate-0", "a,b=c=d")
        );
        assert_eq!(refused, None);

        let name = ("OTEL_SERVICE_NAME", "name");
        let (by_name, _) = told("", &[list, name]);
        assert_eq!(by_name["service.name"], "name");
        let table = "'service.name' = 'table'\n'service.instance.id' = 'one'\n'deployment.environment.name' = 'prod'\n";
        let (by_table, _) = told(table, &[list, name]);
        assert_eq!(by_table["service.name"], "table");
        assert_eq!(by_table["service.instance.id"], "one");
        assert_eq!(by_table["deployment.environment.name"], "prod");
        assert_eq!(by_table["k8s.pod.name"], "gate-0");
    }

    #[test]
    fn a_list_with_a_mistake_is_left_out_whole_and_said() {
        let long = format!("a={}", "x".repeat(257));
        for wrong in ["a", "a=1,b", "a=%FF", "=1", "a=%0A", "a=1,", &long] {
            let (told, refused) = told("", &[("OTEL_RESOURCE_ATTRIBUTES", wrong)]);
            assert_eq!(told.len(), 3, "{wrong}");
            assert!(
                refused.unwrap().starts_with("OTEL_RESOURCE_ATTRIBUTES: "),
                "{wrong}"
            );
        }
        let (told, refused) = told("", &[("OTEL_SERVICE_NAME", "a\nb")]);
        assert_eq!(told["service.name"], "dtgate");
        assert!(refused.unwrap().starts_with("OTEL_SERVICE_NAME: "));
    }

    #[test]
    fn a_table_is_bounded() {
        let many: Vec<String> = (0..65).map(|number| format!("a{number} = 'b'")).collect();
        let (long_name, long_value) = ("a".repeat(129), "b".repeat(257));
        for wrong in [
            many.join("\n"),
            format!("{long_name} = 'b'"),
            format!("a = '{long_value}'"),
            "a = ''".to_owned(),
            "'' = 'b'".to_owned(),
            "a = \"\\n\"".to_owned(),
            "a = 1".to_owned(),
        ] {
            toml::from_str::<Named>(&wrong).unwrap_err();
        }
    }

    #[test]
    fn an_instance_is_the_same_after_a_restart_and_not_that_of_another_port() {
        let of = |text: &str| Instance::of(text.parse().unwrap()).0;
        assert_eq!(of("127.0.0.1:1"), of("127.0.0.1:1"));
        assert_ne!(of("127.0.0.1:1"), of("127.0.0.1:2"));
        assert!(!of("127.0.0.1:1").starts_with('/'));
    }
}
