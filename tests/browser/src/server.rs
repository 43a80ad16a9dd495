//! The smallest HTTP server that shows a browser the folder `pages`, on localhost (a secure context, as `crypto.subtle` wants).

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::OnceLock;
use std::thread;

const PAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/pages");

/// Where a browser finds `page`, a file of the folder `pages`. Starts the server at the first call.
///
/// # Panics
/// If localhost has no port left.
pub fn url_of(page: &str) -> String {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    let address = ADDRESS.get_or_init(|| start().expect("localhost has a free port"));
    format!("http://{address}/{page}")
}

fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // One thread a connection: browsers open some that they do not use at once.
            thread::spawn(move || answer(&stream));
        }
    });
    Ok(address)
}

/// Answers one request; a connection that breaks is the browser's business.
fn answer(mut stream: &TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        header.clear();
    }
    let name = request
        .split(' ')
        .nth(1)
        .and_then(|path| path.strip_prefix('/'))
        .unwrap_or_default();
    let name = name.split('?').next().unwrap_or_default();
    let (status, body) = match fs::read(Path::new(PAGES).join(name)) {
        Ok(body) if !name.contains('/') => ("200 OK", body),
        _ => ("404 Not Found", b"no such page".to_vec()),
    };
    let kind = if name.ends_with(".js") {
        "text/javascript"
    } else {
        "text/html; charset=utf-8"
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(&body)
}
