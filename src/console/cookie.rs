//! Cookies of the console. Over TLS only this very host can set one, and only by TLS: no neighbour's is believed.

use http::header::COOKIE;
use http::request::Parts;

use crate::admin::asked_host;

/// What a cookie is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cookie {
    /// Of a session, for as long as the browser runs. No page of somebody else makes a browser send it.
    Session,
    /// Of a login at an issuer that has begun. The issuer's page leads back here, so that it is sent then.
    Login,
    /// Of a browser in which somebody has logged in before. It lets nobody in, and stays after a session.
    Known,
}

/// How a browser asks, by which its cookies are named. Cookies know no port: two consoles of one host would take each
/// other's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Jar {
    is_secure: bool,
    /// As the browser has it; `None`: the usual one.
    port: Option<u16>,
}

impl Jar {
    pub(super) fn of(parts: &Parts, is_secure: bool) -> Self {
        let port = asked_host(parts).and_then(|host| host.port_u16());
        let usual = if is_secure { 443 } else { 80 };
        Self {
            is_secure,
            port: port.filter(|port| *port != usual),
        }
    }

    fn secure(self) -> &'static str {
        if self.is_secure { "; Secure" } else { "" }
    }
}

impl Cookie {
    /// Sets it.
    pub(super) fn set(self, value: &str, jar: Jar) -> String {
        let secure = jar.secure();
        let rest = match self {
            Self::Session => "SameSite=Strict",
            Self::Login => "SameSite=Lax; Max-Age=600",
            Self::Known => "SameSite=Strict; Max-Age=7776000",
        };
        let name = self.name(jar);
        format!("{name}={value}; Path=/; HttpOnly; {rest}{secure}")
    }

    /// Takes it away.
    pub(super) fn unset(self, jar: Jar) -> String {
        let (secure, name) = (jar.secure(), self.name(jar));
        format!("{name}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0{secure}")
    }

    /// Its value. Over TLS one of the plain name is nobody's: a neighbour by another port or domain could have set it.
    pub(super) fn of(self, parts: &Parts, jar: Jar) -> Option<&str> {
        let wanted = self.name(jar);
        let fields = parts.headers.get_all(COOKIE).iter();
        let fields = fields.filter_map(|field| field.to_str().ok());
        let mut cookies = fields.flat_map(|field| field.split(';'));
        cookies.find_map(|cookie| {
            let (name, value) = cookie.trim().split_once('=')?;
            (name == wanted && !value.is_empty()).then_some(value)
        })
    }

    fn name(self, jar: Jar) -> String {
        let prefix = if jar.is_secure { "__Host-" } else { "" };
        let what = match self {
            Self::Session => "console",
            Self::Login => "login",
            Self::Known => "known",
        };
        let port = jar.port.map_or_else(String::new, |port| format!("-{port}"));
        format!("{prefix}dtgate-{what}{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    #[test]
    fn over_tls_only_a_cookie_that_this_host_has_set_counts() {
        let text = "x=1; dtgate-console=neighbours; __Host-dtgate-console=ours";
        let request = Request::get("/console").header(COOKIE, text);
        let parts = request.body(()).unwrap().into_parts().0;
        let [secure, plain] = [true, false].map(|is_secure| Jar::of(&parts, is_secure));
        assert_eq!(Cookie::Session.of(&parts, secure), Some("ours"));
        assert_eq!(Cookie::Session.of(&parts, plain), Some("neighbours"));
        assert_eq!(Cookie::Login.of(&parts, secure), None);
        assert_eq!(
            Cookie::Session.set("a", secure),
            "__Host-dtgate-console=a; Path=/; HttpOnly; SameSite=Strict; Secure"
        );
    }

    #[test]
    fn two_consoles_of_one_host_have_cookies_of_their_own() {
        for (host, is_secure, name) in [
            ("gate.example", true, "__Host-dtgate-console="),
            ("gate.example:443", true, "__Host-dtgate-console="),
            ("gate.example:8443", true, "__Host-dtgate-console-8443="),
            ("localhost:80", false, "dtgate-console="),
            ("[::1]:8090", false, "dtgate-console-8090="),
        ] {
            let request = Request::get("/console").header("host", host);
            let parts = request.body(()).unwrap().into_parts().0;
            let jar = Jar::of(&parts, is_secure);
            let (set, unset) = (Cookie::Session.set("a", jar), Cookie::Session.unset(jar));
            assert!(set.starts_with(name) && unset.starts_with(name), "{set}");
        }
    }
}
