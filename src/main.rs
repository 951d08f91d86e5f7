//! The `neo` command.

fn main() -> std::process::ExitCode {
    neo::dispatch::main()
}
