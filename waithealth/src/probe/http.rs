//! HTTP: one GET over a connection of our own, judged by status and body.
//!
//! ureq writes the request, reads the answer and follows redirects. The connections under it are
//! ours: so that one deadline covers an attempt from the name look-up to the last byte of the
//! body, Unix sockets work, and no proxy variable is ever looked at. ureq itself only comes into
//! play when somebody has accepted the connection: polling a refused port costs a connect(2).

use std::io::{self, Read as _};
use std::sync::Arc;
use std::time::Duration;

use treekill::duration::Deadline;
use ureq::config::RedirectAuthHeaders;
use ureq::http::{Request as HttpRequest, Response, header};
use ureq::{Agent, Body, Error};

use super::buffers::HEAD_MAX;
use super::line::{Carried, Line, Patience, Unused};
use super::local;
use crate::answer::Answer;
use crate::cli::Family;
use crate::names::Names;
use crate::reach::reach;
use crate::request::Request;
use crate::target::{HttpTarget, Route};
use crate::tls::Tls;
use crate::wire::Wire;

/// The longest body.
const BODY_MAX: u64 = 1024 * 1024;
/// How long, and how far, an unwanted body is listened to out of politeness: to hang up on a
/// server that is still talking fills its log with resets.
const POLITE: Duration = Duration::from_millis(50);
const POLITE_BYTES: u64 = 64 * 1024;
const REDIRECTS: u32 = 10;

/// What all HTTP targets share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// What is asked of them.
    pub request: Request,
    /// Whom we trust.
    pub tls: Tls,
}

/// An HTTP target.
pub(crate) struct Http {
    target: Arc<HttpTarget>,
    family: Family,
    shared: Arc<Shared>,
    names: Option<Names>,
}

impl Http {
    /// Nothing is connected yet.
    pub(super) fn new(target: HttpTarget, family: Family, shared: &Arc<Shared>) -> Self {
        let names = match &target.route {
            Route::Peer(peer) => Some(Names::new(peer.clone(), family)),
            Route::Socket(_) => None,
        };
        Self {
            target: Arc::new(target),
            family,
            shared: Arc::clone(shared),
            names,
        }
    }

    /// One request; redirects and the body included it ends by the deadline.
    pub(super) fn attempt(&mut self, deadline: Deadline) -> Answer {
        let exchange = Exchange {
            target: &self.target,
            family: self.family,
            shared: &self.shared,
        };
        match (&mut self.names, &self.target.route) {
            (Some(names), _) => reach(names, deadline, |wire| exchange.run(wire)),
            (None, Route::Socket(path)) => match local::open(path, deadline) {
                Ok(wire) => exchange.run(wire),
                Err(answer) => answer,
            },
            (None, Route::Peer(_)) => Answer::silence(),
        }
    }
}

/// One request over a connection that somebody has accepted.
struct Exchange<'a> {
    target: &'a Arc<HttpTarget>,
    family: Family,
    shared: &'a Arc<Shared>,
}

impl Exchange<'_> {
    fn run(&self, wire: Wire) -> Answer {
        let line = Line::new(wire, self.target, self.family, self.shared);
        let patience = line.patience();
        let request = &self.shared.request;
        let redirects = if request.location { REDIRECTS } else { 0 };
        let config = Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_redirects(redirects)
            .max_redirects_will_error(request.location)
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .max_response_header_size(HEAD_MAX)
            .max_idle_connections(0)
            .user_agent(concat!("waithealth/", env!("CARGO_PKG_VERSION")))
            .build();
        let agent = Agent::with_parts(config, line, Unused);
        let answer = self.request().and_then(|request| agent.run(request));
        match answer {
            Ok(response) => self.judge(response, &patience),
            Err(error) => in_words(&error),
        }
    }

    fn request(&self) -> Result<HttpRequest<()>, Error> {
        let Request {
            method,
            headers,
            basic_auth,
            ..
        } = &self.shared.request;
        let mut builder = HttpRequest::builder()
            .method(method.clone())
            .uri(self.target.uri.clone());
        let given = |name: &header::HeaderName| headers.iter().any(|(given, _)| given == name);
        let credentials = basic_auth.as_ref().or(self.target.credentials.as_ref());
        if let Some(credentials) = credentials.filter(|_| !given(&header::AUTHORIZATION)) {
            builder = builder.header(
                header::AUTHORIZATION,
                format!("Basic {}", base64(credentials.as_bytes())),
            );
        }
        if !given(&header::CONNECTION) {
            builder = builder.header(header::CONNECTION, "close");
        }
        for (name, value) in headers {
            builder = builder.header(name, value);
        }
        Ok(builder.body(())?)
    }

    fn judge(&self, mut response: Response<Body>, patience: &Patience) -> Answer {
        let status = response.status().as_u16();
        let request = &self.shared.request;
        let good = request.codes.contain(status);
        if good && request.wants_body() {
            let answer = match read_body(response.body_mut()) {
                Ok(body) => request.judge_body(&body),
                Err(answer) => answer,
            };
            let detail = if answer.detail.is_empty() {
                status.to_string()
            } else {
                answer.detail.clone()
            };
            return Answer { detail, ..answer }.with_status(status);
        }
        patience.shorten(POLITE);
        let mut reader = response.body_mut().as_reader().take(POLITE_BYTES);
        while matches!(reader.read(&mut [0; 1024]), Ok(1..)) {}
        let answer = if good {
            Answer::healthy(status.to_string())
        } else {
            Answer::unhealthy(status.to_string())
        };
        answer.with_status(status)
    }
}

/// The whole body, or why there is none to judge.
fn read_body(body: &mut Body) -> Result<Vec<u8>, Answer> {
    let mut bytes = Vec::new();
    let read = body.as_reader().take(BODY_MAX + 1).read_to_end(&mut bytes);
    match read {
        Ok(_) if bytes.len() as u64 > BODY_MAX => {
            Err(Answer::unhealthy("body is longer than 1 MiB"))
        }
        Ok(_) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(Answer::unfinished()),
        Err(_) => Err(Answer::unhealthy("body is cut short")),
    }
}

/// What went wrong before there was an answer.
fn in_words(error: &Error) -> Answer {
    match error {
        Error::Other(other) => match other.downcast_ref::<Carried>() {
            Some(Carried(answer)) => answer.clone(),
            None => Answer::unhealthy(other.to_string()),
        },
        Error::Io(error) => Answer::from_io(error),
        Error::Protocol(_) | Error::Http(_) => Answer::unhealthy("no HTTP"),
        Error::LargeResponseHeader(..) => Answer::unhealthy("endless header"),
        Error::TooManyRedirects => Answer::unhealthy(format!("more than {REDIRECTS} redirects")),
        Error::RedirectFailed => Answer::unhealthy("redirect cannot be followed"),
        Error::BadUri(_) => Answer::unhealthy("redirect to no URL of ours"),
        other => Answer::unhealthy(other.to_string()),
    }
}

/// RFC 4648, 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let mut padded = [0; 3];
        padded[..group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes([0, padded[0], padded[1], padded[2]]);
        for place in 0..4 {
            let sextet = (bits >> (18 - 6 * place)) & 63;
            text.push(if place <= group.len() {
                char::from(ALPHABET[sextet as usize])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_in_the_rfc() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
            ("a:?>~", "YTo/Pn4="),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
