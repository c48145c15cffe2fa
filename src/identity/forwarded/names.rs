//! Fields in which proxies say who their clients are: by address, or by what stands in a certificate.

/// Whether proxies say in a field of this name who their client is. Everybody else can write what he likes there.
///
/// There are many such fields, and each proxy can be given others: so they are known by the words in their names. Some
/// servers take `_` for `-`.
pub fn names_a_client(field: &str) -> bool {
    let field = field.to_ascii_lowercase();
    let mut words = field.split(|c: char| !c.is_ascii_alphanumeric());
    field.contains(FORWARDED) || words.any(|word| WORDS.contains(&word))
}

const FORWARDED: &str = "forwarded";

/// `docs/input.md` has the same list.
const WORDS: [&str; 20] = [
    "addr",
    "address",
    "cert",
    "certificate",
    "certs",
    "clientcert",
    "clientip",
    "dn",
    "forward",
    "ip",
    "ipv4",
    "ipv6",
    "mtls",
    "realip",
    "remote",
    "remoteip",
    "socketip",
    "ssl",
    "tls",
    "verify",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_proxies_are_known_by_the_words_in_their_names() {
        for name in [
            "CF-Connecting-IP",
            "CF-Connecting-IPv6",
            "CF-Pseudo-IPv4",
            "Client-Cert",
            "Client-Cert-Chain",
            "Client-IP",
            "Fastly-Client-IP",
            "Fly-Client-IP",
            "Forwarded",
            "Forwarded-For",
            "Proxy-Client-IP",
            "Remote-Addr",
            "Remote-User",
            "SSL-Client-Cert",
            "SSL-Client-Subject-DN",
            "SSL_CLIENT_VERIFY",
            "True-Client-IP",
            "WL-Proxy-Client-Cert",
            "WL-Proxy-Client-IP",
            "X-Amzn-Mtls-Clientcert",
            "X-Amzn-Mtls-Clientcert-Subject",
            "X-AppEngine-User-IP",
            "X-ARR-ClientCert",
            "X-Azure-ClientIP",
            "X-Azure-SocketIP",
            "X-Client-Cert",
            "X-Client-IP",
            "X-Client-S-DN",
            "X-Client-Verify",
            "X-Cluster-Client-IP",
            "X-Envoy-External-Address",
            "X-Forward-For",
            "X-Forwarded-Client-Cert",
            "X-Forwarded-For",
            "X-Forwarded-Host",
            "X-ForwardedFor",
            "X-Original-Forwarded-For",
            "X-Originating-IP",
            "X-Real-IP",
            "X-Remote-IP",
            "X-SSL-Client-CN",
            "X-TLS-Client-Subject",
            "X_Forwarded_For",
            "X_Real_IP",
            "x.real.ip",
        ] {
            assert!(names_a_client(name), "{name}");
        }
        for name in [
            "accept",
            "host",
            "max-forwards",
            "traceparent",
            "user-agent",
            "via",
            "x-dtgate-token",
            "x-goog-iap-jwt-assertion",
            "x-request-id",
            "x-ship",
        ] {
            assert!(!names_a_client(name), "{name}");
        }
    }

    #[test]
    fn the_page_about_the_input_lists_the_words() {
        let page = include_str!("../../../docs/input.md");
        let (_, rest) = page.split_once("one of these words in its name: ").unwrap();
        let (listed, _) = rest.split_once(", or ").unwrap();
        let listed: Vec<&str> = listed
            .split(", ")
            .map(|word| word.trim_matches('`'))
            .collect();
        assert_eq!(listed, WORDS);
        assert!(page.contains(&format!("`{FORWARDED}` anywhere in it")));
    }
}
