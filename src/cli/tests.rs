//! The control socket and its client against the real engine.

use super::{
    client::{Client, ClientError},
    exit::{Code, code},
    source::Source,
};
use crate::{
    config::SpoolConfig,
    control::{
        Api, ApiError, Decided, ErrorKind, Filter, Ids, PauseOrder, ReleaseOrder, Server, fixture,
        view::{DomainEventView, DomainView, MessageView, RepairView, StatusView},
    },
    mail::QueueId,
    spool::{Phase, Spool, State, rocks::RocksSpool},
};
use serde_json::json;
use std::{path::Path, sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    sync::oneshot,
    task::JoinHandle,
};

const DOMAINS: [&str; 2] = ["a.example", "b.example"];

/// A spool with a control socket, and no receiver or releaser.
struct Daemon {
    directory: TempDir,
    spool: Arc<dyn Spool>,
    client: Client,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Daemon {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let spool: Arc<dyn Spool> = RocksSpool::open(&settings(directory.path())).unwrap();
        let names = DOMAINS.map(String::from);
        spool.add_domains(names.into()).await.unwrap();
        let socket = directory.path().join("control.sock");
        let server = Server::bind(&socket, Api::new(spool.clone(), Arc::new(|_| None))).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        let client = Client::connect(&socket).await.unwrap();
        Self {
            directory,
            spool,
            client,
            stop,
            task,
        }
    }

    async fn accept(&self, to: &[&str], bytes: &[u8]) -> QueueId {
        let mut draft = self.spool.begin();
        draft.append(bytes).await.unwrap();
        draft.commit(fixture::envelope(to)).await.unwrap().id()
    }

    /// Ends the daemon and opens its spool for reading.
    async fn end(self) -> (TempDir, Source) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
        assert!(!self.directory.path().join("control.sock").exists());
        self.spool.close().await.unwrap();
        drop(self.spool);
        let spool = RocksSpool::open_read_only(&settings(self.directory.path())).unwrap();
        (self.directory, Source::Spool(spool))
    }
}

fn settings(directory: &Path) -> SpoolConfig {
    SpoolConfig {
        path: directory.join("spool"),
        retain_delivered: Duration::from_secs(60),
        retain_records: Duration::from_secs(60),
        min_free_bytes: 0,
    }
}

async fn listed(source: &Source, filter: Filter) -> Vec<MessageView> {
    let mut messages = Vec::new();
    let mut take = |message| {
        messages.push(message);
        Ok(())
    };
    source.list(filter, &mut take).await.unwrap();
    messages
}

fn kind(error: &anyhow::Error) -> ErrorKind {
    error.downcast_ref::<ApiError>().unwrap().error
}

#[tokio::test]
async fn with_and_without_a_daemon_the_same_is_read() {
    let daemon = Daemon::start().await;
    let mut ids = Vec::new();
    for number in 0..300 {
        let to = [format!("u{number}@{}", DOMAINS[number % 2])];
        ids.push(
            daemon
                .accept(&[&to[0]], b"Subject: x\r\n\r\ntext\r\n")
                .await,
        );
    }
    let both = daemon.accept(&["x@a.example", "y@b.example"], b"").await;
    ids.push(both);
    let live = Source::Daemon(daemon.client.clone());
    let filters = [
        Filter::default(),
        Filter {
            domain: Some("B.example".into()),
            ..Filter::default()
        },
        Filter {
            state: Some("all".parse().unwrap()),
            limit: Some(7),
            after: Some(ids[150].to_string()),
            ..Filter::default()
        },
        Filter {
            recipient: Some("u299@B.EXAMPLE".into()),
            sender: Some("@example.org".into()),
            ..Filter::default()
        },
        Filter {
            state: Some("delivered".parse().unwrap()),
            ..Filter::default()
        },
    ];
    let mut answers = Vec::new();
    for filter in &filters {
        answers.push(listed(&live, filter.clone()).await);
    }
    let counts: Vec<_> = answers.iter().map(Vec::len).collect();
    assert_eq!(counts, [301, 151, 7, 1, 0]);
    // Arrival order, over both domains.
    let order: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let found: Vec<_> = answers[0].iter().map(|m| m.queue_id.clone()).collect();
    assert_eq!(found, order);
    // Of a message only the deliveries that were asked for.
    assert_eq!(answers[0].last().unwrap().recipients.len(), 2);
    let of_b = answers[1].last().unwrap();
    assert_eq!(of_b.recipients[0].address, "y@b.example");
    assert_eq!((of_b.recipients.len(), &*of_b.domain), (1, "b.example"));
    let fsck = live.fsck().await.unwrap();
    assert!(fsck.clean, "{fsck:?}");

    let (_directory, cold) = daemon.end().await;
    for (filter, answer) in filters.iter().zip(&answers) {
        assert_eq!(listed(&cold, filter.clone()).await, *answer, "{filter:?}");
    }
    assert_eq!(cold.fsck().await.unwrap(), fsck);
    assert_eq!(cold.message(both).await.unwrap().recipients.len(), 2);
}

