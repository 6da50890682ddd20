//! A forge on loopback: git's own server program behind a small HTTP server, with files beside the
//! repositories, and a list of everything that it was asked for.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};

/// What somebody asked a forge for.
#[derive(Debug, Clone)]
pub struct Heard {
    /// `POST /hook`.
    pub line: String,
    /// Names in lower case.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Heard {
    /// A field by its name in lower case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A server of repositories (`/git/…`) and files (`/files/…`), which takes whatever is posted
/// elsewhere.
pub struct Forge {
    folder: PathBuf,
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Forge {
    /// Starts one over an empty folder; it lives as long as the process of the tests.
    pub fn start(folder: &Path) -> Result<Self> {
        for name in ["git", "files", "trees"] {
            fs::create_dir_all(folder.join(name))?;
        }
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let heard = Arc::new(Mutex::new(Vec::new()));
        let forge = Self { folder: folder.to_owned(), address, heard: Arc::clone(&heard) };
        let folder = folder.to_owned();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (folder, heard) = (folder.clone(), Arc::clone(&heard));
                std::thread::spawn(move || {
                    if let Err(error) = serve(stream, &folder, &heard) {
                        eprintln!("forge: {error:#}");
                    }
                });
            }
        });
        Ok(forge)
    }

    /// `127.0.0.1:port`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Where something of it is: `git/pot.git`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// Everything that it was asked for so far.
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts a file under `/files/`.
    pub fn file(&self, name: &str, bytes: &[u8]) -> Result<()> {
        Ok(fs::write(self.folder.join("files").join(name), bytes)?)
    }

    /// Commits these files to the branch `main` of a repository, made where there is none; gives
    /// the commit. A text that begins with `->` is a link.
    pub fn commit(&self, repo: &str, files: &[(&str, &str)]) -> Result<String> {
        let tree = self.folder.join("trees").join(repo);
        let bare = self.folder.join("git").join(format!("{repo}.git"));
        if !bare.exists() {
            fs::create_dir_all(&tree)?;
            git(&tree, &["init", "-q", "-b", "main"])?;
            git(&tree, &["init", "-q", "--bare", "-b", "main", &bare.display().to_string()])?;
        }
        for (name, text) in files {
            let path = tree.join(name);
            fs::create_dir_all(path.parent().context("a folder")?)?;
            match text.strip_prefix("->") {
                Some(to) => std::os::unix::fs::symlink(to, &path)?,
                None => fs::write(&path, text)?,
            }
        }
        git(&tree, &["add", "-A"])?;
        git(&tree, &["commit", "-q", "-m", "A change"])?;
        git(&tree, &["push", "-q", &bare.display().to_string(), "main"])?;
        Ok(git(&tree, &["rev-parse", "HEAD"])?.trim().to_owned())
    }
}

fn git(folder: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("git")
        .args(["-c", "user.name=A Test", "-c", "user.email=test@example.org"])
        .args(["-c", "safe.directory=*", "-C"])
        .arg(folder)
        .args(arguments)
        .output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "git {arguments:?}: {told}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn serve(mut stream: TcpStream, folder: &Path, heard: &Mutex<Vec<Heard>>) -> Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(());
    }
    let mut fields = Vec::new();
    loop {
        let mut field = String::new();
        reader.read_line(&mut field)?;
        let Some((name, value)) = field.trim_end().split_once(':') else { break };
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let size = fields.iter().find(|(name, _)| name == "content-length");
    let size: u64 = size.map_or(Ok(0), |(_, value)| value.parse())?;
    let mut body = Vec::new();
    reader.take(size).read_to_end(&mut body)?;
    let line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    let asked = Heard { line, fields, body };
    heard.lock().unwrap_or_else(PoisonError::into_inner).push(asked.clone());
    let (method, target) = asked.line.split_once(' ').context("a method")?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (status, fields, body) = match path {
        _ if path.starts_with("/git/") => git_http(&asked, method, path, query, folder)?,
        _ if path.starts_with("/files/") => match fs::read(folder.join(&path[1..])) {
            Ok(bytes) => ("200 OK".to_owned(), String::new(), bytes),
            Err(_) => ("404 Not Found".to_owned(), String::new(), Vec::new()),
        },
        "/broken" => ("500 Internal Server Error".to_owned(), String::new(), Vec::new()),
        // What an OTLP collector says: a message with nothing in it.
        "/v1/traces" => ("200 OK".to_owned(), String::new(), Vec::new()),
        _ => ("201 Created".to_owned(), String::new(), b"{}".to_vec()),
    };
    let size = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {size}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    Ok(stream.write_all(&body)?)
}

/// What `git http-backend` answers (RFC 3875): status, fields, body.
fn git_http(
    asked: &Heard,
    method: &str,
    path: &str,
    query: &str,
    folder: &Path,
) -> Result<(String, String, Vec<u8>)> {
    let mut command = Command::new("git");
    command
        .args(["-c", "safe.directory=*", "http-backend"])
        .env("GIT_PROJECT_ROOT", folder.join("git"))
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", &path["/git".len()..])
        .env("QUERY_STRING", query)
        .env("REMOTE_ADDR", "127.0.0.1")
        .env("CONTENT_LENGTH", asked.body.len().to_string());
    for (variable, name) in [
        ("CONTENT_TYPE", "content-type"),
        ("HTTP_CONTENT_ENCODING", "content-encoding"),
        ("GIT_PROTOCOL", "git-protocol"),
    ] {
        if let Some(value) = asked.field(name) {
            command.env(variable, value);
        }
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().context("its input")?.write_all(&asked.body)?;
    let output = child.wait_with_output()?;
    let bytes = output.stdout;
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        bail!("git http-backend said nothing of {path}")
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut status = "200 OK".to_owned();
    let mut fields = String::new();
    for field in head.lines() {
        match field.strip_prefix("Status: ") {
            Some(text) => status = text.to_owned(),
            None => fields.push_str(&format!("{field}\r\n")),
        }
    }
    Ok((status, fields, bytes[end + 4..].to_vec()))
}
