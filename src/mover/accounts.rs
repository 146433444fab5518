//! The accounts to copy, from `accounts.csv`: a header, then a line an account with the user
//! and the password at the source and at the target.
//!
//! Passwords are [`Secret`]s: they are in no `Debug`, error or log line.

use std::{
    collections::HashMap,
    fmt, io,
    path::{Path, PathBuf},
};

/// What stands in the first line, in any order.
pub const HEADER: [&str; 4] = [
    "source_user",
    "source_password",
    "target_user",
    "target_password",
];

/// More lines are not a migration but a mistake.
const ACCOUNTS_MAX: usize = 1_000_000;

/// One mailbox at both sides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// Who at the source.
    pub source: Login,
    /// Who at the target.
    pub target: Login,
}

impl Account {
    /// What it is called in the state, reports and on the command line.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.source.user
    }
}

/// A user at one server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Login {
    /// The name, never empty.
    pub user: String,
    /// None where an administrator logs in.
    pub password: Option<Secret>,
}

/// A password.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// For the wire only.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Which logins need a password of their own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Administered {
    /// An administrator logs in at the source.
    pub source: bool,
    /// An administrator logs in at the target.
    pub target: bool,
}

/// Why there are no accounts. No variant holds a password.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}", .file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is wrong.
    #[error("{}:{line}: {why}", .file.display())]
    Invalid {
        /// Which file.
        file: PathBuf,
        /// Which line, from 1.
        line: u64,
        /// What is wrong, and what would be right.
        why: String,
    },
}

/// Reads and checks the file.
///
/// # Errors
/// [`AccountsError`] with file and line of the first thing that is wrong.
pub fn load(file: &Path, admin: Administered) -> Result<Vec<Account>, AccountsError> {
    let text = std::fs::read(file).map_err(|source| AccountsError::Unreadable {
        file: file.to_owned(),
        source,
    })?;
    parse(&text, file, admin)
}

/// The password in a file: its first line.
///
/// # Errors
/// [`AccountsError`]: it cannot be read, or is empty.
pub fn password(file: &Path) -> Result<Secret, AccountsError> {
    let text = std::fs::read_to_string(file).map_err(|source| AccountsError::Unreadable {
        file: file.to_owned(),
        source,
    })?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(AccountsError::Invalid {
            file: file.to_owned(),
            line: 1,
            why: "is empty; a password is expected".into(),
        });
    }
    Ok(Secret::new(line.to_owned()))
}

/// Checks the text of an accounts file; `file` is named in errors.
///
/// # Errors
/// [`AccountsError::Invalid`].
pub fn parse(text: &[u8], file: &Path, admin: Administered) -> Result<Vec<Account>, AccountsError> {
    let invalid = |line: u64, why: String| AccountsError::Invalid {
        file: file.to_owned(),
        line,
        why,
    };
    // A byte order mark, as spreadsheets write it.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut reader = csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .from_reader(text);
    let headers = reader
        .headers()
        .map_err(|error| invalid(line_of(&error), plain(&error)))?;
    let columns = columns(headers).map_err(|why| invalid(1, why))?;
    let mut seen: [HashMap<String, u64>; 2] = Default::default();
    let mut accounts = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| invalid(line_of(&error), plain(&error)))?;
        let line = record.position().map_or(0, csv::Position::line);
        let account = account(&record, &columns, admin).map_err(|why| invalid(line, why))?;
        let users = [&account.source.user, &account.target.user];
        for (user, seen) in users.into_iter().zip(&mut seen) {
            // Two copies into one mailbox would each take the other's messages for lost.
            if let Some(first) = seen.insert(user.to_lowercase(), line) {
                let why = format!("{user:?} is there already, at line {first}");
                return Err(invalid(line, why));
            }
        }
        accounts.push(account);
        if accounts.len() > ACCOUNTS_MAX {
            return Err(invalid(line, format!("more than {ACCOUNTS_MAX} accounts")));
        }
    }
    Ok(accounts)
}

fn columns(headers: &csv::StringRecord) -> Result<[usize; 4], String> {
    let mut columns = [0; 4];
    for (column, name) in columns.iter_mut().zip(HEADER) {
        *column = headers
            .iter()
            .position(|found| found.trim() == name)
            .ok_or_else(|| format!("no column {name}; the header is {}", HEADER.join(",")))?;
    }
    // An unknown column is a slip, or a password in the wrong place: its name is not shown.
    if headers.len() != HEADER.len() {
        return Err(format!("other columns than {}", HEADER.join(",")));
    }
    Ok(columns)
}

