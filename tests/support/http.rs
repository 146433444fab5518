//! One HTTP request over a connection of its own, every header as the test gives it.

use super::PATIENCE;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
};

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub code: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// `Host` names the port asked, unless the headers do.
pub fn request(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\
         Content-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    let wire = format!("{head}\r\n{body}");
    stream.write_all(wire.as_bytes()).unwrap();
    read(&mut BufReader::new(stream))
}

fn read(stream: &mut impl BufRead) -> Answer {
    let mut line = || {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    let status = line();
    let code = status.split(' ').nth(1).expect(&status).parse().unwrap();
    let mut headers = Vec::new();
    loop {
        let header = line();
        let Some((name, value)) = header.split_once(':') else {
            break;
        };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let header = |wanted: &str| {
        let found = headers.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.as_str())
    };
    // Not every server closes the connection when it is asked to.
    let bytes_max = header("content-length").map_or(u64::MAX, |size| size.parse().unwrap());
    let chunked = header("transfer-encoding") == Some("chunked");
    let mut body = Vec::new();
    stream.take(bytes_max).read_to_end(&mut body).unwrap();
    let body = String::from_utf8_lossy(&body).into_owned();
    Answer {
        code,
        body: if chunked { unchunk(&body) } else { body },
        headers,
    }
}

/// RFC 9112 §7.1, for bodies in ASCII.
fn unchunk(mut wire: &str) -> String {
    let mut body = String::new();
    while let Some((size, rest)) = wire.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        body += &rest[..size];
        wire = rest[size..].trim_start_matches("\r\n");
        if size == 0 {
            return body;
        }
    }
    panic!("the body has no last chunk: {body}");
}
