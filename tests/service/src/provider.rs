//! A real OpenID provider on loopback, and somebody who signs in there with a browser that is no
//! more than what keeps cookies and follows where it is sent.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// What `scripts/oidc-provider` ends with where there is no provider to be had.
const UNAVAILABLE: i32 = 75;

/// The most steps of one sign-in.
const STEPS: usize = 12;

/// A provider that runs.
pub struct Provider {
    process: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    /// Its address.
    pub issuer: String,
}

/// A browser's cookies, by the address of whoever set them.
#[derive(Debug, Clone, Default)]
pub struct Visitor {
    cookies: BTreeMap<(String, String), String>,
}

/// A page, or where else to go.
#[derive(Debug)]
pub struct Page {
    /// Its status.
    pub status: u16,
    /// Where it was found.
    pub url: String,
    /// Where it sends whoever asks.
    pub location: Option<String>,
    /// Its text.
    pub text: String,
}

impl Provider {
    /// Starts one that sends browsers back to `redirect`; nothing, and why is said, where it can't
    /// be had on this machine.
    pub fn or_skip(redirect: &str) -> Result<Option<Self>> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/oidc-provider");
        let mut process = Command::new(script)
            .arg(redirect)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = process.stdin.take().context("its input")?;
        let mut lines = BufReader::new(process.stdout.take().context("its output")?).lines();
        // It says more of itself before.
        while let Some(line) = lines.next() {
            let issuer = line?;
            if issuer.starts_with("http://") {
                return Ok(Some(Self { process, input, lines, issuer }));
            }
        }
        match process.wait()?.code() {
            Some(UNAVAILABLE) => Ok(None),
            code => bail!("the provider ended: {code:?}"),
        }
    }

    /// Has it answer in another way from now on: see `provider.mjs`.
    pub fn be(&mut self, way: &str) -> Result<()> {
        writeln!(self.input, "{way}")?;
        for line in self.lines.by_ref() {
            if line? == way {
                return Ok(());
            }
        }
        bail!("the provider ended")
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An address of this host at which nobody listens.
pub fn free_address() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.to_string())
}

impl Visitor {
    /// What is at an address; no further.
    pub fn get(&mut self, url: &str) -> Result<Page> {
        self.ask(url, None)
    }

    /// A form that is sent.
    pub fn post(&mut self, url: &str, form: &str) -> Result<Page> {
        self.ask(url, Some(form))
    }

    /// Goes where it is sent, until there is a page, or the next step is at `end`.
    pub fn follow(&mut self, page: Page, end: &str) -> Result<Page> {
        let mut page = page;
        for _ in 0..STEPS {
            match page.location.clone() {
                Some(next) if !next.starts_with(end) => page = self.get(&next)?,
                _ => return Ok(page),
            }
        }
        bail!("it is sent on and on: {page:?}")
    }

    /// Signs in at the provider as somebody, beginning at a page of the service; the address to
    /// which the provider then sends the browser, not gone to yet.
    pub fn sign_in(&mut self, service: &str, next: &str, who: &str) -> Result<String> {
        let back = format!("{service}/login/oidc/done");
        let login = self.get(&format!("{service}/login?next={next}"))?;
        let link = login.text.split("href=\"").find(|part| part.starts_with("/login/oidc"));
        let link = link.and_then(|part| part.split('"').next()).context("a link to sign in by")?;
        let mut page = self.get(&format!("{service}{link}"))?;
        for form in
            [format!("prompt=login&login=number-{who}&password=x"), "prompt=consent".to_owned()]
        {
            page = self.follow(page, &back)?;
            if page.location.is_some() {
                break;
            }
            ensure!(page.status == 200, "{page:?}");
            let action = page.text.split("action=\"").nth(1).context("a form")?;
            let action = action.split('"').next().context("its address")?.to_owned();
            page = self.post(&action, &form)?;
        }
        let page = self.follow(page, &back)?;
        page.location.with_context(|| format!("no way back: {}", page.text))
    }

    /// What a cookie that the service at an address set holds.
    pub fn cookie(&self, url: &str, name: &str) -> Option<&str> {
        self.cookies.get(&(host(url), name.to_owned())).map(String::as_str)
    }

    fn ask(&mut self, url: &str, form: Option<&str>) -> Result<Page> {
        let mut curl = Command::new("curl");
        curl.args(["-s", "-i", "-H", "Accept: text/html", "-w", "\n%{http_code}"]);
        let ours = self.cookies.iter().filter(|((at, _), _)| *at == host(url));
        let cookies: Vec<String> =
            ours.map(|((_, name), value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            curl.args(["-H", &format!("Cookie: {}", cookies.join("; "))]);
        }
        if let Some(form) = form {
            curl.args(["-d", form]);
        }
        let output = curl.arg(url).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (answer, status) = text.rsplit_once('\n').context("a status")?;
        let (head, text) = answer.split_once("\r\n\r\n").with_context(|| format!("{url}: none"))?;
        let fields = head.lines().filter_map(|line| line.split_once(": "));
        let mut location = None;
        for (name, value) in fields {
            match &name.to_ascii_lowercase()[..] {
                "location" => location = Some(whole(url, value)),
                "set-cookie" => self.keep(url, value),
                _ => {}
            }
        }
        let (url, text) = (url.to_owned(), text.to_owned());
        Ok(Page { status: status.parse()?, url, location, text })
    }

    fn keep(&mut self, url: &str, cookie: &str) {
        let pair = cookie.split(';').next().unwrap_or_default();
        let Some((name, value)) = pair.split_once('=') else { return };
        let key = (host(url), name.to_owned());
        let is_gone = value.is_empty() || cookie.to_ascii_lowercase().contains("max-age=0");
        match is_gone {
            true => self.cookies.remove(&key),
            false => self.cookies.insert(key, value.to_owned()),
        };
    }
}

fn host(url: &str) -> String {
    url.split('/').nth(2).unwrap_or_default().to_owned()
}

/// Where a page sends whoever asks, written out.
fn whole(url: &str, location: &str) -> String {
    match location.starts_with('/') {
        true => format!("http://{}{location}", host(url)),
        false => location.to_owned(),
    }
}
