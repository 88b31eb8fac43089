//! TARGETs as people write them, and what they mean.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use ureq::http::Uri;

/// The longest path that fits into `sockaddr_un` with its final NUL (unix(7)).
const SOCKET_PATH_MAX: usize = 107;

/// What is to become healthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// As it was written, with any password replaced: the only form that is ever shown.
    pub label: String,
    /// What it means.
    pub kind: Kind,
}

/// The kinds of target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `http://`, `https://`, and HTTP over a Unix socket.
    Http(HttpTarget),
    /// `tcp://host:port`, `host:port`, `:port`.
    Tcp(Peer),
    /// `unix:///path`.
    Unix(PathBuf),
    /// `postgres://host[:port]`.
    Postgres(Peer),
    /// `redis://host[:port]`.
    Redis(Peer),
    /// `mysql://host[:port]`.
    Mysql(Peer),
    /// `mongodb://host[:port]`.
    Mongodb(Peer),
    /// `file:///path`.
    File(PathBuf),
    /// `exec:COMMAND LINE`.
    Exec(OsString),
}

/// Where an HTTP request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpTarget {
    /// The URL without user, password and fragment; over a Unix socket with host `localhost`.
    pub uri: Uri,
    /// Whom to connect to.
    pub route: Route,
    /// `user:password` of the URL, decoded.
    pub credentials: Option<String>,
}

/// What to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// A host and a port.
    Peer(Peer),
    /// A Unix socket.
    Socket(PathBuf),
}

/// A host, by name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// A name or an address; an IPv6 address without brackets.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
}

impl Target {
    /// Reads a TARGET.
    ///
    /// # Errors
    /// Says why it can never be right; no password is in the words.
    pub(crate) fn parse(text: &OsStr) -> Result<Self, String> {
        let bytes = text.as_bytes();
        let shown = String::from_utf8_lossy(bytes);
        let target = |label: String, kind| Self { label, kind };
        if let Some(command) = bytes.strip_prefix(b"exec:") {
            if command.trim_ascii().is_empty() {
                return Err("exec: needs a command line".into());
            }
            let command = OsStr::from_bytes(command).to_owned();
            return Ok(target(shown.into_owned(), Kind::Exec(command)));
        }
        if let Some(path) = bytes.strip_prefix(b"file://") {
            let kind = Kind::File(absolute(path).map_err(|why| format!("{shown}: {why}"))?);
            return Ok(target(shown.into_owned(), kind));
        }
        if let Some(path) = bytes.strip_prefix(b"unix://") {
            let kind = Kind::Unix(socket_path(path).map_err(|why| format!("{shown}: {why}"))?);
            return Ok(target(shown.into_owned(), kind));
        }
        let text = text.to_str().ok_or_else(|| format!("{shown}: not UTF-8"))?;
        let kind = network(text).map_err(|why| format!("{}: {why}", masked(text)))?;
        let label = if has_user(text) {
            masked(text)
        } else {
            text.to_owned()
        };
        Ok(target(label, kind))
    }

    /// Whether an attempt cannot outlast its deadline: nothing blocks in it. A path may lead to a
    /// file system that hangs, and a command is waited for.
    pub(crate) fn ends_in_time(&self) -> bool {
        match &self.kind {
            Kind::Http(http) => matches!(http.route, Route::Peer(_)),
            Kind::Tcp(_) | Kind::Postgres(_) | Kind::Redis(_) | Kind::Mysql(_) => true,
            Kind::Mongodb(_) => true,
            Kind::Unix(_) | Kind::File(_) | Kind::Exec(_) => false,
        }
    }

    /// Whether this target can carry what is asked of an HTTP answer.
    pub(crate) fn is_http(&self) -> bool {
        matches!(self.kind, Kind::Http(_))
    }

    /// Whether it is a command that is run.
    pub(crate) fn is_command(&self) -> bool {
        matches!(self.kind, Kind::Exec(_))
    }

    /// Whether it is reached through TLS from the start.
    pub(crate) fn is_https(&self) -> bool {
        matches!(&self.kind, Kind::Http(http) if http.uri.scheme_str() == Some("https"))
    }
}

fn absolute(path: &[u8]) -> Result<PathBuf, String> {
    if !path.starts_with(b"/") || path.contains(&0) {
        return Err("an absolute path is wanted, as in file:///run/ready".into());
    }
    Ok(PathBuf::from(OsStr::from_bytes(path)))
}

fn socket_path(path: &[u8]) -> Result<PathBuf, String> {
    if path.len() > SOCKET_PATH_MAX {
        return Err(format!(
            "longer than a socket's path can be ({SOCKET_PATH_MAX} bytes)"
        ));
    }
    absolute(path)
}