fn account(
    record: &csv::StringRecord,
    columns: &[usize; 4],
    admin: Administered,
) -> Result<Account, String> {
    let [source_user, source_password, target_user, target_password] =
        columns.map(|column| record.get(column).unwrap_or_default());
    Ok(Account {
        source: login("source", source_user, source_password, admin.source)?,
        target: login("target", target_user, target_password, admin.target)?,
    })
}

fn login(side: &str, user: &str, password: &str, admin: bool) -> Result<Login, String> {
    let user = user.trim();
    if user.is_empty() {
        return Err(format!("{side}_user is empty"));
    }
    // RFC 4616 §2: NUL separates the parts of a PLAIN response.
    if user.contains(char::is_control) || password.contains(['\0', '\r', '\n']) {
        return Err(format!("the {side}'s login holds a control character"));
    }
    if password.is_empty() && !admin {
        return Err(format!(
            "{side}_password is empty, and mover.{side} has no admin_user"
        ));
    }
    let password = (!password.is_empty()).then(|| Secret::new(password.to_owned()));
    Ok(Login {
        user: user.to_owned(),
        password,
    })
}

fn line_of(error: &csv::Error) -> u64 {
    error.position().map_or(1, csv::Position::line)
}

/// What is wrong, without the text of the line, which may hold a password.
fn plain(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { len, .. } => format!(
            "has {len} columns in the place of {}; a comma inside a value needs quotes",
            HEADER.len()
        ),
        csv::ErrorKind::Utf8 { .. } => "is not text in UTF-8".into(),
        _ => "cannot be read as comma-separated values".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Administered = Administered {
        source: false,
        target: false,
    };

    fn said(text: &str, admin: Administered) -> Result<Vec<Account>, String> {
        parse(text.as_bytes(), Path::new("a.csv"), admin).map_err(|error| error.to_string())
    }

    #[test]
    fn columns_quotes_and_comments_are_read() {
        let accounts = said(
            "\u{feff}target_user,target_password,source_user,source_password\n# all\n\
             bob@new,\"p,\"\"w\",bob,old\n",
            OWN,
        )
        .unwrap();
        assert_eq!(accounts.len(), 1);
        assert_eq!(accounts[0].name(), "bob");
        assert_eq!(accounts[0].target.user, "bob@new");
        let password = accounts[0].target.password.as_ref().unwrap();
        assert_eq!(password.expose(), "p,\"w");
    }

    #[test]
    fn a_secret_is_never_shown() {
        let accounts = said(
            "source_user,source_password,target_user,target_password\nbob,hush1,bob,hush2\n",
            OWN,
        );
        assert!(!format!("{accounts:?}").contains("hush"));
        for text in [
            "bob,hush,bob",
            "bob,hush,,x",
            "bob,hush,bob,\0",
            "bob,hush,bob,\n",
        ] {
            let header = "source_user,source_password,target_user,target_password\n";
            let error = said(&format!("{header}{text}"), OWN).unwrap_err();
            assert!(!error.contains("hush"), "{error}");
            assert!(error.starts_with("a.csv:2: "), "{error}");
        }
    }

    #[test]
    fn an_administrator_needs_no_passwords() {
        let text = "source_user,source_password,target_user,target_password\nbob,,bob,\n";
        let both = Administered {
            source: true,
            target: true,
        };
        assert_eq!(said(text, both).unwrap()[0].source.password, None);
        let error = said(text, OWN).unwrap_err();
        assert!(
            error.contains("a.csv:2: source_password is empty"),
            "{error}"
        );
    }

    #[test]
    fn one_mailbox_is_there_once() {
        let text = "source_user,source_password,target_user,target_password\n\
                    a,1,x,1\nb,1,X,1\n";
        let error = said(text, OWN).unwrap_err();
        assert_eq!(error, "a.csv:3: \"X\" is there already, at line 2");
    }

    #[test]
    fn a_wrong_header_is_named() {
        let error = said("user,password\n", OWN).unwrap_err();
        assert!(
            error.starts_with("a.csv:1: no column source_user"),
            "{error}"
        );
    }
}
