//! What of the section may not be meant, and is in force.

use super::{Config, Temporality, resource};

/// Keys below `otlp`, and what is to be said about them.
pub fn doubts(config: &Config) -> Vec<(&'static [&'static str], String)> {
    let mut doubts: Vec<(&'static [&'static str], String)> = Vec::new();
    let mut doubt = |is_so: bool, keys: &'static [&'static str], reason: &str| {
        if is_so {
            doubts.push((keys, reason.to_owned()));
        }
    };
    let endpoint = &config.endpoint;
    doubt(
        config.traces.is_none() && config.metrics.is_none(),
        &[],
        "nothing is sent: add [otlp.traces], [otlp.metrics], or both",
    );
    doubt(
        !endpoint.is_private(),
        &["endpoint"],
        "traces and metrics cross the network readable, and whoever is on the way can change them: write https://",
    );
    doubt(
        endpoint.is_of_grpc(),
        &["endpoint"],
        "4317 is the port of OTLP over gRPC, which dtgate does not speak: OTLP over HTTP usually has 4318",
    );
    let metrics = config.metrics.as_ref();
    doubt(
        endpoint.is_dynatrace() && metrics.is_some_and(|it| it.temporality != Temporality::Delta),
        &["metrics"],
        "this looks like Dynatrace's endpoint, which takes no cumulative counters and histograms: write temporality = \"delta\"",
    );
    doubt(
        endpoint.is_here() && config.proxy.is_some(),
        &["proxy"],
        "it is never used, because the endpoint is on this machine: take it away",
    );
    let is_plain = !endpoint.is_encrypted();
    let never = "it is never used, because otlp.endpoint is http://: write https://";
    doubt(is_plain && config.ca.is_some(), &["ca"], never);
    let certificate = config.client_certificate.is_some();
    doubt(is_plain && certificate, &["client_certificate"], never);
    if let Some(reason) = resource::environment().refused {
        let reason = format!("the environment variable is not looked at: {reason}");
        doubts.push((&["resource"], reason));
    }
    doubts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_be_meant_is_said() {
        let told = |text: &str| {
            let config = toml::from_str(text).unwrap();
            let told = doubts(&config).into_iter();
            told.map(|(keys, reason)| format!("{}: {reason}", keys.join(".")))
                .collect::<Vec<_>>()
        };
        let dynatrace = "endpoint = 'https://a.live.dynatrace.com/api/v2/otlp'\n";
        for (text, wanted) in [
            ("endpoint = 'https://a'\n", ": nothing is sent"),
            (
                "endpoint = 'http://collector:4318'\ntraces = {}\n",
                "endpoint: traces and metrics cross the network readable",
            ),
            (
                "endpoint = 'http://127.0.0.1:4317'\ntraces = {}\n",
                "endpoint: 4317 is the port of OTLP over gRPC",
            ),
            (
                &format!("{dynatrace}metrics = {{}}\n"),
                "metrics: this looks like Dynatrace's",
            ),
            (
                "endpoint = 'https://localhost'\nproxy = 'http://p:1'\ntraces = {}\n",
                "proxy: it is never used",
            ),
            (
                "endpoint = 'http://localhost'\nca = 'a'\ntraces = {}\n",
                "ca: it is never used",
            ),
            (
                "endpoint = 'http://localhost'\ntraces = {}\nclient_certificate = { certificate = 'a', key = 'b' }\n",
                "client_certificate: it is never used",
            ),
        ] {
            let told = told(text);
            assert!(
                told.len() == 1 && told[0].starts_with(wanted),
                "{text}: {told:?}"
            );
        }
        for text in [
            "endpoint = 'http://127.0.0.1:4318'\ntraces = {}\nmetrics = {}\n",
            &format!("{dynatrace}metrics.temporality = 'delta'\n"),
            &format!("{dynatrace}traces = {{}}\n"),
        ] {
            assert_eq!(told(text), [""; 0], "{text}");
        }
    }
}
