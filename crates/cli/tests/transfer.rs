//! `peerline send` and `peerline receive`: two programs, a file, and what can go wrong in between.

mod common;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use common::{Folder, Server, start_into, until};
use serde_json::{Value, json};

const MIB: usize = 1024 * 1024;

/// How long a program may take to its end: a gigabyte takes ten seconds on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A program whose output goes to a file. Dropping it kills it.
struct Program {
    process: Child,
    output: PathBuf,
}

impl Program {
    fn start(folder: &Folder, name: &str, arguments: &[&str]) -> Self {
        fs::create_dir_all(&folder.0).expect("a folder");
        let output = folder.0.join(format!("{name}.log"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_peerline"));
        let process = start_into(&mut command, arguments, &output);
        Self { process, output }
    }

    fn output(&self) -> String {
        fs::read_to_string(&self.output).expect("text")
    }

    /// The word after `marker`, once it is there.
    async fn word_after(&self, marker: &str) -> String {
        let mut word = None;
        until(marker, || {
            let text = self.output();
            let rest = text.split_once(marker).map(|(_, rest)| rest);
            // With the end of its line, it is whole.
            word = rest
                .filter(|rest| rest.contains('\n'))
                .and_then(|rest| rest.split_whitespace().next().map(str::to_owned));
            word.as_ref().map(|_| ()).ok_or(text)
        })
        .await;
        word.expect("it was found")
    }

    /// Waits for its end: whether it succeeded, what it printed, and the most memory that it had, in KiB.
    async fn ended(&mut self) -> (bool, String, u64) {
        let mut peak = 0;
        let ended = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(status) = self.process.try_wait().expect("it was started") {
                    return status;
                }
                peak = peak.max(self.peak().unwrap_or_default());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let status = ended.await.expect("the program ends");
        (status.success(), self.output(), peak)
    }

    fn peak(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.split_whitespace().next()?.parse().ok()
    }

    fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A file that repeats nowhere, without holding it in memory.
fn write_file(folder: &Folder, name: &str, length: usize) -> PathBuf {
    fs::create_dir_all(&folder.0).expect("a folder");
    let path = folder.0.join(name);
    let mut file = File::create(&path).expect("a file");
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut left = length;
    while left > 0 {
        let mut block = Vec::with_capacity(MIB);
        while block.len() < MIB {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            block.extend_from_slice(&state.to_le_bytes());
        }
        let part = left.min(MIB);
        file.write_all(&block[..part]).expect("room");
        left -= part;
    }
    path
}

/// A file of this length with something at its beginning, in its middle and at its end, and nothing between: it takes little room.
fn write_sparse_file(folder: &Folder, name: &str, length: u64) -> PathBuf {
    let path = write_file(folder, name, MIB);
    let part = fs::read(&path).expect("a file");
    let mut file = File::options().write(true).open(&path).expect("a file");
    for at in [length / 2, length - MIB as u64] {
        file.seek(SeekFrom::Start(at)).expect("a place");
        file.write_all(&part).expect("room");
    }
    path
}

/// Whether two files are the same, without holding them in memory.
fn are_same(one: &Path, other: &Path) -> bool {
    let mut files = [one, other].map(|path| BufReader::with_capacity(MIB, File::open(path).expect("a file")));
    loop {
        let [one, other] = files.each_mut().map(|file| file.fill_buf().expect("bytes"));
        let len = one.len().min(other.len());
        if one[..len] != other[..len] || one.is_empty() != other.is_empty() {
            return false;
        }
        if len == 0 {
            return true;
        }
        files.iter_mut().for_each(|file| file.consume(len));
    }
}

fn send(folder: &Folder, file: &Path) -> Program {
    let arguments = ["send", file.to_str().expect("UTF-8"), "--listen", "127.0.0.1:0"];
    Program::start(folder, "send", &arguments)
}

fn receive(folder: &Folder, code: &str, output: &Path, more: &[&str]) -> Program {
    let output = output.to_str().expect("UTF-8");
    Program::start(
        folder,
        "receive",
        &[&["receive", code, "--output", output], more].concat(),
    )
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |facts| facts.len())
}

/// Both ended well, and both have the file and say so.
async fn expect_the_file(sender: &mut Program, receiver: &mut Program, file: &Path, copy: &Path) -> [u64; 2] {
    let (received, told, there) = receiver.ended().await;
    assert!(received, "{told}");
    let (sent, said, here) = sender.ended().await;
    assert!(sent, "{said}");
    let hash = |text: &str| text.split_once("SHA-256 ").map(|(_, hash)| hash.trim().to_owned());
    assert!(hash(&told).is_some_and(|hash| hash.len() == 64), "{told}");
    assert_eq!(hash(&told), hash(&said));
    assert!(are_same(file, copy), "another file");
    assert!(!copy.with_extension("bin.part").exists());
    [here, there]
}

#[tokio::test]
async fn a_file_goes_from_terminal_to_terminal_in_constant_memory() {
    let folder = Folder::new("transfer-terminals");
    let file = write_sparse_file(&folder, "some.bin", 1 << 30);
    let copies = folder.0.join("copies");
    fs::create_dir(&copies).unwrap();
    let mut sender = send(&folder, &file);
    let code = sender.word_after("peerline receive ").await;
    let mut receiver = receive(&folder, &code, &copies, &[]);
    let peaks = expect_the_file(&mut sender, &mut receiver, &file, &copies.join("some.bin")).await;
    eprintln!("{peaks:?} KiB at most");
    assert!(peaks.iter().all(|peak| *peak < 64 * 1024), "{peaks:?} KiB");
}

#[tokio::test]
async fn who_receives_may_show_the_code() {
    let folder = Folder::new("transfer-to");
    let server = Server::start();
    let via = format!("http://{}", server.address);
    let file = write_file(&folder, "some.bin", 0);
    let copy = folder.0.join("copy.bin");
    let copy_text = copy.to_str().unwrap();
    let mut receiver = Program::start(&folder, "receive", &["receive", "--via", &via, "--output", copy_text]);
    let code = receiver.word_after("--to ").await;
    let mut sender = Program::start(&folder, "send", &["send", file.to_str().unwrap(), "--to", &code]);
    expect_the_file(&mut sender, &mut receiver, &file, &copy).await;
    drop(server);
}

/// The capture of the one who receives, and the secrets of the server's and of the sender's.
#[tokio::test]
async fn a_transfer_can_be_looked_into() {
    let folder = Folder::new("transfer-insight");
    let file = write_file(&folder, "some.bin", 0);
    fs::write(&file, "what the file says").unwrap();
    let [copy, capture, secrets] = ["copy.bin", "all.pcapng", "keys"].map(|name| folder.0.join(name));
    let file_name = file.to_str().unwrap();
    let arguments = [
        "send",
        file_name,
        "--listen",
        "127.0.0.1:0",
        "--key-log",
        secrets.to_str().unwrap(),
    ];
    let mut sender = Program::start(&folder, "send", &arguments);
    let code = sender.word_after("peerline receive ").await;
    let more = ["--capture", capture.to_str().unwrap()];
    let mut receiver = receive(&folder, &code, &copy, &more);
    expect_the_file(&mut sender, &mut receiver, &file, &copy).await;
    assert!(receiver.output().contains("goes to") && sender.output().contains("the secrets"));
    let said = fs::read(&capture).unwrap();
    assert!(said.windows(18).any(|part| part == b"what the file says"));
    assert!(
        fs::read_to_string(&secrets)
            .unwrap()
            .contains("CLIENT_TRAFFIC_SECRET_0 ")
    );
}

/// A receiver is killed in the middle; what it had is not sent again, unless it is not the file's.
async fn is_resumed(name: &str, spoil: impl Fn(&Path), told: &str) {
    let folder = Folder::new(name);
    let file = write_file(&folder, "some.bin", 128 * MIB);
    let copy = folder.0.join("copy.bin");
    let part = folder.0.join("copy.bin.part");
    let mut sender = send(&folder, &file);
    let code = sender.word_after("peerline receive ").await;
    let mut receiver = receive(&folder, &code, &copy, &[]);
    until("some of it is there", || {
        let length = length(&part);
        (length > 8 * MIB as u64)
            .then_some(())
            .ok_or_else(|| format!("{length} bytes"))
    })
    .await;
    receiver.kill();
    let kept = length(&part);
    assert!(
        kept < length(&file) && !copy.exists(),
        "{kept} bytes were too fast to be interrupted"
    );
    spoil(&part);
    let mut receiver = receive(&folder, &code, &copy, &[]);
    expect_the_file(&mut sender, &mut receiver, &file, &copy).await;
    assert!(receiver.output().contains(told), "{}", receiver.output());
}

#[tokio::test]
async fn a_transfer_goes_on_where_it_was_interrupted() {
    is_resumed("transfer-resume", |_| (), "are here already").await;
}

#[tokio::test]
async fn what_was_changed_meanwhile_is_sent_again() {
    let spoil = |part: &Path| {
        let mut file = File::options().write(true).open(part).unwrap();
        file.write_all(b"another file").unwrap();
    };
    is_resumed("transfer-spoilt", spoil, "it begins anew").await;
}

#[tokio::test]
async fn nothing_is_overwritten_unasked() {
    let folder = Folder::new("transfer-force");
    let file = write_file(&folder, "some.bin", 100_000);
    let copy = folder.0.join("copy.bin");
    fs::write(&copy, "precious").unwrap();
    let mut sender = send(&folder, &file);
    let code = sender.word_after("peerline receive ").await;
    let mut receiver = receive(&folder, &code, &copy, &[]);
    for program in [&mut receiver, &mut sender] {
        let (succeeded, text, _) = program.ended().await;
        assert!(!succeeded && text.contains("exists: --force overwrites it"), "{text}");
    }
    assert_eq!(fs::read(&copy).unwrap(), b"precious");

    let mut sender = send(&folder, &file);
    let code = sender.word_after("peerline receive ").await;
    let mut receiver = receive(&folder, &code, &copy, &["--force"]);
    expect_the_file(&mut sender, &mut receiver, &file, &copy).await;
}

#[tokio::test]
async fn a_wrong_code_gets_nothing() {
    let folder = Folder::new("transfer-wrong-code");
    let file = write_file(&folder, "some.bin", 1000);
    let sender = send(&folder, &file);
    let code = sender.word_after("peerline receive ").await;
    let (_, address) = code.split_once('@').unwrap();
    let wrong = format!("01234-56789-ABCDE-FGHJK@{address}");
    for (code, why) in [
        (wrong.as_str(), "nobody is there with this code"),
        ("01234@127.0.0.1:1", "is no code"),
        ("01234-56789-ABCDE-FGHJK", "does not say where to meet"),
    ] {
        let mut receiver = receive(&folder, code, &folder.0, &[]);
        let (succeeded, text, _) = receiver.ended().await;
        assert!(!succeeded && text.contains(why), "{text}");
    }
}

/// Whoever is in the room without the code, as the server itself could be, gets an offer and can do nothing with it.
#[tokio::test]
async fn who_cannot_prove_to_know_the_code_gets_nothing() {
    let folder = Folder::new("transfer-middle");
    let server = Server::start();
    let via = format!("http://{}", server.address);
    let file = write_file(&folder, "some.bin", 1000);
    let mut sender = Program::start(&folder, "send", &["send", file.to_str().unwrap(), "--via", &via]);
    let code = sender.word_after("peerline receive ").await;
    let code: String = code.split('@').next().unwrap().chars().filter(|c| *c != '-').collect();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, code.as_bytes());
    let tag = ring::hmac::sign(&key, b"peerline transfer 1\0room\0");
    let room: String = tag.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect();

    let json = [("Content-Type", "application/json")];
    let path = format!("/rooms/{room}");
    let reply = server.request("POST", &path, &json, "{\"create\": false}").await;
    assert_eq!(reply.status, 201, "{reply:?}");
    let joined: Value = serde_json::from_str(&reply.body).unwrap();
    let path = format!("{path}/{}/messages", joined["session"].as_str().unwrap());
    let ready = json!([{"ready": "1"}]).to_string();
    assert_eq!(server.request("POST", &path, &json, &ready).await.status, 204);
    let mut after = 0;
    let offer = loop {
        let reply = server.request("GET", &format!("{path}?after={after}"), &[], "").await;
        let events: Vec<Value> = serde_json::from_str(&reply.body).unwrap();
        after = events.last().map_or(after, |event| event["number"].as_u64().unwrap());
        let mut messages = events.iter().map(|event| &event["message"]);
        if let Some(message) = messages.find(|message| message.get("description").is_some()) {
            break message.clone();
        }
    };
    // What the offer proves is nothing that an answer could be proved with.
    let pc = common::peer().await;
    pc.set_remote_description(serde_json::from_value(offer["description"].clone()).unwrap())
        .unwrap();
    pc.set_local_description(None).unwrap();
    let answer = json!([{"attempt": "1", "description": pc.local_description(), "proof": offer["proof"]}]).to_string();
    assert_eq!(server.request("POST", &path, &json, &answer).await.status, 204);
    let (succeeded, text, _) = sender.ended().await;
    assert!(!succeeded && text.contains("does not know the code"), "{text}");
}
