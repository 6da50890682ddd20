//! `kiln login`, `whoami`, `token` and `user`.

use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;

use clap::Subcommand;
use kiln_api::{
    LoginAsked, Me, NewUser, OperatorAsked, PasswordLink, Service, Token, TokenAsked, TokenMade,
    User, UserChange,
};
use kiln_model::Foreign;
use reqwest::Method;

use super::servers::Servers;
use super::{Client, ago, print};
use crate::failure::{Failure, doing};

/// What `kiln login` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Login {
    /// The service: https://kiln.example.org
    #[arg(value_name = "URL")]
    server: String,

    /// The account
    #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true)]
    #[arg(required_unless_present = "token")]
    user: Option<String>,

    /// Become the first operator, by the ticket that 'kiln up' prints
    #[arg(long, value_name = "TICKET")]
    ticket: Option<String>,

    /// By a token, which is asked for, and not by a password: for those who sign in elsewhere. One
    /// makes it in a browser, on the page of one's account
    #[arg(long, conflicts_with = "ticket")]
    token: bool,
}

/// What `kiln whoami` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Whoami {
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What `kiln token` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct TokenArguments {
    #[command(subcommand)]
    verb: TokenVerb,
}

#[derive(Debug, Subcommand)]
enum TokenVerb {
    /// Make one; its secret is shown once
    Create {
        /// What it is for
        label: String,
        /// What it may be used for: read, build or all
        #[arg(long, default_value = "build")]
        scope: String,
        /// For how many days it is good
        #[arg(long, default_value_t = 90)]
        days: u32,
    },
    /// One's tokens
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// End one
    Revoke {
        /// Its number
        id: i64,
    },
}

/// What `kiln user` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct UserArguments {
    #[command(subcommand)]
    verb: UserVerb,
}

#[derive(Debug, Subcommand)]
enum UserVerb {
    /// Make an account; its password is asked for
    Create {
        /// Its name
        name: String,
        /// Ask for no password: print a link by which its owner sets one
        #[arg(long)]
        link: bool,
        /// It may do everything
        #[arg(long)]
        operator: bool,
    },
    /// Every account
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Let an account do nothing any more
    Disable {
        /// Its name
        name: String,
    },
    /// Let it sign in again
    Enable {
        /// Its name
        name: String,
    },
    /// Print a link, good once, by which the owner of an account sets its password
    Link {
        /// Its name
        name: String,
    },
    /// Give an account another password, which is asked for
    Password {
        /// Its name
        name: String,
    },
    /// Let the owner of an account sign in to it by the service's OpenID provider
    Join {
        /// Its name
        name: String,
        /// The provider's own word for who that is, its 'sub'; '' for nobody any more
        subject: String,
    },
}

pub(crate) fn login(arguments: &Login) -> Result<ExitCode, Failure> {
    let client = Client::new(&arguments.server, None)?;
    if arguments.token {
        return login_by_token(&client.server);
    }
    if arguments.ticket.is_none() {
        tell_of_others(&client);
    }
    let name = arguments.user.clone().unwrap_or_default();
    let password = password(&format!("password of {name}: "))?;
    let made: TokenMade = match &arguments.ticket {
        Some(ticket) => {
            let (ticket, name) = (ticket.clone(), name.clone());
            let asked = OperatorAsked { ticket, name, password };
            client.send(Method::POST, "/api/v1/operator", &asked)?
        }
        None => {
            let label = rustix::system::uname().nodename().to_string_lossy().into_owned();
            let asked = LoginAsked { name: name.clone(), password, label };
            client.send(Method::POST, "/api/v1/login", &asked)?
        }
    };
    Servers::load()?.keep(&client.server, &made.secret)?;
    println!("signed in to {} as {name}", client.server);
    Ok(ExitCode::SUCCESS)
}

/// Keeps a token that somebody made in a browser, if it is good.
fn login_by_token(server: &str) -> Result<ExitCode, Failure> {
    let token = password("token: ")?.trim().to_owned();
    let client = Client::new(server, Some(token.clone()))?;
    let me: Me = client.get("/api/v1/me")?;
    Servers::load()?.keep(&client.server, &token)?;
    println!("signed in to {} as {}", client.server, me.name);
    Ok(ExitCode::SUCCESS)
}

