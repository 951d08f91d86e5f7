//! What the process says when it ends.

/// Exit codes, the same for every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// Everything was done.
    Clean,
    /// Something was not done; the message or the record says what.
    Failed,
    /// The command line or the configuration is wrong.
    Usage,
    /// The database cannot be used.
    Database,
    /// A stop stage did not end within its deadline.
    Deadline,
    /// An actor or a thread was lost.
    Fault,
}

impl ExitCode {
    /// The code of a number; `None` for one that is not ours.
    #[must_use]
    pub fn of(code: i32) -> Option<ExitCode> {
        let all = [
            ExitCode::Clean,
            ExitCode::Failed,
            ExitCode::Usage,
            ExitCode::Database,
            ExitCode::Deadline,
            ExitCode::Fault,
        ];
        all.into_iter().find(|exit| exit.code() == code)
    }

    /// The number.
    #[must_use]
    pub const fn code(self) -> i32 {
        match self {
            ExitCode::Clean => 0,
            ExitCode::Failed => 1,
            ExitCode::Usage => 2,
            ExitCode::Database => 3,
            ExitCode::Deadline => 4,
            ExitCode::Fault => 70,
        }
    }
}
