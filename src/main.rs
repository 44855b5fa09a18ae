//! The binary; the library has everything.

fn main() -> std::process::ExitCode {
    landfall::cli::run(std::env::args_os())
}
