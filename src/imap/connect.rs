//! From an address to a session: TCP, TLS, login.

use super::{
    code::Code,
    endpoint::{Endpoint, Limits, Login, Tls},
    error::Error,
    response::{Condition, Kind},
    session::{Capabilities, Session},
    tap::Tap,
    tls::handshake,
    wire::{Stream, Wire, refused},
};
use async_imap::{Authenticator, Client};
use std::{future::Future, mem};
use tokio::{net::TcpStream, time::timeout};

type Imap = async_imap::Session<Tap>;

/// Connects and logs in.
///
/// # Errors
/// [`Error::Connect`], [`Error::Tls`], [`Error::Login`], [`Error::Bye`] and what else may
/// come in place of a greeting.
pub async fn connect(
    endpoint: &Endpoint,
    login: &Login,
    limits: &Limits,
) -> Result<Session, Error> {
    let within = Within(limits);
    let tcp = within.run("connect", tcp(endpoint)).await?;
    let stream: Box<dyn Stream> = match endpoint.tls {
        Tls::Implicit => Box::new(within.run("TLS", handshake(endpoint, tcp)).await?),
        Tls::StartTls | Tls::Plain => Box::new(tcp),
    };
    let client = within.run("greeting", greeting(stream)).await?;
    let mut client = match endpoint.tls {
        Tls::StartTls => within.run("STARTTLS", start_tls(endpoint, client)).await?,
        Tls::Implicit | Tls::Plain => client,
    };
    let offered = within.run("CAPABILITY", capabilities(&mut client)).await?;
    let mut imap = within.run("login", log_in(client, login, &offered)).await?;
    let offered = match imap.get_mut().capabilities() {
        // RFC 9051 §6.2.2: they may differ from those before the login.
        Some(all) => Capabilities::new(all),
        None => within.run("CAPABILITY", capabilities(&mut imap)).await?,
    };
    let wire = if endpoint.compress && offered.has("COMPRESS=DEFLATE") {
        within.run("COMPRESS", compress(imap, limits)).await?
    } else {
        uncompressed(imap, limits)
    };
    Session::begin(wire, offered, limits.clone()).await
}

/// A step of it, in bounded time.
struct Within<'a>(&'a Limits);

impl Within<'_> {
    async fn run<T>(
        &self,
        during: &'static str,
        step: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let after = self.0.connect;
        match timeout(after, step).await {
            Ok(result) => result,
            Err(_) => Err(Error::Timeout { during, after }),
        }
    }
}

async fn tcp(endpoint: &Endpoint) -> Result<TcpStream, Error> {
    let failed = |error: std::io::Error| Error::Connect {
        host: endpoint.host.clone(),
        port: endpoint.port,
        detail: error.to_string(),
    };
    let tcp = TcpStream::connect((endpoint.host.as_str(), endpoint.port));
    let tcp = tcp.await.map_err(failed)?;
    tcp.set_nodelay(true).map_err(failed)?;
    Ok(tcp)
}

async fn greeting(stream: Box<dyn Stream>) -> Result<Client<Tap>, Error> {
    let mut client = Client::new(Tap::new(stream));
    let read = client.read_response().await;
    let failure = match read {
        Ok(Some(_)) => None,
        Ok(None) => Some(async_imap::error::Error::ConnectionLost),
        Err(error) => Some(error.into()),
    };
    if let Some(error) = failure {
        return Err(failed("greeting", client.get_mut(), &error));
    }
    match client.get_mut().last() {
        Some(Condition { kind: Kind::Ok, .. }) => Ok(client),
        // Whose mailbox that is nobody can say, and before STARTTLS it is an old trick.
        Some(Condition {
            kind: Kind::PreAuth,
            text,
            code,
        }) => Err(Error::Login {
            text: format!("it lets in whoever comes (PREAUTH): {text}"),
            code: code.clone(),
        }),
        _ => Err(Error::Protocol {
            during: "greeting",
            text: "no greeting".into(),
        }),
    }
}

async fn start_tls(endpoint: &Endpoint, mut client: Client<Tap>) -> Result<Client<Tap>, Error> {
    client.get_mut().forget();
    let said = client.run_command_and_check_ok("STARTTLS", None).await;
    said.map_err(|error| failed("STARTTLS", client.get_mut(), &error))?;
    // What was read beyond the reply came unprotected, from whoever, and is thrown away
    // (RFC 9051 §6.2.1). So are the capabilities from before.
    let (tcp, _unprotected) = client.into_inner().into_parts();
    let tls = handshake(endpoint, tcp).await?;
    Ok(Client::new(Tap::greeted(Box::new(tls))))
}