/// Reads a target that is reached over a network or speaks HTTP.
fn network(text: &str) -> Result<Kind, String> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return peer(text, None).map(Kind::Tcp);
    };
    let scheme = scheme.to_ascii_lowercase();
    match scheme.as_str() {
        "http" | "https" => http(&scheme, rest).map(Kind::Http),
        "http+unix" => over_socket(rest).map(Kind::Http),
        "tcp" => peer(rest.strip_suffix('/').unwrap_or(rest), None).map(Kind::Tcp),
        "postgres" | "postgresql" => database(rest, 5432).map(Kind::Postgres),
        "redis" => database(rest, 6379).map(Kind::Redis),
        "mysql" | "mariadb" => database(rest, 3306).map(Kind::Mysql),
        "mongodb" => database(rest, 27017).map(Kind::Mongodb),
        _ => Err(format!("unknown scheme {scheme}")),
    }
}

/// `[user[:password]@]host[:port][/anything]`: what a program's own database URL looks like.
/// Only host and port matter, since no probe logs in.
fn database(rest: &str, port: u16) -> Result<Peer, String> {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (_, host) = split_user(authority);
    peer(host, Some(port))
}

fn http(scheme: &str, rest: &str) -> Result<HttpTarget, String> {
    if let Some(path) = rest.strip_prefix("unix:/") {
        if scheme == "http" {
            return over_socket(&format!("/{}", path.trim_start_matches('/')));
        }
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (user, host) = split_user(authority);
    let peer = peer(host, Some(if scheme == "https" { 443 } else { 80 }))?;
    Ok(HttpTarget {
        uri: uri(scheme, host, path)?,
        route: Route::Peer(peer),
        credentials: user.map(percent_decoded).transpose()?,
    })
}

/// `/run/app.sock:/health`: the socket's path ends at the first `:/`, or nowhere.
fn over_socket(rest: &str) -> Result<HttpTarget, String> {
    let (socket, path) = match rest.find(":/") {
        Some(colon) => (&rest[..colon], &rest[colon + 1..]),
        None => (rest.trim_end_matches(':'), "/"),
    };
    Ok(HttpTarget {
        uri: uri("http", "localhost", path)?,
        route: Route::Socket(socket_path(socket.as_bytes())?),
        credentials: None,
    })
}

fn uri(scheme: &str, authority: &str, path: &str) -> Result<Uri, String> {
    let path = path.split('#').next().unwrap_or_default();
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!("{scheme}://{authority}{slash}{path}")
        .parse()
        .map_err(|error| format!("bad URL: {error}"))
}

/// `user:password` and `host:port` of an authority; a password may contain `@`.
fn split_user(authority: &str) -> (Option<&str>, &str) {
    match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    }
}

/// `host:port`, `[::1]:port`, `:port` (localhost); the port may be left out where one is usual.
fn peer(text: &str, usual: Option<u16>) -> Result<Peer, String> {
    let (host, port) = if let Some(inner) = text.strip_prefix('[') {
        let (host, after) = inner.split_once(']').ok_or("no ] after the address")?;
        let address = host.split('%').next().unwrap_or_default();
        if address.parse::<std::net::Ipv6Addr>().is_err() {
            return Err("no IPv6 address stands in the brackets".into());
        }
        match (after, after.strip_prefix(':')) {
            ("", _) => (host, None),
            (_, Some(port)) => (host, Some(port)),
            _ => return Err("a colon and a port are wanted after ]".into()),
        }
    } else {
        match text.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err("an IPv6 address stands in brackets, as in [::1]:8000".into());
            }
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let port = match (port, usual) {
        (Some(text), _) => port_number(text)?,
        (None, Some(usual)) => usual,
        (None, None) => return Err("no port, as in host:8000".into()),
    };
    let host = match host {
        "" if usual.is_none() => "localhost",
        "" => return Err("no host".into()),
        host => host,
    };
    let odd = |c: char| c.is_whitespace() || c.is_control() || "/@?#\\\"<>^`{|}".contains(c);
    if host.len() > 255 || host.contains(odd) {
        return Err("no host has such a name".into());
    }
    Ok(Peer {
        host: host.to_owned(),
        port,
    })
}

fn port_number(text: &str) -> Result<u16, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits && port > 0 => Ok(port),
        _ if text.contains('/') => {
            Err("a path needs a scheme, as in http://host:8000/health".into())
        }
        _ => Err("bad port: 1 to 65535 is wanted".into()),
    }
}

/// RFC 3986, 2.1.
fn percent_decoded(text: &str) -> Result<String, String> {
    let wrong = || "bad URL: a % in user or password is not followed by two hex digits".to_owned();
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = rest.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let value = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        bytes.push(value.ok_or_else(wrong)?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| "bad URL: user or password is not UTF-8".to_owned())
}

/// The text with whatever stands before the last `@` replaced by `***`: user, password, token.
fn masked(text: &str) -> String {
    let start = text.find("://").map_or(0, |at| at + 3);
    match text[start..].rfind('@') {
        Some(at) => format!("{}***{}", &text[..start], &text[start + at..]),
        None => text.to_owned(),
    }
}

