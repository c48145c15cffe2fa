//! Cookies of the console. Over TLS only this very host can set one, and only by TLS: no neighbour's is believed.

use http::header::COOKIE;
use http::request::Parts;

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

impl Cookie {
    /// Sets it.
    pub(super) fn set(self, value: &str, is_secure: bool) -> String {
        let secure = if is_secure { "; Secure" } else { "" };
        let rest = match self {
            Self::Session => "SameSite=Strict",
            Self::Login => "SameSite=Lax; Max-Age=600",
            Self::Known => "SameSite=Strict; Max-Age=7776000",
        };
        let name = self.name(is_secure);
        format!("{name}={value}; Path=/; HttpOnly; {rest}{secure}")
    }

    /// Takes it away.
    pub(super) fn unset(self, is_secure: bool) -> String {
        let secure = if is_secure { "; Secure" } else { "" };
        let name = self.name(is_secure);
        format!("{name}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0{secure}")
    }

    /// Its value. Over TLS one of the plain name is nobody's: a neighbour by another port or domain could have set it.
    pub(super) fn of(self, parts: &Parts, is_secure: bool) -> Option<&str> {
        let fields = parts.headers.get_all(COOKIE).iter();
        let fields = fields.filter_map(|field| field.to_str().ok());
        let mut cookies = fields.flat_map(|field| field.split(';'));
        cookies.find_map(|cookie| {
            let (name, value) = cookie.trim().split_once('=')?;
            (name == self.name(is_secure) && !value.is_empty()).then_some(value)
        })
    }

    fn name(self, is_secure: bool) -> &'static str {
        match (self, is_secure) {
            (Self::Session, true) => "__Host-dtgate-console",
            (Self::Session, false) => "dtgate-console",
            (Self::Login, true) => "__Host-dtgate-login",
            (Self::Login, false) => "dtgate-login",
            (Self::Known, true) => "__Host-dtgate-known",
            (Self::Known, false) => "dtgate-known",
        }
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
        assert_eq!(Cookie::Session.of(&parts, true), Some("ours"));
        assert_eq!(Cookie::Session.of(&parts, false), Some("neighbours"));
        assert_eq!(Cookie::Login.of(&parts, true), None);
        assert_eq!(
            Cookie::Session.set("a", true),
            "__Host-dtgate-console=a; Path=/; HttpOnly; SameSite=Strict; Secure"
        );
    }
}