/// Whoever signs in elsewhere has no password here, and is told so before being asked for one.
fn tell_of_others(client: &Client) {
    // It is only a hint: what is wrong with the service, signing in itself tells.
    let Ok(service) = client.get::<Service>("/api/v1/service") else { return };
    let Some(name) = service.signs_in_by.filter(|_| std::io::stdin().is_terminal()) else { return };
    let (name, server) = (Foreign::new(&name), &client.server);
    let name = name.as_str();
    eprintln!(
        "By {name}: sign in at {server}/tokens, make a token, and 'kiln login {server} --token'"
    );
}

/// From the terminal, unseen; from standard input where that is none.
fn password(prompt: &str) -> Result<String, Failure> {
    if std::io::stdin().is_terminal() {
        return rpassword::prompt_password(prompt).map_err(doing("reading a password"));
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(doing("reading a password"))?;
    match line.trim_end_matches(['\n', '\r']) {
        "" => Err(Failure::caller("no password was given", None)),
        password => Ok(password.to_owned()),
    }
}

pub(crate) fn whoami(arguments: &Whoami) -> Result<ExitCode, Failure> {
    let client = Client::find()?;
    let me: Me = client.get("/api/v1/me")?;
    let what = if me.is_operator { "operator" } else { "user" };
    let row = vec![me.name.clone(), what.to_owned(), me.scope.clone(), client.server.clone()];
    print(arguments.json, &me, || vec![row]);
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn tokens(arguments: &TokenArguments) -> Result<ExitCode, Failure> {
    let client = Client::find()?;
    match &arguments.verb {
        TokenVerb::Create { label, scope, days } => {
            let asked = TokenAsked { label: label.clone(), scope: scope.clone(), days: *days };
            let made: TokenMade = client.send(Method::POST, "/api/v1/tokens", &asked)?;
            println!("{}", made.secret);
        }
        TokenVerb::List { json } => {
            let tokens: Vec<Token> = client.get("/api/v1/tokens")?;
            let row = |one: &Token| {
                let state = match (one.revoked_at, one.used_at) {
                    (Some(at), _) => format!("revoked {}", ago(at)),
                    (None, Some(at)) => format!("used {}", ago(at)),
                    (None, None) => "never used".to_owned(),
                };
                vec![one.id.to_string(), one.label.clone(), one.scope.clone(), state]
            };
            print(*json, &tokens, || tokens.iter().map(row).collect());
        }
        TokenVerb::Revoke { id } => {
            client.tell(Method::DELETE, &format!("/api/v1/tokens/{id}"), None::<&()>)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn users(arguments: &UserArguments) -> Result<ExitCode, Failure> {
    let client = Client::find()?;
    let change = |name: &str, change: UserChange| -> Result<(), Failure> {
        let _: User = client.send(Method::PATCH, &format!("/api/v1/users/{name}"), &change)?;
        Ok(())
    };
    match &arguments.verb {
        UserVerb::Create { name, link, operator } => {
            let password = match link {
                true => None,
                false => Some(password(&format!("password of {name}: "))?),
            };
            let asked = NewUser { name: name.clone(), password, is_operator: *operator };
            let _: User = client.send(Method::POST, "/api/v1/users", &asked)?;
            if *link {
                print_link(&client, name)?;
            }
        }
        UserVerb::Link { name } => print_link(&client, name)?,
        UserVerb::List { json } => {
            let users: Vec<User> = client.get("/api/v1/users")?;
            let row = |one: &User| {
                let what = match (one.is_disabled, one.is_operator) {
                    (true, _) => "disabled",
                    (false, true) => "operator",
                    (false, false) => "",
                };
                let subject = one.subject.clone().unwrap_or_default();
                vec![one.name.clone(), what.to_owned(), subject]
            };
            print(*json, &users, || users.iter().map(row).collect());
        }
        UserVerb::Disable { name } => {
            change(name, UserChange { is_disabled: Some(true), ..UserChange::default() })?;
        }
        UserVerb::Enable { name } => {
            change(name, UserChange { is_disabled: Some(false), ..UserChange::default() })?;
        }
        UserVerb::Password { name } => {
            let password = Some(password(&format!("new password of {name}: "))?);
            change(name, UserChange { password, ..UserChange::default() })?;
        }
        UserVerb::Join { name, subject } => {
            let subject = Some(subject.clone());
            change(name, UserChange { subject, ..UserChange::default() })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print_link(client: &Client, name: &str) -> Result<(), Failure> {
    let path = format!("/api/v1/users/{name}/link");
    let made: PasswordLink = client.send(Method::POST, &path, &())?;
    println!("{}", made.url);
    Ok(())
}
