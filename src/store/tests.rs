//! What needs no server.

use tokio_postgres::config::SslMode;

use super::Url;

#[test]
fn a_url_is_read_as_libpq_reads_it() {
    for (url, mode) in [
        ("postgres://u@db/d", SslMode::Require),
        ("postgres://u@db/d?sslmode=require", SslMode::Require),
        ("postgres://u@db/d?sslmode=verify-full", SslMode::Require),
        (
            "postgres://u@db/d?connect_timeout=3&sslmode=verify-ca",
            SslMode::Require,
        ),
        ("postgres://u@db/d?sslmode=prefer", SslMode::Prefer),
        ("postgres://u@127.0.0.1/d", SslMode::Disable),
        ("postgres://u@%2Frun%2Fpostgresql/d", SslMode::Disable),
    ] {
        let read: Url = url.parse().unwrap();
        assert_eq!(read.settings().get_ssl_mode(), mode, "{url}");
        assert_eq!(read.to_string(), url);
    }
    for (url, wanted) in [
        ("postgres://u@db/d?sslrootcert=system", "store.ca"),
        (
            "postgres://u@db/d?sslmode=require&sslkey=x",
            "store.client_certificate",
        ),
        ("postgres://u@db/d?passfile=x", "store.password_file"),
        ("postgres://u@db/d?sslmode=sometimes", "its sslmode is none"),
        ("postgres://u:p@db/d", "write postgres://"),
        ("postgres://u@localhost/d?hostaddr=10.1.2.3", "hostaddr"),
        (
            "postgres://u@%2Frun%2Fpostgresql,db/d?sslmode=disable",
            "stands alone",
        ),
        ("postgres://u@db,%2Frun%2Fpostgresql/d", "stands alone"),
        ("postgres://u@db/d?host=/run/postgresql", "stands alone"),
        ("postgres://u@a,b/d?sslmode=prefer", "is for one host"),
    ] {
        let refused = url.parse::<Url>().unwrap_err();
        assert!(refused.contains(wanted), "{url}: {refused}");
    }
}