#[tokio::test]
async fn raw_bytes_come_back_whole() {
    let daemon = Daemon::start().await;
    let live = Source::Daemon(daemon.client.clone());
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut ids = Vec::new();
    for bytes in [&b""[..], b".\r\n", &large] {
        ids.push((daemon.accept(&["u@a.example"], bytes).await, bytes));
    }
    for (id, bytes) in &ids {
        let mut out = Vec::new();
        live.raw(*id, &mut out).await.unwrap();
        assert!(out == *bytes, "{id} differs");
    }
    let (_directory, cold) = daemon.end().await;
    for (id, bytes) in &ids {
        let mut out = Vec::new();
        cold.raw(*id, &mut out).await.unwrap();
        assert!(out == *bytes, "{id} differs without a daemon");
    }
}

#[tokio::test]
async fn orders_on_a_domain_are_carried_out_and_recorded() {
    let daemon = Daemon::start().await;
    let client = &daemon.client;
    daemon.accept(&["u@a.example"], b"x").await;
    let order = ReleaseOrder {
        to: Some("new.example:2525".into()),
        then: Some(Phase::Hold),
        ..ReleaseOrder::default()
    };
    let path = |word: &str| format!("/v1/domains/A.example/{word}");
    let view: DomainView = client.post(&path("release"), &order).await.unwrap();
    assert_eq!((view.phase, view.then), (Phase::Release, Phase::Hold));
    assert_eq!(view.to.as_deref(), Some("new.example:2525"));
    assert_eq!((view.states.queued.count, view.backlog), (1, 1));
    assert!(view.oldest_ms.is_some());
    let reason = Some("lunch".to_owned());
    let view: DomainView = client
        .post(&path("pause"), &PauseOrder { reason })
        .await
        .unwrap();
    assert_eq!(view.paused.as_deref(), Some("lunch"));
    let view: DomainView = client.post(&path("resume"), &json!({})).await.unwrap();
    assert_eq!(view.paused, None);
    let view: DomainView = client.post(&path("hold"), &json!({})).await.unwrap();
    assert_eq!((view.phase, view.states.held.count), (Phase::Hold, 1));
    let mut causes = Vec::new();
    let mut take = |event: DomainEventView| {
        causes.push(event.cause);
        Ok(())
    };
    client.lines(&path("events"), &mut take).await.unwrap();
    assert_eq!(causes.last().unwrap(), "operator: hold");
    // The other one was left alone.
    let status: StatusView = client.get("/v1/status").await.unwrap();
    assert_eq!(status.domains[1].phase, Phase::Hold);
    assert_eq!(status.domains[1].accepted.count, 0);
}