async fn capabilities(connection: &mut async_imap::Connection<Tap>) -> Result<Capabilities, Error> {
    connection.get_mut().forget();
    let said = connection
        .run_command_and_check_ok("CAPABILITY", None)
        .await;
    said.map_err(|error| failed("CAPABILITY", connection.get_mut(), &error))?;
    let all = connection.get_mut().capabilities().unwrap_or_default();
    Ok(Capabilities::new(all))
}

async fn log_in(
    mut client: Client<Tap>,
    login: &Login,
    offered: &Capabilities,
) -> Result<Imap, Error> {
    client.get_mut().forget();
    let done = match login {
        Login::Password { user, password } if offered.has("AUTH=PLAIN") => {
            let plain = Once(format!("\0{user}\0{password}"));
            client.authenticate("PLAIN", plain).await
        }
        Login::Password { user, password } => {
            // RFC 9051 §6.2.3.
            if offered.has("LOGINDISABLED") {
                return Err(Error::Login {
                    text: "neither LOGIN nor PLAIN is offered on this connection".into(),
                    code: Some(Code::Cannot),
                });
            }
            client.login(user, password).await
        }
        Login::Plain {
            authzid,
            user,
            password,
        } => {
            let plain = Once(format!("{authzid}\0{user}\0{password}"));
            client.authenticate("PLAIN", plain).await
        }
        Login::XOauth2 { user, token } => {
            let bearer = Once(format!("user={user}\x01auth=Bearer {token}\x01\x01"));
            client.authenticate("XOAUTH2", bearer).await
        }
    };
    done.map_err(|(error, mut client)| {
        if let async_imap::error::Error::Validate(error) = &error {
            return Error::Unsendable {
                command: "LOGIN",
                text: error.to_string(),
            };
        }
        match failed("login", client.get_mut(), &error) {
            Error::No { text, code, .. } | Error::Bad { text, code, .. } => {
                Error::Login { text, code }
            }
            other => other,
        }
    })
}

/// Says its secret when asked first, and nothing when asked again: that is how XOAUTH2
/// ends after a refusal.
struct Once(String);

impl Authenticator for Once {
    type Response = String;

    fn process(&mut self, _challenge: &[u8]) -> String {
        mem::take(&mut self.0)
    }
}

async fn compress(mut imap: Imap, limits: &Limits) -> Result<Wire, Error> {
    imap.get_mut().forget();
    let mut deflate = None;
    let done = imap.compress(|mut stream| {
        // What follows the reply is compressed already.
        stream.get_mut().open();
        deflate = Some(stream);
        tokio::io::empty()
    });
    let failure = done.await.err();
    match (deflate, failure) {
        (Some(stream), None) => Ok(Wire::new(Box::new(stream), &[], limits)),
        (_, failure) => Err(Error::Protocol {
            during: "COMPRESS",
            text: failure.map_or_else(String::new, |error| error.to_string()),
        }),
    }
}

fn uncompressed(mut imap: Imap, limits: &Limits) -> Wire {
    // async-imap has no way to give a session's connection back: it keeps another.
    let empty = Tap::greeted(Box::new(tokio::io::empty()));
    let (stream, ahead) = mem::replace(imap.get_mut(), empty).into_parts();
    Wire::new(stream, &ahead, limits)
}

/// What async-imap's error stands for, from what the server really said.
fn failed(during: &'static str, tap: &Tap, error: &async_imap::error::Error) -> Error {
    use async_imap::error::Error as Its;
    match tap.last().cloned() {
        Some(condition) if condition.kind == Kind::Bye => Error::Bye {
            during,
            text: condition.text,
            code: condition.code,
        },
        Some(condition) => match refused(during, condition) {
            Err(refused) => refused,
            Ok(_) => lost(during, error.to_string()),
        },
        None => match error {
            Its::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => Error::Protocol {
                during,
                text: error.to_string(),
            },
            error => lost(during, error.to_string()),
        },
    }
}

fn lost(during: &'static str, detail: String) -> Error {
    Error::Lost { during, detail }
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_crate_writes_what_it_sends_into_the_log() {
        assert!(log::STATIC_MAX_LEVEL < log::LevelFilter::Trace);
    }
}