/// Whether an `@` stands where a user or password ends, and not in a path.
fn has_user(text: &str) -> bool {
    let start = text.find("://").map_or(0, |at| at + 3);
    let authority = text[start..].split(['/', '?', '#']).next();
    authority.is_some_and(|authority| authority.contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Target, String> {
        Target::parse(OsStr::new(text))
    }

    fn tcp(host: &str, port: u16) -> Kind {
        Kind::Tcp(Peer {
            host: host.into(),
            port,
        })
    }

    #[test]
    fn tcp_in_its_spellings() {
        for (text, kind) in [
            ("tcp://db:5432", tcp("db", 5432)),
            ("tcp://db:5432/", tcp("db", 5432)),
            ("db:5432", tcp("db", 5432)),
            (":8000", tcp("localhost", 8000)),
            ("[::1]:8000", tcp("::1", 8000)),
            ("tcp://[fe80::1%lo]:8000", tcp("fe80::1%lo", 8000)),
        ] {
            assert_eq!(parse(text).unwrap().kind, kind, "{text}");
        }
    }

    #[test]
    fn databases_have_their_usual_ports_and_take_whole_urls() {
        let peer = |host: &str, port| Peer {
            host: host.into(),
            port,
        };
        for (text, kind) in [
            ("postgres://db", Kind::Postgres(peer("db", 5432))),
            (
                "postgresql://u:p@db:6000/app?sslmode=disable",
                Kind::Postgres(peer("db", 6000)),
            ),
            ("redis://:secret@cache/0", Kind::Redis(peer("cache", 6379))),
            ("mysql://db", Kind::Mysql(peer("db", 3306))),
            ("mongodb://[::1]", Kind::Mongodb(peer("::1", 27017))),
        ] {
            assert_eq!(parse(text).unwrap().kind, kind, "{text}");
        }
    }

    #[test]
    fn http_over_a_unix_socket_in_both_spellings() {
        for text in [
            "http+unix:///run/app.sock:/health?x=1",
            "http://unix:/run/app.sock:/health?x=1",
        ] {
            let Kind::Http(http) = parse(text).unwrap().kind else {
                panic!("{text}")
            };
            assert_eq!(http.route, Route::Socket("/run/app.sock".into()), "{text}");
            assert_eq!(http.uri.path_and_query().unwrap(), "/health?x=1", "{text}");
        }
    }

    #[test]
    fn user_and_password_leave_the_url_and_are_never_shown() {
        let target = parse("http://me:p%40ss@host:81/x#part").unwrap();
        assert_eq!(target.label, "http://***@host:81/x#part");
        let Kind::Http(http) = target.kind else {
            panic!()
        };
        assert_eq!(http.uri, "http://host:81/x");
        assert_eq!(http.credentials.as_deref(), Some("me:p@ss"));
        assert_eq!(
            parse("http://h/users/@me").unwrap().label,
            "http://h/users/@me"
        );
        for text in [
            "http://me:se/cret@h/",
            "http://me:secret@h:x/",
            "htp://me:secret@h",
            "redis://:secret@h:0",
            "http+unix://me:secret@/run/app.sock",
        ] {
            let why = parse(text).unwrap_err();
            assert!(!why.contains("se") || !why.contains("cret"), "{why}");
        }
    }

    #[test]
    fn what_can_never_be_right() {
        for text in [
            "",
            "localhost",
            "8000",
            "host:",
            "host:0",
            "host:65536",
            "host:http",
            "host:+1",
            "::1:80",
            "[::1]",
            "[::1]80",
            "[nonsense]:80",
            "tcp://host",
            "tcp://host:80/x",
            "http://",
            "http://:80/",
            "http://host:99999/",
            "http://ho st/",
            "http://host/a b",
            "https://",
            "htp://host/",
            "ftp://host/",
            "://host",
            "unix://relative",
            "file://relative",
            "exec:",
            "exec:  ",
            "a b:80",
            "http+unix://x:/",
            "localhost:8000/health",
            "http://h:80:80/",
            "http://a%zz@h/",
        ] {
            assert!(
                parse(text).is_err(),
                "{text:?} was taken: {:?}",
                parse(text)
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(bytes: Vec<u8>, text in "(http|https|tcp|unix|redis|http\\+unix|exec|file)?:?/{0,3}[a-z:@%/.\\[\\]0-9#?-]{0,30}") {
            for bytes in [&bytes[..], text.as_bytes()] {
                let _ = Target::parse(OsStr::from_bytes(bytes));
            }
        }

        #[test]
        fn a_host_and_port_read_back(host in "[a-z][a-z0-9-]{0,20}[a-z0-9]", port in 1_u16..) {
            prop_assert_eq!(parse(&format!("{host}:{port}")).map(|t| t.kind), Ok(tcp(&host, port)));
            prop_assert_eq!(parse(&format!("tcp://{host}:{port}")).map(|t| t.kind), Ok(tcp(&host, port)));
        }

        #[test]
        fn a_password_is_never_shown(
            scheme in prop::sample::select(vec!["http", "https", "postgres", "redis", "mysql", "mongodb"]),
            user in "[a-z]{0,5}", tail in "[a-z:/?@#.0-9]{0,12}",
        ) {
            let secret = "S3CRET";
            let text = format!("{scheme}://{user}:{secret}@host{tail}");
            match parse(&text) {
                Ok(target) => prop_assert!(!target.label.contains(secret), "{text}: {}", target.label),
                Err(why) => prop_assert!(!why.contains(secret), "{text}: {why}"),
            }
        }
    }
}