#[tokio::test]
async fn decisions_are_taken_for_all_or_none() {
    let daemon = Daemon::start().await;
    let client = &daemon.client;
    let id = daemon
        .accept(&["bob@a.example", "eve@a.example"], b"x")
        .await;
    let decide = async |decision: &str, ids: &[String]| {
        let ids = Ids { ids: ids.into() };
        let path = format!("/v1/deliveries/{decision}");
        client.post::<Decided>(&path, &ids).await
    };
    let states = async || {
        let source = Source::Daemon(client.clone());
        let message = source.message(id).await.unwrap();
        message
            .recipients
            .iter()
            .map(|r| r.state)
            .collect::<Vec<_>>()
    };
    let decided = decide("park", &[format!("{id}:EVE@a.example")])
        .await
        .unwrap();
    assert_eq!(decided.messages[0].recipients.len(), 1);
    assert_eq!(decided.messages[0].recipients[0].state, State::Parked);
    // Bob cannot be retried, so that eve is not either.
    let both = [format!("{id}:eve@a.example"), format!("{id}:bob@a.example")];
    let error = decide("retry", &both).await.unwrap_err();
    assert_eq!(
        (kind(&error), code(&error)),
        (ErrorKind::Conflict, Code::Data)
    );
    assert_eq!(states().await, [State::Held, State::Parked]);
    // A bare id means what fits.
    decide("retry", &[id.to_string()]).await.unwrap();
    assert_eq!(states().await, [State::Held, State::Held]);
    decide("drop", &[id.to_string()]).await.unwrap();
    assert_eq!(states().await, [State::Dropped, State::Dropped]);
    let error = decide("drop", &[id.to_string()]).await.unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Conflict);

    let events = Source::Daemon(client.clone()).events(id).await.unwrap();
    let steps: Vec<_> = events
        .iter()
        .map(|e| (&*e.address, &*e.to, &*e.cause))
        .collect();
    assert_eq!(steps[0], ("eve@a.example", "parked", "operator: park"));
    assert_eq!(steps.len(), 4);
    let done: RepairView = client.post("/v1/fsck/repair", &json!({})).await.unwrap();
    assert_eq!(done.repaired, Vec::<String>::new());
}

#[tokio::test]
async fn what_is_wrong_is_said_in_words_and_codes() {
    let daemon = Daemon::start().await;
    let client = &daemon.client;
    for (path, kind_expected, code_expected) in [
        (
            "/v1/domains/x.example",
            ErrorKind::UnknownDomain,
            Code::Data,
        ),
        (
            "/v1/messages/000000000001",
            ErrorKind::UnknownMessage,
            Code::Data,
        ),
        ("/v1/messages/x", ErrorKind::BadRequest, Code::Usage),
        (
            "/v1/messages?state=hold",
            ErrorKind::BadRequest,
            Code::Usage,
        ),
        ("/v1/messages?limits=1", ErrorKind::BadRequest, Code::Usage),
        ("/v1/messages?after=x", ErrorKind::BadRequest, Code::Usage),
        (
            "/v1/messages?domain=x.example",
            ErrorKind::UnknownDomain,
            Code::Data,
        ),
    ] {
        let error = client.pieces(path).await.err().unwrap();
        assert_eq!(
            (kind(&error), code(&error)),
            (kind_expected, code_expected),
            "{path}"
        );
    }
    for body in [
        json!({"to": "x"}),
        json!({"then": "release"}),
        json!({"tö": 1}),
    ] {
        let answer = client.post::<DomainView>("/v1/domains/a.example/release", &body);
        assert_eq!(
            kind(&answer.await.unwrap_err()),
            ErrorKind::BadRequest,
            "{body}"
        );
    }
    let no_ids = Ids { ids: Vec::new() };
    let none = client.post::<Decided>("/v1/deliveries/drop", &no_ids);
    assert_eq!(kind(&none.await.unwrap_err()), ErrorKind::BadRequest);
    let error = client.get::<StatusView>("/v1/nothing").await.unwrap_err();
    assert!(matches!(
        error.downcast_ref::<ClientError>(),
        Some(ClientError::Strange { .. })
    ));
}

/// As curl does it: any content type, a body or none.
#[tokio::test]
async fn curl_is_understood() {
    let daemon = Daemon::start().await;
    let socket = daemon.directory.path().join("control.sock");
    let ask = async |request: String| {
        let mut stream = UnixStream::connect(&socket).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let head = "Host: relay\r\nConnection: close\r\n";
    let answer = ask(format!(
        "POST /v1/domains/a.example/pause HTTP/1.1\r\n{head}Content-Length: 0\r\n\r\n"
    ))
    .await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(
        answer.contains("\"paused\":\"paused by an operator\""),
        "{answer}"
    );
    let body = "{\"reason\":\"disk\"}";
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let answer = ask(format!(
        "POST /v1/domains/a.example/pause HTTP/1.1\r\n{head}{form}Content-Length: {}\r\n\r\n{body}",
        body.len()
    ))
    .await;
    assert!(answer.contains("\"paused\":\"disk\""), "{answer}");
    let answer = ask(format!("DELETE /v1/status HTTP/1.1\r\n{head}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    assert!(answer.contains("\"error\":\"no_such_call\""), "{answer}");
}
