//! How the state of a commit is told to a forge.

use kiln_parse::remote;
use kiln_store::{ForgeKind, NewHook, What};
use serde_json::{Value, json};

/// A request to a forge.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) url: String,
    pub(crate) field: (&'static str, String),
    pub(crate) body: String,
}

/// What a commit's state is told of.
pub(crate) struct Of<'a> {
    pub(crate) commit: &'a str,
    pub(crate) what: What,
    pub(crate) title: &'a str,
    pub(crate) target: &'a str,
    /// Where a person sees it.
    pub(crate) page: &'a str,
}

/// The request by which a hook's forge is told; nothing where the hook's address is none.
pub(crate) fn call(hook: &NewHook, of: &Of<'_>) -> Option<Call> {
    let token = hook.token.as_deref()?;
    let url = remote::url(&hook.url).ok()?;
    let scheme = if url.is_plain { "http" } else { "https" };
    let usual = if url.is_plain { 80 } else { 443 };
    let port = if url.port == usual { String::new() } else { format!(":{}", url.port) };
    let base = format!("{scheme}://{}{port}", url.host);
    let repo = url.path.trim_matches('/').trim_end_matches(".git");
    let (commit, context) = (of.commit, format!("kiln/{}", of.target));
    let told = format!("{}: {}", of.title, of.what.word());
    let state = state(hook.forge, of.what);
    let common = |name: &str| json!({ "state": state, "target_url": of.page, "description": told, name: context });
    let (url, field, body): (String, _, Value) = match hook.forge {
        ForgeKind::Github => {
            let api = match url.host {
                "github.com" => "https://api.github.com".to_owned(),
                _ => format!("{base}/api/v3"),
            };
            let field = ("authorization", format!("Bearer {token}"));
            (format!("{api}/repos/{repo}/statuses/{commit}"), field, common("context"))
        }
        ForgeKind::Forgejo => {
            let field = ("authorization", format!("token {token}"));
            (format!("{base}/api/v1/repos/{repo}/statuses/{commit}"), field, common("context"))
        }
        ForgeKind::Gitlab => {
            let field = ("private-token", token.to_owned());
            let repo = repo.replace('/', "%2F");
            (format!("{base}/api/v4/projects/{repo}/statuses/{commit}"), field, common("name"))
        }
    };
    Some(Call { url, field, body: body.to_string() })
}

/// The forge's word for what became of a job.
fn state(forge: ForgeKind, what: What) -> &'static str {
    match (forge, what) {
        (_, What::Queued) => "pending",
        (ForgeKind::Gitlab, What::Began) => "running",
        (_, What::Began) => "pending",
        (_, What::Built | What::Published) => "success",
        (ForgeKind::Gitlab, What::Failed) => "failed",
        (_, What::Failed) => "failure",
        (ForgeKind::Gitlab, What::Cancelled) => "canceled",
        (_, What::Cancelled) => "error",
    }
}

#[cfg(test)]
mod tests {
    use kiln_model::{ProjectId, UserId};

    use super::*;

    fn told(forge: ForgeKind, url: &str, what: What) -> Call {
        let hook = NewHook {
            name: "x".to_owned(),
            project: ProjectId(1),
            maker: UserId(1),
            forge,
            secret: "s".to_owned(),
            url: url.to_owned(),
            folder: None,
            branches: "*".to_owned(),
            tags: String::new(),
            token: Some("t".to_owned()),
        };
        let of = Of { commit: "c0", what, title: "pot", target: "t-1", page: "https://k/jobs/1" };
        call(&hook, &of).expect("a call")
    }

    #[test]
    fn each_forge_is_told_in_its_own_words() {
        let call = told(ForgeKind::Github, "https://github.com/a/b.git", What::Failed);
        assert_eq!(call.url, "https://api.github.com/repos/a/b/statuses/c0");
        assert_eq!(call.field, ("authorization", "Bearer t".to_owned()));
        assert!(call.body.contains(r#""state":"failure""#), "{}", call.body);
        let call = told(ForgeKind::Forgejo, "http://127.0.0.1:3000/a/b", What::Published);
        assert_eq!(call.url, "http://127.0.0.1:3000/api/v1/repos/a/b/statuses/c0");
        assert!(call.body.contains(r#""context":"kiln/t-1""#), "{}", call.body);
        let call = told(ForgeKind::Gitlab, "https://git.x.example/g/s/b.git", What::Began);
        assert_eq!(call.url, "https://git.x.example/api/v4/projects/g%2Fs%2Fb/statuses/c0");
        assert_eq!(call.field.0, "private-token");
        assert!(call.body.contains(r#""state":"running""#), "{}", call.body);
    }
}
